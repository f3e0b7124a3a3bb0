//! `docs/providers.md`, written from the catalogue.

use anyhow::Context;
use tollgate_operate::provider_api::with_objects;
use tollgate_providers::{
    catalogue::{self, EventField, Provider},
    normalise::{EventTypes, Normaliser},
};

use crate::provider_cells::{HEADINGS, cells};

const HEAD: &str = "\
<!-- Written by `tollgate providers --markdown` from crates/providers/catalogue.toml: change that, not this. -->

# Providers

*verified*: the signature covers the whole body, and nobody can make one without the key. *authenticated*: it proves the
sender and not, or not for certain, what the body says; consumers find the word on every event. *unconfirmed*: no second
source than the documentation was found, so check a real delivery before relying on it. Windows have both sides; `tolerance_seconds` of an endpoint sets another one.
An *own* event id is the provider's for each event. A *composite* one is made of what the event says: each holds all by
which its event's type, movement and amount are decided.

A provider that is not here and signs by a rule like these can be set up without a new image: `scheme` takes the rule
itself ([custom-schemes.md](custom-schemes.md)). Those who send to `generic` read [senders.md](senders.md).

";

const EVENTS: &str = "
## Events

*signed*: which of an event's id, type, transaction, movement, amount and time are signed, in every event of the
provider. *mapped*: event types, or statuses of a provider without event types, that become one of ours. *ignored on
purpose*: they are about no payment, refund, dispute, payout, subscription or invoice, and their events are
`payment.unrecognized`. *published*: both together, which are all types of the lists that were read. The provider's part
of the set-up below names these lists, and says why something is not signed. The types are in
crates/providers/event-types.

";

/// The headings of the table of events.
const EVENT_HEADINGS: [&str; 5] = ["provider", "signed", "mapped", "ignored on purpose", "published"];

const FETCHED: &str = "
## Events that are fetched

Some webhooks only name an object and say that it changed. With `enrich = true` in the endpoint's row, and the provider's key stored by
`tollgate endpoints api-key ENDPOINT --secret-file FILE`, the processor fetches it, and the event has its type and amount. Such an event is `enriched`, and at most
`retrieved` ([SEMANTICS 7.18](SEMANTICS.md#7-verification)). Without either it says what its webhook says. A key that is added later is in use within
`SecretTtlSeconds` (300). The key may only have to read. `tollgate endpoints check` and `tollgate doctor` say whether it is there.

";

/// The headings of the table of what is fetched.
const FETCHED_HEADINGS: [&str; 3] = ["provider", "what is fetched", "key"];

const NOT_FETCHED: &str = "
Mollie's classic webhooks (a form with `id=tr_…` alone) are taken at no endpoint, and their payments are not fetched. Nobody signs them, and every state of a payment
sends the same bytes: neither a forgery nor a repeat could be told from a change. Mollie's signed webhooks tell the same payments and refunds, each state with an id of its own: let
Mollie send those. Nor are fetched Mercado Pago's merchant orders, subscriptions, chargebacks and claims, whose events are updates; its orders say what
they have to say.
";

const SETUP: &str = "
## Set-up

In three lines each: what to do at the provider, where URL is `https://…/webhook/{id}` of your API; the row of the
endpoints file and the key; what to know. Then

```
tollgate endpoints apply FILE.toml                        # checks every row, then writes them all
tollgate endpoints rotate stripe --secret-file KEY        # the first key, and each later one; the one before stays valid
tollgate verify REQUEST.json --endpoint stripe            # a captured request: is it genuine, and why not
```

KEY is a file with the key as it is described, and nothing else; several at once are
`{\"keys\":[{\"id\":\"2026-01\",\"value\":\"…\"}]}`.
";

/// The whole page.
///
/// # Errors
///
/// A catalogue row that cannot be used.
pub(crate) fn render() -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    page += &line(&HEADINGS.map(str::to_owned));
    page += &line(&HEADINGS.map(|_| "---".to_owned()));
    for row in catalogue::providers() {
        let [name, location, algorithm, window, proves, event_id, confirmed] = cells(row)?;
        let name = format!("[{name}](#{name})");
        page += &line(&[name, location, algorithm, window, proves, event_id, confirmed]);
    }
    page += EVENTS;
    page += &line(&EVENT_HEADINGS.map(str::to_owned));
    page += &line(&EVENT_HEADINGS.map(|_| "---".to_owned()));
    for row in catalogue::providers() {
        page += &line(&events(row)?);
    }
    page += FETCHED;
    page += &line(&FETCHED_HEADINGS.map(str::to_owned));
    page += &line(&FETCHED_HEADINGS.map(|_| "---".to_owned()));
    for api in with_objects()? {
        let kinds: Vec<String> = api.kinds.iter().map(|kind| format!("`{}`", kind.name)).collect();
        page += &line(&[format!("[{0}](#{0})", api.name), kinds.join(", "), api.key_text.clone()]);
    }
    page += NOT_FETCHED;
    page += SETUP;
    for row in catalogue::providers() {
        page += &setup(row)?;
    }
    Ok(page)
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The cells of the table of events, in the order of [`EVENT_HEADINGS`].
fn events(row: &Provider) -> anyhow::Result<[String; 5]> {
    let types = event_types(row)?;
    let (mapped, ignored) = (types.mapped.len(), types.ignored.len());
    let signed = EventField::ALL.into_iter().filter(|field| !unsigned(row).contains(field));
    let signed: Vec<&str> = signed.map(EventField::as_str).collect();
    let signed = match signed.len() {
        0 => "nothing".to_owned(),
        6 => "all".to_owned(),
        _ => signed.join(", "),
    };
    let counts = [mapped, ignored, mapped + ignored].map(|count| count.to_string());
    let [mapped, ignored, published] = counts;
    Ok([format!("[{0}](#{0})", row.name), signed, mapped, ignored, published])
}

fn event_types(row: &Provider) -> anyhow::Result<&'static EventTypes> {
    let types = Normaliser::named(row.normaliser()).and_then(|it| EventTypes::of(it.name()));
    types.with_context(|| format!("{}: no event types", row.name))
}

fn unsigned(row: &Provider) -> &[EventField] {
    row.unsigned.as_ref().map_or(&[], |unsigned| &unsigned.fields)
}

fn setup(row: &Provider) -> anyhow::Result<String> {
    let Provider { name, title, source, .. } = row;
    let key = match row.keys_have_ids {
        true => format!("{}: `{{\"keys\":[{{\"id\":\"ID\",\"value\":\"KEY\"}}]}}`", row.key_text),
        false => row.key_text.clone(),
    };
    let unconfirmed =
        row.unconfirmed.as_ref().map(|why| format!(" **Unconfirmed**: {why}.")).unwrap_or_default();
    let sources = event_types(row)?.sources.join("; ");
    let not_signed = row.unsigned.as_ref().map(|unsigned| {
        let fields: Vec<&str> = unsigned.fields.iter().map(|field| field.as_str()).collect();
        format!(" Not signed: {} ({}).", fields.join(", "), unsigned.why)
    });
    let shared = row.shared_key.as_ref().map(|why| format!(" `authenticated` only: {why}."));
    let not_signed = not_signed.unwrap_or_default() + &shared.unwrap_or_default();
    Ok(format!(
        "\n### {name}\n\n{title}. Rule: {source}.{unconfirmed} Event types: {sources}.{not_signed}\n\n\
         1. {}\n2. `{}`; key: {key}.\n3. {}\n",
        row.register.replace("{url}", "URL"),
        endpoint(row)?,
        row.know,
    ))
}

/// The provider's row of an endpoints file.
fn endpoint(row: &Provider) -> anyhow::Result<String> {
    let name = &row.name;
    let url = if row.info()?.signs_url { r#", notification_url = "https://…""# } else { "" };
    Ok(format!(
        r#"endpoints = [{{ id = "{name}", scheme = "{name}", secret = "secretsmanager:tollgate/{{suffix}}/{name}"{url} }}]"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_current() {
        let page = include_str!("../../../docs/providers.md");
        assert!(page == render().unwrap(), "tollgate providers --markdown > docs/providers.md");
    }

    #[test]
    fn every_row_of_an_endpoints_file_applies() {
        for row in catalogue::providers() {
            let endpoints = crate::endpoints::from_text(&endpoint(row).unwrap(), "dev");
            assert_eq!(endpoints.map(|all| all.len()), Ok(1), "{}", row.name);
        }
    }
}
