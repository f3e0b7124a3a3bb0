//! Webhooks that were refused and are kept (`keep_rejected` of their endpoint): found, looked at, judged again and taken in.
//!
//! What is done with one is done by the validator, which has the keys and makes the claims. Who asks it needs neither.

use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tollgate_aws::{lambda::Function, ledger::DynamoLedger};
use tollgate_core::{EndpointId, LedgerKey, Timestamp, WebhookId};
use tollgate_pipeline::{
    ports::{Ledger, LedgerState},
    rejected::{KEPT_SECONDS, Kept, Name, PREFIX, Task, Verdict},
};

use crate::{audit::Act, aws::Aws};

/// The most names that are remembered where single ones are looked at: the first ones of an endpoint, and those of one page.
pub const MOST: usize = 10_000;
/// Webhooks that the validator is asked about at once.
const AT_ONCE: usize = 4;
/// Webhooks whose ids are in one record, before they are taken in.
const A_PART: usize = 100;

/// Which of those that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Refused by this endpoint.
    pub endpoint: Option<EndpointId>,
    /// For this reason, as the log has it.
    pub reason: Option<String>,
    /// That arrived from this moment on.
    pub since: Option<Timestamp>,
    /// That arrived before this moment.
    pub until: Option<Timestamp>,
    /// These webhooks.
    pub ids: Vec<String>,
}

impl Filter {
    fn is(&self, name: &Name) -> bool {
        let at = name.webhook_id.arrived_at();
        self.endpoint.is_none_or(|endpoint| endpoint == name.endpoint)
            && self.reason.as_ref().is_none_or(|reason| *reason == name.reason)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && (self.ids.is_empty() || self.ids.iter().any(|id| id == name.webhook_id.as_str()))
    }
}

/// Those of one endpoint and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Where they arrived.
    pub endpoint: EndpointId,
    /// Why they were refused, as the log has it.
    pub reason: String,
    /// How many are kept.
    pub count: u64,
    /// When the first of them arrived.
    pub first: Timestamp,
    /// When the last of them arrived.
    pub last: Timestamp,
    /// Until when the first of them can be taken in.
    pub until: Timestamp,
}

/// Until when what arrived then can be taken in.
pub fn kept_until(arrived_at: Timestamp) -> Timestamp {
    Timestamp::from_second(arrived_at.as_second() + KEPT_SECONDS).unwrap_or(arrived_at)
}

/// What is kept, in the payload bucket.
#[derive(Debug)]
pub struct Store {
    s3: aws_sdk_s3::Client,
    bucket: String,
}

impl Store {
    /// That of an environment.
    ///
    /// # Errors
    ///
    /// When AWS does not say the account's number.
    pub async fn of(aws: &Aws) -> anyhow::Result<Self> {
        let bucket = aws.names.payload_bucket(&aws.account().await?);
        Ok(Self { s3: tollgate_aws::s3_client(&aws.config), bucket })
    }

    /// Hands over the name of each that is wanted and can still be taken in at `now`, by endpoint and in the order of arrival.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn each(
        &self,
        filter: &Filter,
        now: Timestamp,
        mut each: impl FnMut(Name),
    ) -> anyhow::Result<()> {
        self.each_behind(filter, now, None, |name| {
            each(name);
            ControlFlow::Continue(())
        })
        .await
    }

    /// The same, of those whose names are behind this key. `each` says whether to go on.
    async fn each_behind(
        &self,
        filter: &Filter,
        now: Timestamp,
        key: Option<String>,
        mut each: impl FnMut(Name) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let prefix =
            filter.endpoint.map_or_else(|| PREFIX.to_owned(), |endpoint| format!("{PREFIX}{endpoint}/"));
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).set_start_after(key);
        let mut pages = list.into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_sdk_s3::Error::from).context("listing what is kept")?;
            for object in page.contents() {
                let name = object.key().and_then(Name::parse);
                if let Some(name) =
                    name.filter(|name| filter.is(name) && kept_until(name.webhook_id.arrived_at()) > now)
                    && each(name).is_break()
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A page of those that are wanted, `most` at most, behind the last one of another page; and whether there are more behind it.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn page(
        &self,
        filter: &Filter,
        now: Timestamp,
        behind: Option<&Name>,
        most: usize,
    ) -> anyhow::Result<(Vec<Name>, bool)> {
        let (mut names, mut is_more) = (Vec::new(), false);
        self.each_behind(filter, now, behind.map(Name::key), |name| {
            is_more = names.len() >= most;
            if is_more {
                return ControlFlow::Break(());
            }
            names.push(name);
            ControlFlow::Continue(())
        })
        .await?;
        Ok((names, is_more))
    }

    /// What is kept, counted by endpoint and reason.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn groups(&self, filter: &Filter, now: Timestamp) -> anyhow::Result<Vec<Group>> {
        let mut groups: BTreeMap<(EndpointId, String), Group> = BTreeMap::new();
        self.each(filter, now, |name| {
            let at = name.webhook_id.arrived_at();
            let group = groups.entry((name.endpoint, name.reason.clone())).or_insert_with(|| Group {
                endpoint: name.endpoint,
                reason: name.reason,
                count: 0,
                first: at,
                last: at,
                until: kept_until(at),
            });
            group.count += 1;
            group.last = at;
        })
        .await?;
        Ok(groups.into_values().collect())
    }

    /// The first of those that are wanted, [`MOST`] at most; whether there are more.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn names(&self, filter: &Filter, now: Timestamp) -> anyhow::Result<(Vec<Name>, bool)> {
        self.page(filter, now, None, MOST).await
    }

    /// The first of those that are wanted behind `after`, in the order of arrival whatever their endpoint, `most` at most; whether
    /// there are more behind them. What was taken in stays there, so whoever is through with these goes on behind the last.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn arrived(
        &self,
        filter: &Filter,
        after: Option<WebhookId>,
        most: usize,
        now: Timestamp,
    ) -> anyhow::Result<(Vec<Name>, bool)> {
        let mut first = First { after, most, names: BTreeMap::new(), is_cut: false };
        self.each(filter, now, |name| first.add(name)).await?;
        Ok((first.names.into_values().collect(), first.is_cut))
    }

    /// One of them, whole; `None` where it is there no more.
    ///
    /// # Errors
    ///
    /// When AWS does not answer, or the object is none of ours.
    pub async fn fetch(&self, name: &Name) -> anyhow::Result<Option<Kept>> {
        let object = self.s3.get_object().bucket(&self.bucket).key(name.key()).send().await;
        let object = match object.map_err(aws_sdk_s3::Error::from) {
            Ok(object) => object,
            Err(aws_sdk_s3::Error::NoSuchKey(_)) => return Ok(None),
            Err(problem) => return Err(problem).with_context(|| format!("reading {}", name.key())),
        };
        let bytes = object.body.collect().await.with_context(|| format!("reading {}", name.key()))?;
        Ok(Some(Kept::read(&bytes.into_bytes()).with_context(|| name.key())?))
    }
}

/// The first of many that come by endpoint; so many are held at most.
struct First {
    after: Option<WebhookId>,
    most: usize,
    names: BTreeMap<WebhookId, Name>,
    is_cut: bool,
}

impl First {
    fn add(&mut self, name: Name) {
        if self.after.is_some_and(|after| name.webhook_id <= after) {
            return;
        }
        self.names.insert(name.webhook_id, name);
        if self.names.len() > self.most {
            self.names.pop_last();
            self.is_cut = true;
        }
    }
}

/// What is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Which of those that are kept.
    pub filter: Filter,
    /// Webhooks a second, at most.
    pub rate: u32,
}

/// What would become of one, or became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The delivery.
    pub webhook_id: String,
    /// Where it arrived.
    pub endpoint: EndpointId,
    /// Why it was refused then.
    pub refused_for: String,
    /// What the validator says of it now.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether each of its events is processed already, where that was asked: then taking it in does nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_processed: Option<bool>,
}

impl Judged {
    /// Whether taking it in does something: it is genuine now, and not processed already.
    pub fn can_be_taken_in(&self) -> bool {
        matches!(self.verdict, Verdict::Genuine { .. }) && self.is_processed == Some(false)
    }

    /// In a few words: what it comes to.
    pub fn summary(&self) -> String {
        match &self.verdict {
            Verdict::Genuine { .. } if self.is_processed == Some(true) => {
                "genuine, and processed already".to_owned()
            }
            Verdict::Genuine { .. } => "genuine: would be taken in".to_owned(),
            Verdict::Taken { duplicate: true, .. } => KNOWN.to_owned(),
            Verdict::Taken { .. } => TAKEN_IN.to_owned(),
            Verdict::Refused { reason, .. } => format!("refused: {reason}"),
            Verdict::Unavailable { .. } => "no answer".to_owned(),
            Verdict::Gone { .. } => "gone".to_owned(),
        }
    }
}

/// What taking in came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// How many ended how.
    pub counts: BTreeMap<String, u64>,
    /// How many were not asked about: it was stopped.
    pub left: u64,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// What ended it.
    pub error: Option<String>,
}

impl Done {
    /// Adds what taking in others came to, behind these.
    pub fn add(&mut self, other: Self) {
        for (summary, count) in other.counts {
            *self.counts.entry(summary).or_default() += count;
        }
        self.left += other.left;
        self.stopped |= other.stopped;
        self.error = self.error.take().or(other.error);
    }

    /// Whether each was taken in, or was known.
    pub fn is_whole(&self) -> bool {
        let is_in = |summary: &String| summary == TAKEN_IN || summary == KNOWN;
        self.left == 0 && self.error.is_none() && self.counts.keys().all(is_in)
    }
}

const TAKEN_IN: &str = "taken in";
const KNOWN: &str = "known already";

/// The validator, as whoever takes in asks it.
#[derive(Debug)]
pub struct Validator {
    function: Function,
    ledger: DynamoLedger,
}

impl Validator {
    /// That of an environment.
    ///
    /// # Errors
    ///
    /// When there are no credentials.
    pub fn of(aws: &Aws) -> anyhow::Result<Self> {
        let function = Function::new(&aws.config, &aws.url_of("lambda"), &aws.names.validator())?;
        let ledger = DynamoLedger::new(aws_sdk_dynamodb::Client::new(&aws.config), aws.names.ledger_table());
        Ok(Self { function, ledger })
    }

    /// What would become of each of `names`, handed over in their order.
    ///
    /// # Errors
    ///
    /// When AWS does not answer.
    pub async fn foresee(
        &self,
        names: &[Name],
        now: fn() -> Timestamp,
        mut each: impl FnMut(Judged),
    ) -> anyhow::Result<()> {
        let asked: Vec<_> = names.iter().map(|name| self.ask(name, false)).collect();
        let mut asked = stream::iter(asked).buffered(AT_ONCE);
        while let Some(judged) = asked.next().await {
            let mut judged = judged?;
            if let Verdict::Genuine { event_ids, .. } = &judged.verdict {
                judged.is_processed = Some(self.is_processed(&judged.endpoint, event_ids, now()).await?);
            }
            each(judged);
        }
        Ok(())
    }

    /// Takes in each of `names`, a hundred after the other: their ids are recorded before. `stop` ends it between two of them.
    pub async fn take_in(
        &self,
        names: &[Name],
        rate: u32,
        act: &mut Act,
        now: fn() -> Timestamp,
        stop: &AtomicBool,
        mut each: impl FnMut(&Judged),
    ) -> Done {
        let mut done = Done { left: names.len() as u64, ..Done::default() };
        let mut ticks = tokio::time::interval(std::time::Duration::from_secs(1) / rate.max(1));
        'all: for part in names.chunks(A_PART) {
            let ids = part.iter().map(|name| name.webhook_id.to_string()).collect();
            if let Err(problem) = act.part(now(), ids, serde_json::Value::Null).await {
                done.error = Some(format!("{problem:#}"));
                break;
            }
            for name in part {
                if stop.load(Ordering::Relaxed) {
                    done.stopped = true;
                    break 'all;
                }
                ticks.tick().await;
                match self.ask(name, true).await {
                    Ok(judged) => {
                        done.left -= 1;
                        *done.counts.entry(judged.summary()).or_default() += 1;
                        each(&judged);
                    }
                    Err(problem) => {
                        done.error = Some(format!("{}: {problem:#}", name.webhook_id));
                        break 'all;
                    }
                }
            }
        }
        done
    }

    async fn ask(&self, name: &Name, takes_in: bool) -> anyhow::Result<Judged> {
        let task = serde_json::to_string(&Task::of(name, takes_in))?;
        let answer = self.function.invoke(task).await.context("asking the validator")?;
        let verdict = serde_json::from_slice(&answer)
            .context("the validator knows nothing of webhooks that are kept: it is of a version before")?;
        Ok(Judged {
            webhook_id: name.webhook_id.to_string(),
            endpoint: name.endpoint,
            refused_for: name.reason.clone(),
            verdict,
            is_processed: None,
        })
    }

    async fn is_processed(
        &self,
        endpoint: &EndpointId,
        event_ids: &[String],
        now: Timestamp,
    ) -> anyhow::Result<bool> {
        let mut keys: Vec<LedgerKey> = event_ids.iter().map(|id| LedgerKey::new(endpoint, id)).collect();
        keys.sort_unstable();
        keys.dedup();
        for known in self.ledger.known(&keys, now).await {
            let known = known.context("reading the ledger")?;
            if !known.is_some_and(|known| known.state == LedgerState::Processed) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Those of a filter's ids that are not among what was found.
pub fn not_kept<'a>(filter: &'a Filter, found: &HashSet<String>) -> Vec<&'a str> {
    filter.ids.iter().map(String::as_str).filter(|id| !found.contains(*id)).collect()
}

/// The only one that is wanted.
///
/// # Errors
///
/// When there is none, or AWS does not answer.
pub async fn find(store: &Store, id: &str, now: Timestamp) -> anyhow::Result<(Name, Kept)> {
    let filter = Filter { ids: vec![id.to_owned()], ..Filter::default() };
    let (names, _) = store.names(&filter, now).await?;
    let Some(name) = names.into_iter().next() else { bail!("no webhook {id} is kept") };
    let kept = store.fetch(&name).await?.with_context(|| format!("{id} is kept no more"))?;
    Ok((name, kept))
}

#[cfg(test)]
mod tests {
    use tollgate_testkit::loopback::{Request, Response, Server};

    use super::*;
    use crate::aws::Place;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What is refused for good stays kept, and stands before what came later: it must not hide it.
    #[tokio::test]
    async fn every_one_that_is_kept_is_on_a_page() {
        let name = |endpoint: &str, number: u32| Name {
            endpoint: EndpointId::new(endpoint).unwrap(),
            webhook_id: WebhookId::new(at(1_767_323_000 + i64::from(number)), number.into()),
            reason: "signature_mismatch".to_owned(),
        };
        let mut all: Vec<Name> = (0..5).map(|number| name("acme", number)).collect();
        all.extend((0..4).map(|number| name("shop", number)));
        let keys: Vec<String> = all.iter().map(Name::key).collect();
        assert!(keys.is_sorted(), "as S3 lists them");
        let server = Server::start(move |request: &Request| {
            let field = |name: &str| request.field(name).unwrap_or_default();
            let listed = keys.iter().filter(|key| key.starts_with(&field("prefix")));
            let listed = listed.filter(|key| key.as_str() > field("start-after").as_str());
            let contents: String =
                listed.map(|key| format!("<Contents><Key>{key}</Key></Contents>")).collect();
            let xml =
                format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
            Response { status: 200, headers: Vec::new(), body: xml.into_bytes() }
        });
        let place = Place { endpoint_url: Some(server.url()), ..Place::default() };
        let aws = place.connect().await.unwrap();
        let store = Store { s3: tollgate_aws::s3_client(&aws.config), bucket: "payloads".to_owned() };
        let now = at(1_767_324_000);
        for most in [1, 2, 3, 9, 10] {
            let (mut found, mut is_more) = (Vec::new(), true);
            while is_more {
                let page;
                (page, is_more) = store.page(&Filter::default(), now, found.last(), most).await.unwrap();
                assert!(page.len() <= most && !page.is_empty(), "{most}");
                found.extend(page);
            }
            assert_eq!(found, all, "{most} a page");
        }
        let filter = Filter { endpoint: Some(all[0].endpoint), ..Filter::default() };
        let (page, is_more) = store.page(&filter, now, None, 5).await.unwrap();
        assert_eq!((page.as_slice(), is_more), (&all[..5], false));
        let long_after = at(now.as_second() + KEPT_SECONDS);
        assert_eq!(store.page(&filter, long_after, None, 5).await.unwrap(), (Vec::new(), false));
    }

    #[test]
    fn an_id_that_is_not_kept_is_told() {
        let ids = ["wh_1", "wh_2"].map(str::to_owned);
        let filter = Filter { ids: ids.to_vec(), ..Filter::default() };
        assert_eq!(not_kept(&filter, &HashSet::new()), ["wh_1", "wh_2"]);
        assert_eq!(not_kept(&filter, &[ids[0].clone()].into()), ["wh_2"]);
        assert_eq!(not_kept(&Filter::default(), &HashSet::new()), [] as [&str; 0]);
    }

    #[test]
    fn what_several_pages_came_to_is_one() {
        let of = |summary: &str, count| [(summary.to_owned(), count)].into();
        let mut done = Done { counts: of(TAKEN_IN, 2), ..Done::default() };
        done.add(Done { counts: of(TAKEN_IN, 3), ..Done::default() });
        assert!(done.is_whole() && done.counts[TAKEN_IN] == 5, "{done:?}");
        done.add(Done { counts: of(KNOWN, 1), left: 4, stopped: true, ..Done::default() });
        assert!(!done.is_whole() && done.stopped && done.left == 4, "{done:?}");
        done.add(Done { error: Some("no answer".to_owned()), ..Done::default() });
        assert_eq!(done.error.as_deref(), Some("no answer"));
    }

    fn name(endpoint: &str, second: i64) -> Name {
        let at = Timestamp::from_second(second).unwrap();
        let endpoint = EndpointId::new(endpoint).unwrap();
        Name { endpoint, webhook_id: WebhookId::new(at, 0), reason: "signature_mismatch".to_owned() }
    }

    #[test]
    fn every_one_that_is_kept_is_on_a_page_by_its_arrival() {
        // As they are listed: by endpoint, and then in the order of arrival.
        let listed: Vec<Name> =
            [("acme", 1), ("acme", 4), ("acme", 5), ("shop", 2), ("shop", 3), ("shop", 6)]
                .map(|(endpoint, second)| name(endpoint, second))
                .into();
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let mut first = First { after, most: 4, names: BTreeMap::new(), is_cut: false };
            listed.iter().cloned().for_each(|name| first.add(name));
            after = first.names.keys().last().copied();
            pages.push(first.names.keys().map(|id| id.arrived_at().as_second()).collect::<Vec<_>>());
            if !first.is_cut {
                break;
            }
        }
        assert_eq!(pages, [vec![1, 2, 3, 4], vec![5, 6]]);
    }
}
