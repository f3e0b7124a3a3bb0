//! What an id names. The tables are asked first, each by its key; of what they do not say the archive is.

use std::collections::BTreeSet;

use tollgate_core::{EffectId, EndpointId, EventId, LedgerKey, Timestamp, WebhookId, id::bounded};

use super::model::Named;
use crate::{archived::Archive, tables::Tables};

/// What an id led to.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) names: Vec<Named>,
    pub(super) webhooks: BTreeSet<WebhookId>,
    pub(super) keys: BTreeSet<LedgerKey>,
    pub(super) payments: BTreeSet<(EndpointId, String)>,
    pub(super) notes: Vec<String>,
}

impl Hits {
    fn is_empty(&self) -> bool {
        self.webhooks.is_empty() && self.keys.is_empty() && self.payments.is_empty()
    }

    fn name(&mut self, named: Named) {
        if !self.names.contains(&named) {
            self.names.push(named);
        }
    }
}

/// Fields of an archived event that an id may be in.
const OF_PROVIDERS: &[&str] = &["provider_event_id", "transaction_id", "movement_id"];
const OF_OURS: &[&str] = &["id"];
const OF_EFFECTS: &[&str] = &["effect_id"];

/// Asks the tables.
pub(super) async fn in_tables(tables: &Tables, endpoints: &[EndpointId], id: &str) -> anyhow::Result<Hits> {
    let mut hits = Hits::default();
    if let Some(webhook_id) = WebhookId::parse(id) {
        hits.name(Named::Webhook);
        hits.webhooks.insert(webhook_id);
        return Ok(hits);
    }
    if let Some(event) = EventId::parse(id) {
        if let Some(claim) = tables.telling(event).await? {
            hits.name(Named::Event);
            hits.webhooks.insert(claim.webhook_id);
        }
        return Ok(hits);
    }
    if let Some(effect) = EffectId::parse(id) {
        for claim in tables.effect(effect).await? {
            hits.name(Named::Effect);
            hits.webhooks.insert(claim.webhook_id);
        }
        return Ok(hits);
    }
    for (endpoint, key, known) in tables.provider_event(endpoints, id).await? {
        hits.name(Named::ProviderEvent { endpoint });
        hits.keys.insert(key);
        hits.webhooks.extend(known.webhook_id);
    }
    for (endpoint, latest) in tables.transaction(endpoints, id).await? {
        let own = bounded(id.into()).into_owned();
        let alias = latest.alias_of.or(latest.authenticated_alias_of);
        let of = alias.as_deref().and_then(|key| key.split_once('#')).map(|(_, of)| of.to_owned());
        if latest.state.is_some() {
            hits.name(Named::Transaction { endpoint });
            hits.payments.insert((endpoint, own));
        }
        if let Some(of) = of {
            hits.name(Named::Alias { endpoint, of: of.clone() });
            hits.payments.insert((endpoint, of));
        }
    }
    if hits.is_empty() {
        match tables.movement(endpoints, id).await? {
            Some(claims) => {
                for (endpoint, claim) in claims {
                    hits.name(Named::Movement { endpoint });
                    hits.webhooks.insert(claim.webhook_id);
                }
            }
            None => hits.notes.push(
                "a movement was not looked for among the claims of effects, since there are many endpoints: name one with --endpoint"
                    .to_owned(),
            ),
        }
    }
    Ok(hits)
}

/// Asks the archive of these days, where the tables did not know.
pub(super) async fn in_archive(
    archive: &Archive,
    days: &[Timestamp],
    endpoints: &[EndpointId],
    id: &str,
    hits: &mut Hits,
) -> anyhow::Result<()> {
    if !hits.is_empty() {
        return Ok(());
    }
    let fields = match (EventId::parse(id), EffectId::parse(id)) {
        (Some(_), _) => OF_OURS,
        (_, Some(_)) => OF_EFFECTS,
        _ => OF_PROVIDERS,
    };
    for day in days {
        let found = archive.of_event(*day, fields, &bounded(id.into())).await?;
        hits.notes.extend(found.notes);
        for row in found.rows.iter().map(|found| &found.row) {
            let Ok(endpoint) = EndpointId::new(&row.endpoint) else { continue };
            if !endpoints.contains(&endpoint) {
                continue;
            }
            hits.webhooks.extend(WebhookId::parse(&row.webhook_id));
            hits.name(named(fields, row.events.iter().map(String::as_str), id, endpoint));
        }
    }
    if hits.is_empty() {
        let days: Vec<String> = days.iter().map(|day| day.strftime("%Y-%m-%d").to_string()).collect();
        hits.notes.push(format!(
            "no table has it, nor the archive of {} (UTC): another day is asked for with --date",
            days.join(" and ")
        ));
    }
    Ok(())
}

fn named<'a>(
    fields: &[&str],
    events: impl Iterator<Item = &'a str>,
    id: &str,
    endpoint: EndpointId,
) -> Named {
    if fields == OF_OURS {
        return Named::Event;
    }
    if fields == OF_EFFECTS {
        return Named::Effect;
    }
    for event in events {
        let Ok(event) = serde_json::from_str::<tollgate_core::PaymentEvent<'static>>(event) else { continue };
        if event.provider_event_id == id {
            return Named::ProviderEvent { endpoint };
        }
        if event.transaction_id == id {
            return Named::Transaction { endpoint };
        }
    }
    Named::Movement { endpoint }
}
