//! A body as people may see it: without card numbers, card verification data and e-mail addresses, as far as
//! `tollgate_core::sensitive` finds them (docs/SEMANTICS.md §9.3), and verification data by its name in any text. What is encoded (base64,
//! `%34`) it does not find, so a body that is masked is still a customer's.

use std::{borrow::Cow, fmt::Write, ops::Range};

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
/// What a text of XML may begin with.
const CDATA: &str = "<![CDATA[";

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
    without_verification_data(&text)
}

/// The text without what stands behind a name of card verification data: in XML, in a JSON text within a text, in what is signed of a
/// body, or in a body that is cut off. Of these no reader says what is a key, so it rather takes too much than too little.
fn without_verification_data(text: &str) -> String {
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let find = |from: usize, is: fn(char) -> bool| {
        part(from, text.len()).find(is).map_or(text.len(), |distance| from + distance)
    };
    let mut out = String::with_capacity(text.len());
    let (mut shown, mut before) = (0, 0..0);
    let mut begin = find(0, is_of_word);
    while begin < text.len() {
        let end = find(begin, |c| !is_of_word(c));
        // A name may be of two words: `security-code`.
        let is_beside = !before.is_empty() && part(before.end, begin).chars().count() == 1;
        let is_name = names_verification_data(part(begin, end))
            || is_beside && names_verification_data(part(before.start, end));
        before = begin..end;
        let mut next = end;
        if is_name && let Some(value) = value_behind(text, begin, end) {
            out.push_str(part(shown, value.start));
            out.push_str(REMOVED);
            (shown, next) = (value.end, value.end);
        }
        begin = find(next, is_of_word);
    }
    out.push_str(part(shown, text.len()));
    out
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where the value of a name is that stands from `begin` to `end`; `None` where nothing there is one.
fn value_behind(text: &str, begin: usize, end: usize) -> Option<Range<usize>> {
    let rest = |from: usize| text.get(from..).unwrap_or_default();
    let skip = |from: usize, is: fn(char) -> bool| {
        let rest = rest(from);
        from + rest.find(|c| !is(c)).unwrap_or(rest.len())
    };
    let is_quote: fn(char) -> bool = |c| matches!(c, '"' | '\'' | '\\');
    // Of an element of XML its attributes stand between, and of a field its end: `card[cvc]`, `"cvc"`.
    let named = match is_element(text.get(..begin).unwrap_or_default()) {
        true => end + rest(end).find('>')?,
        false => skip(end, |c| matches!(c, '"' | '\'' | '\\' | ']')),
    };
    let sign = skip(named, char::is_whitespace);
    let mut at = skip(sign, |c| matches!(c, ':' | '=' | '>'));
    let is_assigned = at > sign;
    at = skip(at, char::is_whitespace);
    if rest(at).starts_with(CDATA) {
        at += CDATA.len();
    }
    let from = skip(at, is_quote);
    let is_quoted = from > at;
    let value = rest(from);
    let ends = |c: char| match c {
        '"' | '\'' | '\\' | '<' => true,
        '&' | ',' | ';' | '}' | ']' | '|' => !is_quoted,
        c => !is_quoted && c.is_whitespace(),
    };
    // Of what has parts of its own nobody knows where it ends.
    let length = if value.starts_with(['{', '[']) { None } else { value.find(ends) };
    let length = length.unwrap_or(value.len());
    // In prose nothing says that the next word is the value, but that it is a number.
    let is_value = length > 0 && (is_assigned || value.starts_with(|c: char| c.is_ascii_digit()));
    is_value.then(|| from..from + length)
}

/// Whether a name of an element of XML begins behind this text: `<`, and perhaps a prefix.
fn is_element(before: &str) -> bool {
    let name = before.trim_end_matches(|c| is_of_word(c) || matches!(c, ':' | '-' | '.'));
    name.ends_with('<')
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
    fn verification_data_is_removed_in_texts_that_no_reader_knows() {
        let within = r#"{"body":"{\"card\":{\"cvv\":\"123\",\"exp\":\"12/30\"}}"}"#;
        let as_json =
            "{\n  \"body\": \"{\\\"card\\\":{\\\"cvv\\\":\\\"[removed]\\\",\\\"exp\\\":\\\"12/30\\\"}}\"\n}";
        let lines = format!("{0}\n{0}", within.replace("123", "[removed]"));
        for (text, shown) in [
            // What Stripe signs; cut off, too.
            (r#"1767323045.{"cvv":"123","a":1}"#.to_owned(), r#"1767323045.{"cvv":"[removed]","a":1}"#),
            (
                r#"1767323045.{"card":{"security_code": 123, "a":1"#.to_owned(),
                r#"1767323045.{"card":{"security_code": [removed], "a":1"#,
            ),
            // Rows for the archive, a line each: their bodies are JSON texts within JSON.
            (format!("{within}\n{within}"), lines.as_str()),
            (within.to_owned(), as_json),
            ("<card><cvv>123</cvv><a>1</a></card>".to_owned(), "<card><cvv>[removed]</cvv><a>1</a></card>"),
            (r#"<n:cvv kind="x">123</n:cvv>"#.to_owned(), r#"<n:cvv kind="x">[removed]</n:cvv>"#),
            ("<cvv><![CDATA[123]]></cvv>".to_owned(), "<cvv><![CDATA[[removed]]]></cvv>"),
            (r#"<card cvv="123" a="1"/>"#.to_owned(), r#"<card cvv="[removed]" a="1"/>"#),
            ("card[cvc]=123&a=1 2".to_owned(), "card[cvc]=[removed]&a=1 2"),
            ("Security code: 123, a: 1".to_owned(), "Security code: [removed], a: 1"),
            ("CVV 123 A 1".to_owned(), "CVV [removed] A 1"),
            ("name=\"cvv\"\r\n\r\n123\r\n--x".to_owned(), "name=\"cvv\"\r\n\r\n[removed]\r\n--x"),
            (r#"x {"cvv":{"value":"123"}}"#.to_owned(), r#"x {"cvv":[removed]"#),
            ("cvv was good, pin".to_owned(), "cvv was good, pin"),
            ("{\"cvv".to_owned(), "{\"cvv"),
        ] {
            assert_eq!(masked(text.as_bytes()), shown, "{text}");
        }
    }

    #[test]
    fn what_is_nested_without_end_ends() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(masked(deep.as_bytes()).len() < 20_000);
    }
}
