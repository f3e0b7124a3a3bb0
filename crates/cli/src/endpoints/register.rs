//! `tollgate endpoints register`: an endpoint's webhook at its provider.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use serde_json::json;
use tollgate_operate::{
    audit::{Act, Reason},
    provider_api::{self, ApiKey, Client, Timing, WebhookKey},
    register::{self, Done, Plan, Step, Stored, Types, Wanted},
};
use tollgate_providers::Secret;

use super::{
    keys::{KeyStore, KeyText, Reference},
    store::find,
};
use crate::{clock, target::Target};

/// Types of one kind that are named for people.
const MOST_NAMED: usize = 12;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The endpoint's name
    id: String,
    /// A key of the provider's API that may make webhooks; - for stdin. It is used once and kept nowhere
    #[arg(long, value_name = "FILE")]
    api_key_file: PathBuf,
    /// Where the webhook is to lead: https://HOST/webhook/NAME [default: the endpoint's notification_url]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A type that it is sent, as the provider calls it, or *; may be given several times [default: those that are read here]
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Make another webhook, and remove those that have its URL: their keys are shown once
    #[arg(long)]
    replace: bool,
    /// Do it; otherwise only what would be done is said
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Why; it is kept with the record of who did it
    #[arg(long)]
    reason: Option<Reason>,
    /// The provider's test environment
    #[arg(long)]
    sandbox: bool,
    /// Ask here instead of at the provider's own address
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let endpoint = find(&aws, &args.id).await?;
    let api = register::api_of(&endpoint)?;
    let wanted = Wanted {
        url: register::url(&endpoint, args.url.as_deref())?,
        types: args.types.iter().cloned().collect::<BTreeSet<_>>(),
        replace: args.replace,
    };
    let reference = Reference::parse(&endpoint.config().secret)?;
    let Reference::SecretsManager(name) = &reference else {
        bail!("{}: its key is kept at {reference}; register keeps keys in Secrets Manager alone", args.id);
    };
    let key_text = api.register.as_ref().map_or("", |how| how.key_text.as_str());
    let key = ApiKey::new(KeyText::from_file(&args.api_key_file)?.text());
    let key = key.with_context(|| format!("{} wants {key_text}", api.name))?;
    let is_sandbox = args.sandbox || provider_api::is_sandbox(endpoint.config());
    let mut client = Client::new(api, key, args.api_url.as_deref(), is_sandbox, Timing::new(clock::now))?;
    let keys = KeyStore::new(&aws);
    let stored = Stored {
        key: keys.current(&reference).await?.map(|key| Secret::new(key.text())),
        webhook_id: keys.webhook(name).await?,
    };
    let asking = || format!("{} takes {key_text}", api.name);
    let plan = register::plan(&mut client, &endpoint, &wanted, &stored).await.with_context(asking)?;
    let is_to_do = !matches!(plan.step, Step::Nothing { .. } | Step::KeyLost { .. });
    let Some(reason) = args.reason.filter(|_| args.yes && is_to_do) else {
        if args.json {
            say!("{}", serde_json::to_string(&plan)?);
        } else {
            tell(&plan);
            if is_to_do {
                say!("nothing was done. Say --yes --reason TEXT");
            }
        }
        return Ok(verdict(&plan));
    };
    let details = serde_json::to_value(&plan)?;
    let ids = vec![plan.endpoint.to_string()];
    let act = Act::begin(&aws, clock::now(), "endpoints register", reason, ids.clone(), details).await?;
    let store = async |webhook: &str, key: &WebhookKey| {
        let key = KeyText::new(key.text());
        keys.restore(&reference).await?;
        match keys.current(&reference).await? {
            Some(_) => keys.rotate(&reference, &key).await?,
            None => keys.put(&reference, &key).await?,
        }
        keys.note_webhook(name, webhook).await
    };
    let done = register::carry_out(&mut client, &endpoint, &plan, act.name(), store).await;
    act.end(clock::now(), ids, serde_json::to_value(&done)?).await?;
    if args.json {
        say!("{}", json!({ "plan": plan, "done": done, "act": act.name() }));
    } else {
        tell(&plan);
        tell_done(&done, &reference);
        say!("recorded as {}", act.name());
    }
    if let Some(problem) = &done.error {
        complain!("tollgate: {problem}");
        return Ok(ExitCode::from(2));
    }
    Ok(verdict(&plan))
}

fn verdict(plan: &Plan) -> ExitCode {
    if plan.is_amiss() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn tell(plan: &Plan) {
    let what = match &plan.step {
        Step::Make => "none is there: one is to be made".to_owned(),
        Step::Nothing { webhook } => format!("{webhook} is there, and its key is stored"),
        Step::StoreKey { webhook } => {
            format!("{webhook} is there, and its key is not the one that is stored: it is to be stored")
        }
        Step::Replace { webhooks } => {
            format!("another one is to be made, and {} to be removed", webhooks.join(", "))
        }
        Step::RemoveOthers { webhook, webhooks } => {
            format!("{webhook} is there, and its key is stored; to be removed: {}", webhooks.join(", "))
        }
        Step::KeyLost { webhooks, has_key } => {
            let here = if *has_key {
                "whether the key that is stored is its own nobody knows here: `tollgate endpoints check` says whether it verifies"
            } else {
                "its key is NOT stored"
            };
            format!(
                "{} is there; {here}. The provider's API shows it once: --replace makes another one",
                webhooks.join(", ")
            )
        }
    };
    say!("{}, webhook of {} to {}: {what}", plan.endpoint, plan.provider, plan.url);
    let Types { is_all, sent, missed, ignored, unknown } = &plan.types;
    say!("types: {}", if *is_all { "all".to_owned() } else { sent.len().to_string() });
    for (types, what) in [
        (missed, "not sent, though read here: these events are MISSED"),
        (unknown, "not known here: these events will be unrecognised"),
        (ignored, "unrecognised on purpose"),
    ] {
        if !types.is_empty() {
            say!("{} {what}: {}", types.len(), named(types));
        }
    }
    for note in &plan.notes {
        say!("{note}");
    }
}

fn tell_done(done: &Done, reference: &Reference) {
    if let Some(webhook) = &done.made {
        say!("made: {webhook}");
    }
    if done.stored.is_some() {
        say!("its key is current in {reference}; the one before it still verifies, where there was one");
    }
    if !done.removed.is_empty() {
        say!("removed: {}", done.removed.join(", "));
    }
}

fn named(types: &BTreeSet<String>) -> String {
    let mut names: Vec<&str> = types.iter().map(String::as_str).take(MOST_NAMED).collect();
    if types.len() > MOST_NAMED {
        names.push("…");
    }
    names.join(", ")
}
