//! A body as people may see it: without card numbers, card verification data and e-mail addresses, as far as
//! `tollgate_core::sensitive` finds them (docs/SEMANTICS.md §9.3). What is encoded (base64, a JSON text in a text) it does not
//! find, so a body that is masked is still a customer's.

use std::{borrow::Cow, fmt::Write};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tollgate_core::sensitive::{mask, names_verification_data};

/// What stands in the place of card verification data.
const REMOVED: &str = "[removed]";
/// Deeper values are left out.
const DEEPEST: usize = 64;

/// The body, masked: JSON with an entry on each line, the fields of a form, or any other text. Bytes that are no text are left
/// out.
pub fn masked(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("[{} bytes that are no text]", body.len());
    };
    let mut out = String::with_capacity(text.len());
    if let Ok(json) = serde_json::from_str::<&RawValue>(text)
        && write_json(&mut out, json.get(), 0).is_some()
    {
        return out;
    }
    if is_form(text) { form(text) } else { plain(text) }
}

fn plain(text: &str) -> String {
    let mut text = Cow::Borrowed(text);
    mask(&mut text);
    text.into_owned()
}

/// Entries in their order, which a map would lose.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// `None` where it is no JSON after all.
fn write_json(out: &mut String, json: &str, depth: usize) -> Option<()> {
    if depth > DEEPEST {
        out.push_str("\"[deeper]\"");
        return Some(());
    }
    match json.as_bytes().first()? {
        b'{' => {
            let Entries(entries) = serde_json::from_str(json).ok()?;
            write_all(out, ('{', '}'), depth, entries, |out, (key, value)| {
                write_text(out, &key);
                out.push_str(": ");
                if names_verification_data(&key) {
                    write_text(out, REMOVED);
                    return Some(());
                }
                write_json(out, value.get(), depth + 1)
            })
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            write_all(out, ('[', ']'), depth, items, |out, value| write_json(out, value.get(), depth + 1))
        }
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            write_text(out, &text);
            Some(())
        }
        _ => {
            // A number may be a card's.
            let shown = plain(json);
            if shown == json {
                out.push_str(json)
            } else {
                write_text(out, &shown)
            }
            Some(())
        }
    }
}

fn write_all<T>(
    out: &mut String,
    (open, close): (char, char),
    depth: usize,
    items: Vec<T>,
    mut write: impl FnMut(&mut String, T) -> Option<()>,
) -> Option<()> {
    out.push(open);
    let is_empty = items.is_empty();
    for (position, item) in items.into_iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        // Writing to a `String` does not fail.
        let _ = write!(out, "{comma}\n{}", "  ".repeat(depth + 1));
        write(out, item)?;
    }
    if !is_empty {
        let _ = write!(out, "\n{}", "  ".repeat(depth));
    }
    out.push(close);
    Some(())
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(&plain(text)).unwrap_or_default());
}

/// Whether it looks like `a=b&c=d`.
fn is_form(text: &str) -> bool {
    let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    !text.contains(['\n', '<', ' ']) && text.split('&').all(is_pair)
}

fn form(text: &str) -> String {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if names_verification_data(name) => format!("{name}={REMOVED}"),
        Some((name, value)) => format!("{}={}", plain(name), plain(value)),
        None => plain(pair),
    };
    text.split('&').map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test number of a card.
    const CARD: &str = "4111111111111111";

    #[test]
    fn a_body_of_any_form_is_shown_without_what_is_sensitive() {
        for (body, shown) in [
            (
                format!(
                    r#"{{"z":1,"card":{{"number":"{CARD}","cvv":"123","pan":{CARD}}},"a":["{CARD}",[]]}}"#
                ),
                "{\n  \"z\": 1,\n  \"card\": {\n    \"number\": \"411111******1111\",\n    \"cvv\": \"[removed]\",\n    \"pan\": \
                 \"411111******1111\"\n  },\n  \"a\": [\n    \"411111******1111\",\n    []\n  ]\n}",
            ),
            (format!("card={CARD}&cvc=123&amount=10.00"), "card=411111******1111&cvc=[removed]&amount=10.00"),
            (format!("<card>{CARD}</card>"), "<card>411111******1111</card>"),
            ("{\"amount\":10.00}".to_owned(), "{\n  \"amount\": 10.00\n}"),
            ("{broken".to_owned(), "{broken"),
            (String::new(), ""),
        ] {
            assert_eq!(masked(body.as_bytes()), shown);
        }
        assert_eq!(masked(&[0xff, 0xfe]), "[2 bytes that are no text]");
    }

    #[test]
    fn what_is_nested_without_end_ends() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(masked(deep.as_bytes()).len() < 20_000);
    }
}
