//! Asking a provider: within its limits, again where it says so, and never without end.

use std::{collections::HashSet, fmt, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use aws_smithy_runtime_api::http::Headers;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tollgate_core::Timestamp;
use tollgate_providers::ApiKey;

use crate::{
    error::ApiError,
    page::{Item, Next, Page, member},
    spec::{Auth, ProviderApi},
    transport::{Answer, Asked, Transport, is_loopback},
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A page of a hundred events has a megabyte or less.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// How often one request is made.
const TRIES: u32 = 6;
/// The pause behind the first failure, doubled for each further one, where the provider says nothing.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Whoever asks for a longer pause is asked another time.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What a provider says of a failure, in characters.
const LONGEST_PROBLEM: usize = 300;
/// What is written as `%XX` in a path or a query: all but what is unreserved (RFC 3986, 2.3).
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Pages of one list: ten million events.
const MAX_PAGES: usize = 100_000;

/// The clock, and waiting.
#[derive(Clone)]
pub struct Timing {
    /// Now.
    pub now: fn() -> Timestamp,
    /// Waits so long.
    pub pause: Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Timing {
    /// Real waiting.
    pub fn new(now: fn() -> Timestamp) -> Self {
        let pause = |time| Box::pin(tokio::time::sleep(time)) as Pin<Box<_>>;
        Self { now, pause: Arc::new(pause) }
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Timing")
    }
}

/// A provider that is asked.
#[derive(Debug)]
pub struct Client {
    api: &'static ProviderApi,
    base: String,
    key: ApiKey,
    token: Option<String>,
    transport: Transport,
    timing: Timing,
    is_first: bool,
}

impl Client {
    /// A client without connections yet. `url` is asked instead of the provider's own; it must be of HTTPS, or this machine's.
    ///
    /// # Errors
    ///
    /// When the URL is not such a one.
    pub fn new(
        api: &'static ProviderApi,
        key: ApiKey,
        url: Option<&str>,
        is_sandbox: bool,
        timing: Timing,
    ) -> anyhow::Result<Self> {
        let own = if is_sandbox { api.sandbox_url.as_ref().unwrap_or(&api.url) } else { &api.url };
        let base = url.unwrap_or(own).trim_end_matches('/').to_owned();
        ensure!(base.starts_with("https://") || is_loopback(&base), "{base}: a key is sent by HTTPS alone");
        Ok(Self { api, base, key, token: None, transport: Transport::new(), timing, is_first: true })
    }

    /// Where it is asked: a URL without a path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How it is asked.
    pub fn api(&self) -> &'static ProviderApi {
        self.api
    }

    /// Lists the events of a time, a page at a time, in the provider's order. What it lists beside that time is left out.
    /// `each` has a page, and says whether to go on.
    ///
    /// # Errors
    ///
    /// [`ApiError`]; and what `each` fails with.
    pub async fn list(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        mut each: impl AsyncFnMut(&mut Self, Vec<Item>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let list = &self.api.list;
        let (mut next, mut seen, mut read) = (None, HashSet::new(), 0_u64);
        for _ in 0..MAX_PAGES {
            let (path, body) = self.listing(from, to, next.as_ref())?;
            let answer = self.ask(&path, body).await?;
            let page = match answer {
                Some(answer) => Page::read(list, &answer, read)?,
                None => Page::default(),
            };
            read = read.saturating_add(u64::try_from(page.items.len())?);
            let mut items = page.items;
            items.retain(|item| (from..to).contains(&item.at));
            if !each(self, items).await? {
                return Ok(());
            }
            let Some(following) = page.next else { return Ok(()) };
            // A provider that names a page again would be asked for ever.
            if !seen.insert(match &following {
                Next::Field(_, value) => value.clone(),
                Next::Path(path) => path.clone(),
            }) {
                return Err(ApiError::Endless.into());
            }
            next = Some(following);
        }
        Err(ApiError::Endless.into())
    }

    fn listing(
        &self,
        from: Timestamp,
        to: Timestamp,
        next: Option<&Next>,
    ) -> anyhow::Result<(String, Option<String>)> {
        let list = &self.api.list;
        let filled = |text: &str| {
            text.replace("{from_seconds}", &from.as_second().to_string())
                .replace("{to_seconds}", &to.as_second().to_string())
                .replace("{from}", &from.to_string())
                .replace("{to}", &to.to_string())
        };
        if let Some(Next::Path(path)) = next {
            return Ok((path.clone(), None));
        }
        let mut query: Vec<(&str, String)> =
            list.query.iter().map(|(name, value)| (name.as_str(), filled(value))).collect();
        let mut body: Option<Value> = None;
        if let Some(template) = &list.body {
            body = Some(serde_json::from_str(&filled(template)).context("the request's body")?);
        }
        match (next, &mut body) {
            (Some(Next::Field(name, value)), Some(body)) => {
                let members = body.as_object_mut().context("the request's body is no object")?;
                members.insert(name.clone(), value.as_str().into());
            }
            (Some(Next::Field(name, value)), None) => query.push((name, value.clone())),
            _ => {}
        }
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let path =
            if query.is_empty() { list.path.clone() } else { format!("{}?{}", list.path, query.join("&")) };
        Ok((path, body.map(|body| body.to_string())))
    }

    /// An event by its id; `None` where the provider knows none.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn one(&mut self, id: &str) -> Result<Option<Item>, ApiError> {
        let one = self.api.one.as_ref();
        let one = one.ok_or(ApiError::NotAsDocumented("it tells no event by its id"))?;
        let path = one.path.replace("{id}", &utf8_percent_encode(id, ENCODED).to_string());
        let answer = match self.ask(&path, None).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(ApiError::Status(404)) => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let raw = serde_json::from_slice(&answer).map_err(|_| ApiError::NotAsDocumented("it is no JSON"))?;
        let item = match &one.item {
            Some(pointer) => member(raw, pointer).ok_or(ApiError::NotAsDocumented("it has no event"))?,
            None => raw,
        };
        let item = Item::read(&self.api.list, item)?;
        if item.id == id { Ok(Some(item)) } else { Err(ApiError::NotAsDocumented("it is another event")) }
    }

    /// Asks the provider to send an event again.
    ///
    /// # Errors
    ///
    /// [`ApiError`].
    pub async fn resend(&mut self, id: &str) -> Result<(), ApiError> {
        let resend = self.api.resend.as_ref();
        let resend = resend.ok_or(ApiError::NotAsDocumented("it sends nothing again"))?;
        let path = resend.path.replace("{id}", &utf8_percent_encode(id, ENCODED).to_string());
        self.ask(&path, Some(resend.body.clone())).await.map(|_| ())
    }

    /// The types that the webhook is sent whose URL ends in `/webhook/ENDPOINT`; `None` where these are all, and where the
    /// provider does not say it.
    ///
    /// # Errors
    ///
    /// [`ApiError`]; [`ApiError::NotAsDocumented`] also where it has no such webhook, or several.
    pub async fn subscribed(&mut self, endpoint: &str) -> Result<Option<HashSet<String>>, ApiError> {
        if self.api.subscriptions.is_none() {
            return Ok(None);
        }
        let mut ours = self.webhooks().await?.into_iter().filter(|webhook| webhook.leads_to(endpoint));
        let (Some(one), None) = (ours.next(), ours.next()) else {
            return Err(ApiError::NotAsDocumented(
                "it has not exactly one webhook that leads to this endpoint",
            ));
        };
        Ok((!one.types.contains("*")).then(|| one.types.into_iter().collect()))
    }

    /// A GET, or a POST of JSON; `None` where the answer is 204.
    pub(crate) async fn ask(
        &mut self,
        path: &str,
        body: Option<String>,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.map(|body| (body, JSON));
        self.ask_for(&Ask { body, ..Ask::new(method, path) }).await
    }

    pub(crate) async fn ask_for(&mut self, ask: &Ask<'_>) -> Result<Option<Vec<u8>>, ApiError> {
        let authorization = self.authorization().await?;
        let answer = self.tried(ask, &authorization).await;
        // A token ends while a long list is read.
        if matches!(answer, Err(ApiError::Refused(401))) && self.token.take().is_some() {
            let authorization = self.authorization().await?;
            return self.tried(ask, &authorization).await;
        }
        answer
    }

    async fn authorization(&mut self) -> Result<String, ApiError> {
        let key = self.key.header_text();
        match &self.api.auth {
            Auth::Bearer => Ok(format!("Bearer {key}")),
            Auth::Plain => Ok(key.to_owned()),
            Auth::ClientCredentials { token_path } => {
                if let Some(token) = &self.token {
                    return Ok(format!("Bearer {token}"));
                }
                let basic = format!("Basic {}", STANDARD.encode(key));
                let form = "grant_type=client_credentials".to_owned();
                let ask = Ask { body: Some((form, FORM)), ..Ask::new("POST", token_path) };
                let answer = self.tried(&ask, &basic).await?.unwrap_or_default();
                let answer: Value = serde_json::from_slice(&answer)
                    .map_err(|_| ApiError::NotAsDocumented("the token's answer is no JSON"))?;
                let token = answer.get("access_token").and_then(Value::as_str);
                let token = token.filter(|token| token.bytes().all(|b| b.is_ascii_graphic()));
                let token = token.ok_or(ApiError::NotAsDocumented("it gives no token"))?.to_owned();
                let authorization = format!("Bearer {token}");
                self.token = Some(token);
                Ok(authorization)
            }
        }
    }

    /// Asks until there is an answer that another try would not change.
    async fn tried(&mut self, ask: &Ask<'_>, authorization: &str) -> Result<Option<Vec<u8>>, ApiError> {
        let mut pause = FIRST_PAUSE;
        let mut last = ApiError::NoAnswer("never asked".to_owned());
        for attempt in 0..TRIES {
            if !std::mem::take(&mut self.is_first) && attempt == 0 {
                (self.timing.pause)(Duration::from_secs(1) / self.api.requests_a_second.max(1)).await;
            }
            let asked_to_wait = match self.once(ask, authorization).await {
                Ok(Answer { status: 204, .. }) => return Ok(None),
                Ok(Answer { status: 200..300, body, .. }) => return Ok(Some(body)),
                Ok(Answer { status: status @ (401 | 403), .. }) => return Err(ApiError::Refused(status)),
                Ok(Answer { status, headers, .. }) if is_for_a_while(status) => {
                    last = ApiError::Status(status);
                    // Nothing of what comes too often is done.
                    if ask.is_done_once || status == 429 {
                        let own = self.api.reset_header.as_deref();
                        asked_to_wait(&headers, own, (self.timing.now)())
                    } else {
                        return Err(ApiError::Unknown(last.to_string()));
                    }
                }
                Ok(Answer { status, body, .. }) => return Err(ask.failure(status, &body)),
                Err(problem) if ask.is_done_once => {
                    last = problem;
                    None
                }
                Err(problem) => return Err(ApiError::Unknown(problem.to_string())),
            };
            if attempt + 1 < TRIES {
                let wait = asked_to_wait.unwrap_or(pause);
                if wait > LONGEST_PAUSE {
                    return Err(ApiError::Later(wait.as_secs()));
                }
                (self.timing.pause)(wait).await;
                pause *= 2;
            }
        }
        Err(last)
    }

    async fn once(&self, ask: &Ask<'_>, authorization: &str) -> Result<Answer, ApiError> {
        let mut headers =
            vec![("authorization", authorization), ("accept", JSON), ("user-agent", USER_AGENT)];
        headers.extend(self.api.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        headers.extend(ask.header);
        headers.extend(ask.body.as_ref().map(|(_, kind)| ("content-type", *kind)));
        let asked = Asked {
            method: ask.method,
            url: &format!("{}{}", self.base, ask.path),
            headers: &headers,
            body: ask.body.as_ref().map(|(body, _)| body.as_str()),
            most_bytes: MAX_ANSWER_BYTES,
            within: TIMEOUT,
        };
        self.transport.ask(&asked).await.map_err(|problem| ApiError::NoAnswer(problem.to_string()))
    }
}

/// How long an answer asks to wait: `Retry-After`, or the provider's `own` header.
pub(crate) fn asked_to_wait(headers: &Headers, own: Option<&str>, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).map(str::trim);
    let after = text("retry-after").or_else(|| text(own?))?;
    if let Ok(seconds) = after.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(after).ok()?.timestamp();
    let seconds = until.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Who asks.
pub(crate) const USER_AGENT: &str = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
pub(crate) const JSON: &str = "application/json";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// What a provider is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// With its type.
    pub(crate) body: Option<(String, &'static str)>,
    /// A header beside those of every request.
    pub(crate) header: Option<(&'a str, &'a str)>,
    /// Whether what is asked twice is done once at most.
    pub(crate) is_done_once: bool,
    /// Where a failure's answer says what was wrong.
    pub(crate) problem: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// What can be asked again without harm.
    pub(crate) fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, body: None, header: None, is_done_once: true, problem: None }
    }

    fn failure(&self, status: u16, answer: &[u8]) -> ApiError {
        let said = self.problem.and_then(|pointer| {
            let answer: Value = serde_json::from_slice(answer).ok()?;
            Some(answer.pointer(pointer)?.as_str()?.chars().take(LONGEST_PROBLEM).collect())
        });
        match said {
            Some(said) => ApiError::Said(status, said),
            None => ApiError::Status(status),
        }
    }
}

/// Whether the same may be answered otherwise later (RFC 9110, 15.5 and 15.6; RFC 6585, 4).
pub(crate) fn is_for_a_while(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..600)
}
