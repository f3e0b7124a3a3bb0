//! `tollgate replay`: webhooks of the archive, sent again or read again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use hyper::Uri;
use serde_json::json;
use tollgate_operate::{
    audit::{Act, Reason},
    aws::{Aws, is_loopback},
    replay::{
        self, Destination, Ended, Genuine, Lines, Named, Onward, REFUSED, Run, Shadow, State, Validator,
        Webhook,
    },
    search::{Filters, Query},
};
use tollgate_pipeline::replay::Mode;
use tollgate_providers::Headers;

use crate::{
    clock,
    http::{Parcel, Sender},
    progress::progress,
    sought::Sought,
    table::Table,
    target::Target,
};

/// What a webhook that is sent to an address says of itself.
const MARK: &str = "Tollgate-Replay";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From when on webhooks arrived: 2026-01-31T12:00:00Z, 2026-01-31, or so long ago: 90m, 36h, 7d
    #[arg(long, value_name = "TIME", required_unless_present = "resume")]
    from: Option<String>,
    /// Until when; a day is included [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    sought: Sought,
    /// Any id: of a webhook, an event, a transaction, a movement or an effect
    #[arg(long)]
    id: Option<String>,

    /// To the environment of this suffix, instead of the one whose archive is read
    #[arg(long, value_name = "SUFFIX")]
    into_suffix: Option<String>,
    /// To the local platform of this file
    #[arg(long, value_name = "FILE")]
    into_platform: Option<PathBuf>,
    /// To an environment in this region
    #[arg(long, value_name = "REGION")]
    into_region: Option<String>,
    /// To an environment at this AWS endpoint
    #[arg(long, value_name = "URL")]
    into_endpoint_url: Option<String>,
    /// To an environment of the account of this AWS profile
    #[arg(long, value_name = "PROFILE")]
    into_profile: Option<String>,
    /// Into a new file, a line of JSON for each webhook
    #[arg(long, value_name = "FILE", conflicts_with_all = ["into_suffix", "into_platform", "into_region", "into_endpoint_url", "into_profile"])]
    into_file: Option<PathBuf>,
    /// To an address on this machine, by POST
    #[arg(long, value_name = "URL", conflicts_with_all = ["into_file", "into_suffix", "into_platform", "into_region", "into_endpoint_url", "into_profile"])]
    into_url: Option<String>,

    /// Read them with this version's normalisers, without any effect, and say how their events differ from those archived
    #[arg(long, conflicts_with_all = ["yes", "resume", "into_file", "into_url", "into_suffix", "into_platform", "into_region", "into_endpoint_url", "into_profile"])]
    shadow: bool,
    /// Webhooks a second, at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(replay::FASTEST)))]
    rate: u32,
    /// Send them; without it they are only verified
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<Reason>,
    /// Where it is kept how far it has come [default: tollgate-replay-ACT.json]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Go on where the run of this state file was stopped
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "state", "into_file", "into_url", "into_suffix", "into_platform", "into_region", "into_endpoint_url", "into_profile", "endpoint", "provider", "kind", "outcome", "amount", "currency", "customer", "metadata", "text", "id"])]
    resume: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let state = args.state().await?;
    let query = state.filters.query(clock::now())?;
    let source = state.from.connect().await?;
    if args.shadow {
        return shadow(&source, &query, args.json).await;
    }
    match (&state.to, args.reason.clone().filter(|_| args.yes)) {
        (Destination::Itself | Destination::Platform(_), None) => {
            let target = state.target(&source).await?;
            let judge = Validator::of(target.as_ref().unwrap_or(&source), "foreseen", Mode::Foresee)?;
            foresee(&args, state, &source, &query, judge).await
        }
        (Destination::File(_) | Destination::Url(_), None) => {
            let judge = Validator::of(&source, "foreseen", Mode::Verify)?;
            foresee(&args, state, &source, &query, judge).await
        }
        (_, Some(reason)) => send(&args, state, &source, &query, reason).await,
    }
}

impl Args {
    /// That of the run that is resumed, or a new one's.
    async fn state(&self) -> anyhow::Result<State> {
        if let Some(file) = &self.resume {
            return State::read(file);
        }
        let now = clock::now();
        let mut filters = self.sought.over(Filters {
            id: self.id.clone(),
            from: self.from.clone(),
            to: Some(self.to.clone().unwrap_or_else(|| now.to_string())),
            ..Filters::default()
        });
        // As moments: a run that goes on later is of the same time.
        let query = filters.query(now)?;
        (filters.from, filters.to) = (Some(query.from().to_string()), Some(query.to().to_string()));
        let Target { suffix, endpoint_url, region, platform } = self.target.clone();
        let into = Named {
            suffix: self.into_suffix.clone(),
            endpoint_url: self.into_endpoint_url.clone(),
            region: self.into_region.clone(),
            platform: self.into_platform.clone(),
            profile: self.into_profile.clone(),
        };
        let to = match (&self.into_file, &self.into_url) {
            (Some(file), _) => Destination::File(file.clone()),
            (None, Some(url)) => {
                ensure!(is_loopback(url), "{url} is not on this machine: bodies go nowhere else");
                Destination::Url(url.clone())
            }
            (None, None) if into == Named::default() => Destination::Itself,
            (None, None) => Destination::Platform(into),
        };
        let from = Named { suffix, endpoint_url, region, platform, profile: None };
        Ok(State::new(from, to, filters))
    }
}

/// Says what would become of each, and does nothing.
async fn foresee(
    args: &Args,
    state: State,
    source: &Aws,
    query: &Query,
    judge: Validator,
) -> anyhow::Result<ExitCode> {
    let onward = Genuine { judge, to: None::<Lines> };
    let stop = stopped_by_ctrl_c();
    let mut run =
        Run { source, query, onward, rate: args.rate, stop: &stop, acts: Vec::new(), clock: clock::now };
    let bar = progress(replay::extent(source, query).await?.0, "objects verified");
    let ended = run.go(state.progress, |done| {
        bar.set_position(done.objects);
        Ok(())
    });
    let ended = ended.await;
    bar.finish_and_clear();
    let code = tell(&ended, None, args.json)?;
    if !args.json && ended.error.is_none() {
        say!("nothing was done. Send them with --yes --reason TEXT");
    }
    Ok(code)
}

/// Records it, sends them and keeps how far it has come.
async fn send(
    args: &Args,
    mut state: State,
    source: &Aws,
    query: &Query,
    reason: Reason,
) -> anyhow::Result<ExitCode> {
    let target = state.target(source).await?;
    let details = json!({
        "filters": state.filters, "from": state.from, "to": state.to, "rate": args.rate, "resumes": state.acts,
    });
    let mut act = Act::begin(source, clock::now(), "replay", reason, Vec::new(), details).await?;
    // Bodies leave the one, and the other is changed: each has its record.
    let mut other = match &target {
        Some(target) => Some(act.at_another(target).await?),
        None => None,
    };
    state.acts.push(act.name().to_owned());
    let file = args.resume.clone().or_else(|| args.state.clone());
    let file = file.unwrap_or_else(|| State::file_of(act.name()));
    state.write(&file)?;
    complain!("Ctrl-C stops it; --resume {} goes on", file.display());
    let acts: Vec<&mut Act> = std::iter::once(&mut act).chain(&mut other).collect();
    let name = state.acts.last().cloned().unwrap_or_default();
    let judge = || Validator::of(source, name.clone(), Mode::Verify);
    let sending = Sending { args, source, query, file: &file, acts };
    let ended = match &state.to {
        Destination::Itself | Destination::Platform(_) => {
            let validator = Validator::of(target.as_ref().unwrap_or(source), name.clone(), Mode::Take)?;
            sending.to(&mut state, validator).await?
        }
        Destination::File(path) => {
            let to = Some(Lines::open(path, args.resume.is_some().then_some(state.progress.noted))?);
            sending.to(&mut state, Genuine { judge: judge()?, to }).await?
        }
        Destination::Url(url) => {
            let to = Some(Address { url: url.clone(), act: name.clone(), sender: Sender::new()? });
            sending.to(&mut state, Genuine { judge: judge()?, to }).await?
        }
    };
    let problem = ended.error.as_ref().map(|problem| format!("{problem:#}"));
    let outcome = json!({ "counts": ended.progress.counts, "stopped": ended.stopped, "error": problem });
    for act in std::iter::once(&act).chain(&other) {
        act.end(clock::now(), Vec::new(), outcome.clone()).await?;
    }
    if ended.error.is_none() && !ended.stopped {
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    } else if !args.json {
        say!("go on with --resume {} --yes --reason TEXT", file.display());
    }
    tell(&ended, Some(&act), args.json)
}

struct Sending<'a> {
    args: &'a Args,
    source: &'a Aws,
    query: &'a Query,
    file: &'a Path,
    acts: Vec<&'a mut Act>,
}

impl Sending<'_> {
    async fn to<O: Onward>(self, state: &mut State, onward: O) -> anyhow::Result<Ended> {
        let Self { args, source, query, file, acts } = self;
        let stop = stopped_by_ctrl_c();
        let mut run = Run { source, query, onward, rate: args.rate, stop: &stop, acts, clock: clock::now };
        let bar = progress(replay::extent(source, query).await?.0, "objects sent");
        let so_far = state.progress.clone();
        let ended = run
            .go(so_far, |done| {
                bar.set_position(done.objects);
                state.progress = done.clone();
                state.write(file)
            })
            .await;
        bar.finish_and_clear();
        Ok(ended)
    }
}

/// Set by Ctrl-C, after which what is begun is brought to its end. A second one ends the process.
fn stopped_by_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stopped.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        }
    });
    stop
}

/// An address of this machine.
struct Address {
    url: String,
    act: String,
    sender: Sender,
}

impl Onward for Address {
    async fn send(&self, webhook: &Webhook) -> anyhow::Result<String> {
        let mut url = self.url.clone();
        if !webhook.query().is_empty() {
            url = format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, webhook.query());
        }
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        let mut headers: Headers = webhook.headers().collect();
        headers.push(MARK, &*format!("{} {}", self.act, webhook.id()));
        let parcel = Parcel { uri, headers, body: Bytes::copy_from_slice(webhook.body()) };
        let answer = self.sender.send(&parcel).await?;
        Ok(match answer.is_success() {
            true => format!("answered {}", answer.status),
            false => format!("{REFUSED}answered {}", answer.status),
        })
    }
}

fn tell(ended: &Ended, act: Option<&Act>, as_json: bool) -> anyhow::Result<ExitCode> {
    let Ended { progress, stopped, error } = ended;
    if as_json {
        say!(
            "{}",
            json!({
                "counts": progress.counts, "told": progress.told, "objects": progress.objects, "stopped": stopped,
                "act": act.map(Act::name), "error": error.as_ref().map(|problem| format!("{problem:#}")),
            })
        );
    } else {
        let mut table = Table::new(["endpoint", "count", "what became of them"]);
        for (endpoint, of) in &progress.counts {
            for (outcome, count) in of {
                table.row([endpoint.clone(), count.to_string(), outcome.clone()]);
            }
        }
        if progress.counts.is_empty() {
            say!("no webhook of the archive is of this time and these filters");
        } else {
            show!("{table}");
        }
        for (webhook_id, why) in &progress.told {
            say!("{webhook_id} {why}");
        }
        if *stopped {
            say!("stopped");
        }
        if let Some(act) = act {
            say!("recorded as {}", act.name());
        }
    }
    if let Some(problem) = error {
        complain!("tollgate: {problem:#}");
        return Ok(ExitCode::from(2));
    }
    Ok(if progress.failed() == 0 && !stopped { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn shadow(source: &Aws, query: &Query, as_json: bool) -> anyhow::Result<ExitCode> {
    let stop = stopped_by_ctrl_c();
    let bar = progress(replay::extent(source, query).await?.0, "objects read");
    let shadow = replay::shadow(source, query, &stop, || bar.inc(1)).await?;
    bar.finish_and_clear();
    if as_json {
        say!("{}", serde_json::to_string(&shadow)?);
    } else {
        tell_shadow(&shadow);
    }
    if shadow.stopped || !shadow.of_no_endpoint.is_empty() {
        return Ok(ExitCode::from(2));
    }
    Ok(if shadow.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_shadow(shadow: &Shadow) {
    let Shadow { webhooks, events, without_events, of_no_endpoint, differences, stopped } = shadow;
    if !differences.is_empty() {
        let mut table = Table::new(["endpoint", "field", "events"]);
        for one in differences {
            table.row([one.endpoint.clone(), one.field.clone(), one.count.to_string()]);
        }
        show!("{table}");
    }
    for one in differences {
        say!("\n{} {}", one.endpoint, one.field);
        for example in &one.examples {
            let (webhook_id, event_id) = (&example.webhook_id, &example.provider_event_id);
            say!("  {webhook_id} {event_id}: {} was told, {} is read now", example.archived, example.read);
        }
    }
    say!("{events} events of {webhooks} webhooks compared, {} fields differ", differences.len());
    if *without_events > 0 {
        say!("{without_events} rows have no events: duplicates, or set aside");
    }
    for (endpoint, count) in of_no_endpoint {
        say!("{count} webhooks of {endpoint} were not compared: it is not configured here");
    }
    if *stopped {
        say!("stopped: not all were compared");
    }
}

#[cfg(test)]
mod tests {
    use tollgate_operate::replay::{NO_WEBHOOK, Progress};

    use super::*;

    #[test]
    fn what_is_said_of_a_refusal_begins_as_it_is_counted() {
        let mut progress = Progress::default();
        let of = |outcome: &str| [(outcome.to_owned(), 2)].into();
        progress.counts.insert("a".to_owned(), of("accepted"));
        assert_eq!((progress.failed(), progress.of("accepted")), (0, 2));
        progress.counts.insert("b".to_owned(), of(&format!("{REFUSED}too_old")));
        progress.counts.insert("-".to_owned(), of(NO_WEBHOOK));
        assert_eq!(progress.failed(), 2);
    }
}
