//! `tollgate listen`: events as they are published, shown and forwarded to a developer's machine.

use std::{ops::ControlFlow, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tollgate_core::{EndpointConfig, Timestamp, id::to_hex};
use tollgate_operate::{
    aws::{Aws, is_loopback},
    listen::{Asked, Listener, Past, Told},
    times::moment,
};
use tollgate_providers::{Endpoint, Headers, KeyMaterial, KeyRing, Secret, SignedWebhook, ToSign};

use crate::{
    clock,
    http::{Parcel, Sender},
    out::escaped,
    signer::KeySource,
    target::Target,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// POST each event to this URL, signed as senders to a generic endpoint sign: of this machine, or with https
    #[arg(long, value_name = "URL")]
    forward: Option<String>,
    #[command(flatten)]
    key: KeySource,
    /// Our types (refund.succeeded); given several times, any of them
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    /// Where they arrived
    #[arg(long, value_name = "NAME")]
    endpoint: Vec<String>,
    /// Whose they are
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// In major units: 49.90, 10..20, 100.., ..5; the bounds are included
    #[arg(long, allow_hyphen_values = true)]
    amount: Option<String>,
    /// The currency's code
    #[arg(long, value_name = "CODE")]
    currency: Vec<String>,
    /// First those of webhooks that arrived from then on: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// For so long: 90m, 12h at most
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = span)]
    lasts: Duration,
    /// Until so many events were shown
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Each event's JSON, as it was published
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// So long after it was published an event is archived, where nothing is wrong: `ArchiveBatchWindow` is 300 s at most.
const UNARCHIVED: Duration = Duration::from_secs(480);
/// The longest that somebody listens.
const LONGEST_SECONDS: u64 = 12 * 60 * 60;
/// Left to what is under way when the time is over, before others take it for left behind, in seconds.
const GRACE_SECONDS: i64 = 300;

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is 90s, 30m or 12h, and 12h at most".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    let seconds = seconds.filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = Out::new(&args)?;
    let now = clock::now();
    let from = args.from.as_deref().map(|text| moment(text, now, false)).transpose()?;
    if from.is_some_and(|from| from >= now) {
        bail!("--from is not past");
    }
    let aws = args.target.connect().await?;
    let asked = Asked {
        kinds: args.kind.clone(),
        endpoints: args.endpoint.clone(),
        providers: args.provider.clone(),
    };
    let lasts = i64::try_from(args.lasts.as_secs())?;
    let until = Timestamp::from_second(now.as_second() + lasts + GRACE_SECONDS)?;
    // From here on: a process that ended while the rule is made would leave it behind, and it copies events.
    let mut stops = Stops::new().context("waiting for Ctrl-C")?;
    let listener = Listener::open(&aws, &asked, now, until).await?;
    let begun = tokio::time::Instant::now();
    let heard = async {
        // The queue is there before the archive is read: nothing is missed between the two.
        let mut past = from.map(|from| Past::new(&asked, from, clock::now())).transpose()?;
        out.begin(past.as_ref());
        if let Some(past) = &mut past {
            out.past(&aws, past).await?;
            complain!("caught up; listening");
        }
        while !out.is_enough() {
            if begun.elapsed() >= UNARCHIVED
                && let Some(mut past) = past.take()
            {
                // What was published before somebody listened, and archived since the archive was read.
                out.past(&aws, &mut past).await?;
                out.is_whole = true;
            }
            for heard in listener.next().await? {
                out.event(&heard.json).await?;
                listener.done(&heard).await?;
                if out.is_enough() {
                    break;
                }
            }
        }
        anyhow::Ok(())
    };
    let ended = tokio::select! {
        ended = heard => ended,
        () = tokio::time::sleep(args.lasts) => Ok(()),
        () = stops.any() => Ok(()),
    };
    let closed = listener.close().await;
    ended.and(closed)?;
    out.end();
    Ok(if out.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ctrl-C, or the end of the session. Each is taken from when this is made, and ends nothing by itself.
struct Stops {
    pressed: Signal,
    terminated: Signal,
    hung_up: Signal,
}

impl Stops {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            pressed: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            hung_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the first of them, which may have come before.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.pressed.recv() => {}
            _ = self.terminated.recv() => {}
            _ = self.hung_up.recv() => {}
        }
    }
}

/// Where events go.
struct Out {
    is_json: bool,
    limit: Option<u64>,
    amount: Amount,
    currencies: Vec<String>,
    forward: Option<Forward>,
    /// Which were shown before, where somebody catches up.
    known: Option<Told>,
    /// Whether nothing that was published before is still to be looked for.
    is_whole: bool,
    shown: u64,
    failed: u64,
}

struct Forward {
    uri: hyper::Uri,
    sender: Sender,
    endpoint: Endpoint,
    ring: KeyRing,
    /// One that was made here, to be told.
    made: Option<String>,
}

impl Out {
    fn new(args: &Args) -> anyhow::Result<Self> {
        Ok(Self {
            is_json: args.json,
            limit: args.limit,
            amount: args.amount.as_deref().map(Amount::read).transpose()?.unwrap_or_default(),
            currencies: args.currency.iter().map(|code| code.to_ascii_uppercase()).collect(),
            forward: args.forward.as_deref().map(|url| Forward::new(url, &args.key)).transpose()?,
            known: None,
            is_whole: args.from.is_none(),
            shown: 0,
            failed: 0,
        })
    }

    /// Shows what is archived.
    async fn past(&mut self, aws: &Aws, past: &mut Past) -> anyhow::Result<()> {
        let each = async |json: &str| {
            self.event(json).await?;
            Ok(if self.is_enough() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        past.read(aws, each).await.context("reading the archive")
    }

    fn begin(&mut self, past: Option<&Past>) {
        if let Some(Forward { made: Some(key), uri, .. }) = &self.forward {
            complain!("forwarding to {uri}, signed with the key {key}");
        }
        match past {
            Some(past) => {
                self.known = Some(past.told());
                complain!("catching up from the archive; Ctrl-C ends it");
            }
            None => complain!("listening; Ctrl-C ends it"),
        }
    }

    fn end(&self) {
        if !self.is_whole && !self.is_enough() {
            complain!(
                "of what was published just before, some may be missing: it is looked for after {} s",
                UNARCHIVED.as_secs()
            );
        }
        match (self.failed, &self.forward) {
            (0, None) => complain!("{} heard", self.shown),
            (failed, _) => complain!("{} heard, {failed} of them not taken", self.shown),
        }
    }

    fn is_enough(&self) -> bool {
        self.limit.is_some_and(|limit| self.shown >= limit)
    }

    async fn event(&mut self, json: &str) -> anyhow::Result<()> {
        let event: Value = serde_json::from_str(json).context("an event of the bus")?;
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let is_wanted = self.amount.is_of(event.pointer("/amount/value").and_then(Value::as_str))
            && (self.currencies.is_empty()
                || self.currencies.iter().any(|code| code == text("/amount/currency")));
        let arrived_at = text("/received_at").parse().ok();
        if !is_wanted || self.known.as_mut().is_some_and(|known| known.has(text("/id"), arrived_at)) {
            return Ok(());
        }
        self.shown += 1;
        let answer = match &self.forward {
            Some(forward) => Some(forward.send(json).await),
            None => None,
        };
        let told = answer.as_ref().map(|answer| match answer {
            Ok(status) => format!(" -> {status}"),
            Err(problem) => format!(" -> {problem:#}"),
        });
        self.failed +=
            u64::from(answer.is_some_and(|answer| !answer.is_ok_and(|status| (200..300).contains(&status))));
        if self.is_json {
            say!("{json}");
            if let Some(told) = told {
                complain!("{}{told}", text("/id"));
            }
        } else {
            let restates =
                if event.get("restates").is_some_and(Value::is_string) { " (restates)" } else { "" };
            say!(
                "{}  {}  {}  {} {}  {}  {}{restates}{}",
                text("/received_at"),
                text("/type"),
                text("/endpoint"),
                text("/amount/value"),
                text("/amount/currency"),
                text("/transaction_id"),
                text("/id"),
                told.unwrap_or_default()
            );
        }
        Ok(())
    }
}

impl Forward {
    fn new(url: &str, key: &KeySource) -> anyhow::Result<Self> {
        let uri: hyper::Uri = url.parse().with_context(|| format!("{} is no URL", escaped(url)))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(url) => {}
            _ => bail!("--forward goes to http on this machine, or to https"),
        }
        let given = key.read()?;
        let made = if given.is_none() { Some(random_key()?) } else { None };
        let keys = match (&given, &made) {
            (Some(key), _) => key.keys("given"),
            (None, made) => vec![KeyMaterial::new("made", Secret::new(made.as_deref().unwrap_or_default()))],
        };
        let config: EndpointConfig = serde_json::from_value(
            serde_json::json!({ "id": "listen", "scheme": "generic", "secret": "secretsmanager:none" }),
        )?;
        let endpoint = Endpoint::new(config)?;
        let ring = endpoint.keys(keys)?;
        Ok(Self { uri, sender: Sender::new()?, endpoint, ring, made })
    }

    /// Signs and sends it once; the status of the answer.
    async fn send(&self, json: &str) -> anyhow::Result<u16> {
        let mut headers = Headers::new();
        headers.push("Content-Type", "application/json");
        let to_sign = ToSign { headers: &headers, query: "", body: json.as_bytes(), url: None };
        let SignedWebhook { headers, body, .. } = self.endpoint.sign(to_sign, &self.ring, clock::now())?;
        let parcel = Parcel { uri: self.uri.clone(), headers, body: body.into() };
        Ok(self.sender.send(&parcel).await?.status)
    }
}

/// 32 random bytes in hexadecimal.
fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system has no random bytes")?;
    Ok(to_hex(&bytes))
}

/// Bounds of an amount in major units, both included.
#[derive(Debug, Default, PartialEq, Eq)]
struct Amount {
    least: Option<i128>,
    most: Option<i128>,
}

/// Digits behind the point that are compared.
const FRACTION_DIGITS: usize = 8;

impl Amount {
    fn read(text: &str) -> anyhow::Result<Self> {
        let bound = |text: &str| match text {
            "" => Ok(None),
            text => decimal(text)
                .map(Some)
                .with_context(|| format!("{text}: an amount is 49.90, 10..20, 100.. or ..5")),
        };
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        Ok(Self { least: bound(least)?, most: bound(most)? })
    }

    fn is_of(&self, amount: Option<&str>) -> bool {
        if *self == Self::default() {
            return true;
        }
        let Some(amount) = amount.and_then(decimal) else { return false };
        self.least.is_none_or(|least| amount >= least) && self.most.is_none_or(|most| amount <= most)
    }
}

/// A decimal as a number of its smallest fraction; `None` where it is none, or too long.
fn decimal(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) || fraction.len() > FRACTION_DIGITS {
        return None;
    }
    format!("{whole}{fraction:0<FRACTION_DIGITS$}").parse::<i128>().ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_compared_exactly() {
        for (bounds, amount, is_of) in [
            ("49.90", Some("49.90"), true),
            ("49.90", Some("49.9"), true),
            ("49.90", Some("49.91"), false),
            ("10..20", Some("20"), true),
            ("10..20", Some("20.01"), false),
            ("100..", Some("99999999999999999999"), true),
            ("..5", Some("-3"), true),
            ("..5", None, false),
        ] {
            assert_eq!(Amount::read(bounds).unwrap().is_of(amount), is_of, "{bounds} {amount:?}");
        }
        assert!(Amount::default().is_of(None));
        for wrong in ["1e3", "49,90", ".5", "1.", "ten", "1.123456789"] {
            assert!(Amount::read(wrong).is_err(), "{wrong}");
        }
    }

    /// Without a handler it would end this test.
    #[tokio::test]
    async fn whoever_stops_while_the_rule_is_made_is_heard_once_it_is_there() {
        let mut stops = Stops::new().unwrap();
        let own = std::process::id().to_string();
        for signal in ["-INT", "-TERM", "-HUP"] {
            assert!(std::process::Command::new("kill").args([signal, &own]).status().unwrap().success());
            tokio::time::timeout(Duration::from_secs(10), stops.any()).await.unwrap();
        }
    }

    #[test]
    fn one_listens_for_twelve_hours_at_most() {
        assert_eq!(span("90m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["0s", "13h", "1d", "h", "", "ä"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
