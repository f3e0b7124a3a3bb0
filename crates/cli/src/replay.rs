//! `tollgate replay`: webhooks of the archive, sent again or read again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use hyper::Uri;
use serde_json::json;
use tollgate_operate::{
    audit::{Act, Reason},
    aws::{Aws, Platform, is_loopback},
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
    dlq::stop_on_signals,
    http::{Parcel, Sender},
    progress::progress,
    sought::Sought,
    table::Table,
    target::Target,
};

/// What a webhook that is sent to an address says of itself.
const MARK: &str = "Tollgate-Replay";
/// Webhooks a second where nothing is said.
const RATE: u32 = 50;
/// What is said where it is stopped.
const STOPPING: &str = "stopping after this part";

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
    /// Webhooks a second, at most [default: 50; without --yes as fast as they are verified]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(replay::FASTEST)))]
    rate: Option<u32>,
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
    let state = args.state()?;
    let query = state.filters.query(clock::now())?;
    let source = state.from.connect().await?;
    if args.resume.is_some() {
        args.is_of(&source)?;
        complain!("going on with the archive of {}, {}", source.names.suffix(), place(&source));
    }
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
    fn state(&self) -> anyhow::Result<State> {
        if let Some(file) = &self.resume {
            let state = State::read(file)?;
            if let Destination::Url(url) = &state.to {
                is_on_this_machine(url)?;
            }
            return Ok(state);
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
        // Whole paths: a run may go on in another folder, where the same words name something else.
        let into = Named {
            suffix: self.into_suffix.clone(),
            endpoint_url: self.into_endpoint_url.clone(),
            region: self.into_region.clone(),
            platform: whole(self.into_platform.as_deref())?,
            profile: self.into_profile.clone(),
        };
        let to = match (whole(self.into_file.as_deref())?, &self.into_url) {
            (Some(file), _) => Destination::File(file),
            (None, Some(url)) => {
                is_on_this_machine(url)?;
                Destination::Url(url.clone())
            }
            (None, None) if into == Named::default() => Destination::Itself,
            (None, None) => Destination::Platform(into),
        };
        let platform = whole(platform.as_deref())?;
        let from = Named { suffix, endpoint_url, region, platform, profile: None };
        Ok(State::new(from, to, filters))
    }

    /// A run goes on with the environment that it began with: options that name another one are not passed over.
    fn is_of(&self, source: &Aws) -> anyhow::Result<()> {
        let Target { suffix, endpoint_url, region, platform: _ } = &self.target;
        let platform = self.target.platform()?;
        let given = |option: &Option<String>, of: fn(&Platform) -> &String| {
            option.clone().or_else(|| platform.as_ref().map(of).cloned())
        };
        for (what, given, own) in [
            ("suffix", given(suffix, |platform| &platform.suffix), Some(source.names.suffix())),
            ("region", given(region, |platform| &platform.region), source.config.region().map(AsRef::as_ref)),
            (
                "AWS endpoint",
                given(endpoint_url, |platform| &platform.aws_endpoint),
                source.config.endpoint_url(),
            ),
        ] {
            if let Some(given) = given.filter(|given| Some(given.as_str()) != own) {
                bail!(
                    "the run goes on with the environment that it began with, whose {what} is {}, and not {given}: leave away what \
                     names another one, TOLLGATE_SUFFIX and TOLLGATE_PLATFORM too",
                    own.unwrap_or("Amazon's")
                );
            }
        }
        Ok(())
    }
}

/// Where an environment is, for people.
fn place(aws: &Aws) -> String {
    let region = aws.config.region().map_or("no region", |region| region.as_ref());
    aws.config.endpoint_url().map_or_else(|| region.to_owned(), |url| format!("{region}, at {url}"))
}

fn whole(path: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let of = |path: &Path| std::path::absolute(path).with_context(|| format!("where is {}?", path.display()));
    path.map(of).transpose()
}

fn is_on_this_machine(url: &str) -> anyhow::Result<()> {
    ensure!(is_loopback(url), "{url} is not on this machine: bodies go nowhere else");
    Ok(())
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
    let stop = stop_on_signals(STOPPING);
    let rate = args.rate.unwrap_or(replay::FASTEST);
    let mut run = Run { source, query, onward, rate, stop: &stop, acts: Vec::new(), clock: clock::now };
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
    if args.resume.is_none() {
        // Before it is recorded. When the files are made, nothing that came meanwhile is written over either.
        is_new(args.state.as_deref())?;
        is_new(match &state.to {
            Destination::File(file) => Some(file.as_path()),
            _ => None,
        })?;
    }
    let target = state.target(source).await?;
    let details = json!({
        "filters": state.filters, "from": state.from, "to": state.to, "rate": args.rate.unwrap_or(RATE), "resumes": state.acts,
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
    let ended = match Way::open(args, &state, source, target.as_ref(), act.name(), &file) {
        Ok(way) => {
            complain!("Ctrl-C stops it; --resume {} goes on", file.display());
            let acts = std::iter::once(&mut act).chain(&mut other).collect();
            let sending = Sending { args, source, query, file: &file, acts };
            match way {
                Way::Validator(validator) => sending.to(&mut state, validator).await,
                Way::File(lines) => sending.to(&mut state, lines).await,
                Way::Address(address) => sending.to(&mut state, *address).await,
            }
        }
        Err(problem) => {
            let outcome = json!({ "counts": {}, "stopped": false, "error": format!("{problem:#}") });
            for act in std::iter::once(&act).chain(&other) {
                act.end(clock::now(), Vec::new(), outcome.clone()).await?;
            }
            return Err(problem);
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

/// That a file which is to be made is not there.
fn is_new(file: Option<&Path>) -> anyhow::Result<()> {
    // A link that leads nowhere is something, too.
    if let Some(file) = file.filter(|file| file.symlink_metadata().is_ok()) {
        bail!("{} is there already, and nothing is written over it", file.display());
    }
    Ok(())
}

/// Where they go, once it is open.
enum Way {
    Validator(Validator),
    File(Genuine<Lines>),
    Address(Box<Genuine<Address>>),
}

impl Way {
    /// Opens it, and only then writes the state: what cannot be opened is not gone on with.
    fn open(
        args: &Args,
        state: &State,
        source: &Aws,
        target: Option<&Aws>,
        act: &str,
        file: &Path,
    ) -> anyhow::Result<Self> {
        let judge = || Validator::of(source, act, Mode::Verify);
        let way = match &state.to {
            Destination::Itself | Destination::Platform(_) => {
                Self::Validator(Validator::of(target.unwrap_or(source), act, Mode::Take)?)
            }
            Destination::File(path) => {
                let lines = Lines::open(path, args.resume.is_some().then_some(state.progress.noted))?;
                Self::File(Genuine { judge: judge()?, to: Some(lines) })
            }
            Destination::Url(url) => {
                let address = Address { url: url.clone(), act: act.to_owned(), sender: Sender::new()? };
                Self::Address(Box::new(Genuine { judge: judge()?, to: Some(address) }))
            }
        };
        if args.resume.is_some() {
            state.write(file)?
        } else {
            state.begin(file)?
        }
        Ok(way)
    }
}

struct Sending<'a> {
    args: &'a Args,
    source: &'a Aws,
    query: &'a Query,
    file: &'a Path,
    acts: Vec<&'a mut Act>,
}

impl Sending<'_> {
    async fn to<O: Onward>(self, state: &mut State, onward: O) -> Ended {
        let Self { args, source, query, file, acts } = self;
        let stop = stop_on_signals(STOPPING);
        let rate = args.rate.unwrap_or(RATE);
        let mut run = Run { source, query, onward, rate, stop: &stop, acts, clock: clock::now };
        let so_far = state.progress.clone();
        let objects = match replay::extent(source, query).await {
            Ok((objects, _)) => objects,
            Err(problem) => return Ended { progress: so_far, stopped: false, error: Some(problem) },
        };
        let bar = progress(objects, "objects sent");
        let ended = run
            .go(so_far, |done| {
                bar.set_position(done.objects);
                state.progress = done.clone();
                state.write(file)
            })
            .await;
        bar.finish_and_clear();
        ended
    }
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
    let stop = stop_on_signals("stopping after these objects");
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
    use clap::Parser;
    use tollgate_operate::{
        aws::Place,
        replay::{NO_WEBHOOK, Progress},
    };

    use super::*;

    #[derive(Debug, Parser)]
    struct Replay {
        #[command(flatten)]
        args: Args,
    }

    fn args(given: &[&str]) -> Args {
        Replay::try_parse_from([&["replay"], given].concat()).unwrap().args
    }

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

    #[test]
    fn a_run_that_goes_on_sends_bodies_nowhere_else_either() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        let resume = args(&["--resume", file.to_str().unwrap()]);
        for (url, is_own) in [("http://127.0.0.1:8080/hook", true), ("https://example.com/hook", false)] {
            let to = Destination::Url(url.to_owned());
            State::new(Named::default(), to, Filters::default()).begin(&file).unwrap();
            let state = resume.state();
            assert_eq!(state.is_ok(), is_own, "{url}");
            assert!(state.is_ok() || format!("{:#}", state.unwrap_err()).contains("not on this machine"));
            fs::remove_file(&file).unwrap();
        }
    }

    #[test]
    fn a_run_keeps_whole_paths() {
        let to = args(&["--from", "1h", "--into-file", "a.jsonl", "--platform", "p.json"]).state().unwrap();
        let own = std::env::current_dir().unwrap();
        assert_eq!(to.to, Destination::File(own.join("a.jsonl")));
        assert_eq!(to.from.platform, Some(own.join("p.json")));
        let to = args(&["--from", "1h", "--into-platform", "q.json"]).state().unwrap();
        let Destination::Platform(into) = to.to else { panic!("{:?}", to.to) };
        assert_eq!(into.platform, Some(own.join("q.json")));
    }

    #[tokio::test]
    async fn a_run_goes_on_with_its_own_environment_or_not_at_all() {
        let text = |text: &str| Some(text.to_owned());
        let own = Place {
            suffix: text("prod"),
            region: text("eu-west-1"),
            endpoint_url: text("http://127.0.0.1:4566"),
            ..Place::default()
        };
        let own = own.connect().await.unwrap();
        for (given, is_of) in [
            (&[][..], true),
            (&["--suffix", "prod", "--region", "eu-west-1"], true),
            (&["--suffix", "dev"], false),
            (&["--region", "us-east-1"], false),
            (&["--endpoint-url", "http://127.0.0.1:4567"], false),
        ] {
            let mut resume = args(&[&["--resume", "state.json"], given].concat());
            // The tests may run with a platform of their own.
            resume.target.platform = None;
            resume.target.suffix = resume.target.suffix.filter(|_| given.contains(&"--suffix"));
            assert_eq!(resume.is_of(&own).is_ok(), is_of, "{given:?}");
        }
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        assert!(is_new(None).is_ok() && is_new(Some(&there)).is_ok());
        fs::write(&there, "").unwrap();
        assert!(is_new(Some(&there)).is_err());
    }

    /// Otherwise the run could be gone on with, into a file of somebody else.
    #[tokio::test]
    async fn what_cannot_be_opened_leaves_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let (state, there) = (folder.path().join("state.json"), folder.path().join("there"));
        fs::write(&there, "of somebody else").unwrap();
        let place = Place { endpoint_url: Some("http://127.0.0.1:4566".to_owned()), ..Place::default() };
        let aws = place.connect().await.unwrap();
        let args = args(&["--from", "1h"]);
        let of =
            |to: &Path| State::new(Named::default(), Destination::File(to.to_owned()), Filters::default());
        assert!(Way::open(&args, &of(&there), &aws, None, "act", &state).is_err());
        assert!(!state.exists());
        assert_eq!(fs::read_to_string(&there).unwrap(), "of somebody else");
        assert!(Way::open(&args, &of(&folder.path().join("new")), &aws, None, "act", &state).is_ok());
        assert!(state.exists());
    }
}
