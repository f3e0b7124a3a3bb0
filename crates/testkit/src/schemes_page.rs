//! `docs/custom-schemes.md`, written from the types that an endpoint's row and a custom scheme are read into, and what
//! their comments say.

const HEAD: &str = r#"<!-- Written by `cargo run -p tollgate-testkit --example schemes-page > docs/custom-schemes.md` from the types of
crates/core/src/endpoint.rs and crates/providers/src: change those, not this. -->

# An endpoint's row, and custom schemes

A sender that is no provider of the [catalogue](providers.md), and does not follow [our own scheme](senders.md), is set up without a new
image: `scheme` is then a table that says how it signs. `tollgate endpoints new` asks for it and writes it:

```
tollgate endpoints new --file endpoints.toml
tollgate endpoints new shop --scheme custom --signature-header X-Shop-Signature --entry 'sha256={signature}' --file endpoints.toml
tollgate endpoints apply endpoints.toml
```

`apply` tells every mistake of every row, and writes nothing then. Before a sender is told the URL:

```
tollgate send --endpoint shop --body event.json --secret-file key.txt --url https://api.example.com/v1
tollgate verify request.json --endpoint shop
```

## Examples

An HMAC of timestamp and body, both in one header (`X-Acme: t=1767323045,v1=5257…`):

```toml
[[endpoints]]
id = "acme-pay"
secret = "secretsmanager:tollgate/{suffix}/acme-pay"
normaliser = "generic"
[endpoints.scheme]
name = "acme"
signature = { header = "X-Acme", separator = ",", entry = "v1={signature}" }
timestamp = { entry = "t={timestamp}", unit = "seconds", window = 300 }
signed = "{timestamp}.{body}"
algorithm = "hmac-sha256"
encoding = "hex"
```

An HMAC of the body alone, in base64, with a key that is given in hexadecimal, of a sender of Stripe's bodies:

```toml
[[endpoints]]
id = "relay"
secret = "secretsmanager:tollgate/{suffix}/relay"
normaliser = "stripe"
[endpoints.scheme]
name = "relay"
signature = { header = "X-Relay-Signature" }
signed = "{body}"
algorithm = "hmac-sha256"
encoding = "base64"
key = { form = "hex", min_bytes = 32 }
```

A public key, a timestamp in a header of its own, and a signed header:

```toml
[[endpoints]]
id = "bank"
secret = "secretsmanager:tollgate/{suffix}/bank"
normaliser = "generic"
[endpoints.scheme]
name = "bank"
signature = { header = "X-Bank-Signature" }
timestamp = { header = "X-Bank-Time", unit = "rfc3339", window = 300 }
signed = "{timestamp}|{header:X-Bank-Id}|{body}"
algorithm = "ed25519"
encoding = "base64"
key = { form = "pem" }
```

A text that is always the same. It proves the sender and nothing about the body, so events are `authenticated` and never `verified`:

```toml
[[endpoints]]
id = "legacy"
secret = "secretsmanager:tollgate/{suffix}/legacy"
normaliser = "generic"
[endpoints.scheme]
name = "legacy"
signature = { header = "Authorization", entry = "Bearer {signature}" }
signed = "{secret}"
algorithm = "token"
encoding = "text"
```

## What its bodies say

`normaliser` names whose bodies the sender sends: `generic` for [our own schema](senders.md#the-body), or a provider's name. **Without it
nothing reads them**: each webhook is taken, archived and published as `payment.unrecognized`. `apply` and `list` warn of it.

With `normaliser = "generic"` the endpoint is still a provider's, called at `/webhook/{id}`: content that does not follow the schema is answered 200, archived and
published as `payment.unrecognized`, where a generic endpoint (`scheme = "generic"`) answers 400; and a repeat is answered
200, unless the row says `on_duplicate = "conflict"`. A sender that is to be told of its mistakes signs by our own scheme.

Some normalisers read headers too, as `standard_webhooks` its `webhook-id`. Where the scheme does not sign those, events are `authenticated`, and
named after their bodies; `apply` warns of it.

## What a scheme must be

More is asked of it than of a provider's, which is as it is:

- It signs something of the webhook, or is a token in a header. A plain hash has the key at its end: else who has one hash can make
  another (length extension).
- Where one of the sender's values in `signed` ends is told by the text behind it, and `{body}` comes last.
- A timestamp has a window, and a key at least 8 bytes.
- What is not in its one spelling is refused: hexadecimal in upper case for `hex`, base64 without its padding.

"#;

/// A type whose settings are listed: where it is, its heading, and what is said of it.
const TYPES: [(&str, &str, &str); 9] = [
    (
        "EndpointConfig",
        "The row",
        "`[[endpoints]]`. `{suffix}` in its texts stands for the environment's suffix.",
    ),
    ("KeepRejected", "`keep_rejected`", "How many refused webhooks are kept in a day of UTC, at most."),
    (
        "SchemeSpec",
        "`scheme`",
        "As a table. Beside these: `name`, what events call the sender (`provider`); without it `custom`. It is none of the \
         catalogue's.",
    ),
    ("SignatureSpec", "`signature`", "Where the signatures are. Exactly one of `header`, `form` and `json`."),
    ("TimestampSpec", "`timestamp`", "The signed timestamp. Exactly one of `header`, `entry` and `first`."),
    ("KeySpec", "`key`", "How the sender gives its keys."),
    ("Algorithm", "`algorithm`", ""),
    ("Encoding", "`encoding`", ""),
    ("Unit", "`timestamp.unit`", ""),
];

/// More types, within others.
const INLINE: [&str; 3] = ["KeyForm", "Delivery", "OnDuplicate"];

const SOURCES: [&str; 4] = [
    include_str!("../../core/src/endpoint.rs"),
    include_str!("../../providers/src/scheme/declared/spec.rs"),
    include_str!("../../providers/src/key/algorithm.rs"),
    include_str!("../../providers/src/text.rs"),
];

/// A struct's fields or an enum's values, as they are written in a row.
struct Listed {
    name: String,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    kind: String,
    is_wanted: bool,
    docs: String,
}

/// The whole page.
pub fn render() -> String {
    let types: Vec<Listed> = SOURCES.iter().flat_map(|source| listed(source)).collect();
    let find = |name: &str| {
        types.iter().find(|listed| listed.name == name).unwrap_or_else(|| panic!("no type {name} is listed"))
    };
    let mut page = HEAD.to_owned();
    for (name, heading, about) in TYPES {
        page += &format!("## {heading}\n\n");
        if !about.is_empty() {
            page += &format!("{about}\n\n");
        }
        let is_enum = find(name).entries.iter().all(|entry| entry.kind.is_empty());
        page += if is_enum { "| | |\n|---|---|\n" } else { "| setting | | |\n|---|---|---|\n" };
        for entry in &find(name).entries {
            let wanted = if entry.is_wanted { ", wanted" } else { "" };
            let docs = entry.docs.replace('|', "\\|");
            page += &match is_enum {
                true => format!("| `{}` | {docs} |\n", entry.name),
                false => {
                    format!("| `{}` | {}{wanted} | {docs} |\n", entry.name, in_words(&entry.kind, &types))
                }
            };
        }
        page += "\n";
    }
    page.trim_end().to_owned() + "\n"
}

fn in_words(kind: &str, types: &[Listed]) -> String {
    let kind = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind);
    let words = match kind {
        "String" | "EndpointId" => "text",
        "u32" | "u64" | "usize" => "whole number",
        "bool" => "true or false",
        "Vec<String>" => "list of texts",
        "OneOrMany" => "text, or a list of texts",
        "std::collections::BTreeMap<String, String>" => "table of texts",
        "BTreeMap<String, Vec<String>>" => "table of lists of texts",
        "serde_json::Value" => "text or table",
        name if INLINE.contains(&name) => {
            let listed = types.iter().find(|listed| listed.name == name);
            let entries = &listed.unwrap_or_else(|| panic!("no type {name} is listed")).entries;
            let values = entries
                .iter()
                .map(|entry| format!("`{}` ({})", entry.name, entry.docs.trim_end_matches('.')));
            return values.collect::<Vec<_>>().join(", ");
        }
        name => {
            let heading = TYPES.iter().find(|(known, ..)| *known == name);
            let (_, heading, _) = heading.unwrap_or_else(|| panic!("no words for the type {name}"));
            let anchor = heading.replace(['`', '.'], "");
            return format!("[{heading}](#{anchor})");
        }
    };
    words.to_owned()
}

/// The public types of a source that rustfmt has written.
fn listed(source: &str) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
    let (mut docs, mut attributes, mut is_open) = (String::new(), String::new(), false);
    let mut of_type = String::new();
    for line in source.lines() {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix("///") {
            docs = format!("{docs} {}", comment.trim()).trim().to_owned();
        } else if text.starts_with("#[") {
            attributes += text;
        } else {
            let head = ["pub struct ", "pub enum "].iter().find_map(|head| line.strip_prefix(head));
            if let Some(name) = head.and_then(|rest| rest.strip_suffix(" {")) {
                found.push(Listed { name: name.to_owned(), entries: Vec::new() });
                (is_open, of_type) = (true, attributes.clone());
            } else if line == "}" {
                is_open = false;
            } else if let (true, Some(listed), Some(entry)) =
                (is_open, found.last_mut(), text.strip_suffix(','))
            {
                listed.entries.push(entry_of(entry, &docs, &attributes, &of_type));
            }
            docs.clear();
            attributes.clear();
        }
    }
    found
}

fn entry_of(text: &str, docs: &str, attributes: &str, of_type: &str) -> Entry {
    // Links to code are for those who read the code.
    let docs = docs.replace("[`MAX_QUIET_HOURS`]", "2,016").replace("[`", "`").replace("`]", "`");
    match text.strip_prefix("pub ").and_then(|field| field.split_once(": ")) {
        Some((name, kind)) => {
            let has_default = |attributes: &str| attributes.contains("default");
            let is_wanted = !has_default(attributes) && !has_default(serde_of(of_type));
            Entry { name: name.to_owned(), kind: kind.to_owned(), is_wanted, docs }
        }
        None => {
            let separator = if of_type.contains("kebab-case") { "-" } else { "_" };
            let mut name = String::new();
            for c in text.chars() {
                if c.is_ascii_uppercase() && !name.is_empty() {
                    name += separator;
                }
                name.extend(c.to_lowercase());
            }
            Entry { name, kind: String::new(), is_wanted: false, docs }
        }
    }
}

/// What serde is told of a type, without its derives.
fn serde_of(attributes: &str) -> &str {
    attributes.find("#[serde(").map_or("", |at| &attributes[at..])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use tollgate_core::{Delivery, EndpointConfig, KeepRejected, OnDuplicate};
    use tollgate_providers::scheme::{
        Algorithm, Encoding, KeyForm, KeySpec, SchemeSpec, SignatureSpec, TimestampSpec, Unit,
    };

    use super::*;

    #[test]
    fn the_page_is_current() {
        let page = include_str!("../../../docs/custom-schemes.md");
        assert!(
            page == render(),
            "run: cargo run -p tollgate-testkit --example schemes-page > docs/custom-schemes.md"
        );
    }

    #[test]
    fn every_setting_and_value_that_is_read_is_listed() {
        let types: Vec<Listed> = SOURCES.iter().flat_map(|source| listed(source)).collect();
        let (field, value) = (json!({ "?": 0 }), json!("?"));
        let cases = [
            ("EndpointConfig", serde_json::from_value::<EndpointConfig>(field.clone()).err()),
            ("SchemeSpec", serde_json::from_value::<SchemeSpec>(field.clone()).err()),
            ("SignatureSpec", serde_json::from_value::<SignatureSpec>(field.clone()).err()),
            ("TimestampSpec", serde_json::from_value::<TimestampSpec>(field.clone()).err()),
            ("KeepRejected", serde_json::from_value::<KeepRejected>(field.clone()).err()),
            ("KeySpec", serde_json::from_value::<KeySpec>(field).err()),
            ("Algorithm", serde_json::from_value::<Algorithm>(value.clone()).err()),
            ("Encoding", serde_json::from_value::<Encoding>(value.clone()).err()),
            ("Unit", serde_json::from_value::<Unit>(value.clone()).err()),
            ("KeyForm", serde_json::from_value::<KeyForm>(value.clone()).err()),
            ("Delivery", serde_json::from_value::<Delivery>(value.clone()).err()),
            ("OnDuplicate", serde_json::from_value::<OnDuplicate>(value).err()),
        ];
        for (name, problem) in cases {
            let problem = problem.unwrap().to_string();
            let listed = types.iter().find(|listed| listed.name == name).unwrap();
            let names: BTreeSet<String> = listed.entries.iter().map(|entry| entry.name.clone()).collect();
            let expected = problem.split("expected").nth(1).unwrap();
            let expected: BTreeSet<String> =
                expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            assert_eq!(names, expected, "{name}: {problem}");
            assert!(
                listed.entries.iter().all(|entry| !entry.docs.is_empty()),
                "{name}: something is not said"
            );
        }
        let wanted = |name: &str| -> Vec<&str> {
            let listed = types.iter().find(|listed| listed.name == name).unwrap();
            listed.entries.iter().filter(|entry| entry.is_wanted).map(|entry| entry.name.as_str()).collect()
        };
        assert_eq!(wanted("EndpointConfig"), ["id", "scheme", "secret"]);
        assert_eq!(wanted("SchemeSpec"), ["signature", "signed", "algorithm", "encoding"]);
        assert_eq!(wanted("SignatureSpec"), [""; 0]);
        assert_eq!(wanted("TimestampSpec"), ["unit"]);
        assert_eq!(wanted("KeySpec"), [""; 0]);
    }
}
