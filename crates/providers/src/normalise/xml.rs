//! XML bodies, read into a flat list. Document types and custom entities are refused; depth and size are bounded.

use quick_xml::{Reader, events::Event};

use super::content::ContentError;

const MAX_DEPTH: usize = 32;
const MAX_TEXTS: usize = 65_536;
/// The longest path of an element, in bytes: every text is kept with its path.
const MAX_PATH: usize = 1_024;

/// The texts of a document, each under the path of its element (`/notification/kind`), in document order.
pub(super) struct Texts(Vec<(String, String)>);

impl Texts {
    /// Reads a whole document.
    ///
    /// # Errors
    ///
    /// [`ContentError::NotJson`] when it is not well-formed XML, has a document type or an unknown entity, or
    /// is nested deeper than 32, longer than 65,536 texts
    /// or has names that make a path of more than 1,024 bytes.
    pub(super) fn read(document: &str) -> Result<Self, ContentError> {
        read(document).map(Self).ok_or(ContentError::NotJson)
    }

    /// The first text at `path` that is not empty.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|(known, text)| known == path && !text.is_empty()).map(|(_, text)| text.as_str())
    }

    /// The name of the first element below `path`.
    pub(super) fn first_below(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find_map(|(known, _)| known.strip_prefix(path)?.strip_prefix('/'))
            .and_then(|rest| rest.split('/').next())
    }
}

fn read(document: &str) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_str(document);
    let (mut path, mut lengths) = (String::new(), Vec::new());
    let (mut text, mut texts) = (String::new(), Vec::new());
    let mut roots = 0;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                roots += usize::from(lengths.is_empty());
                if lengths.len() == MAX_DEPTH {
                    return None;
                }
                lengths.push(path.len());
                path.push('/');
                path.push_str(start.name().into_inner());
                if path.len() > MAX_PATH {
                    return None;
                }
                text.clear();
            }
            Event::Empty(empty) => {
                roots += usize::from(lengths.is_empty());
                if path.len() + empty.name().into_inner().len() > MAX_PATH {
                    return None;
                }
                texts.push((format!("{path}/{}", empty.name().into_inner()), String::new()));
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(entity) => text.push(match entity.resolve_char_ref().ok()? {
                Some(char) => char,
                None => match &*entity {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    "apos" => '\'',
                    _ => return None,
                },
            }),
            Event::End(_) => {
                texts.push((path.clone(), text.trim().to_owned()));
                text.clear();
                path.truncate(lengths.pop()?);
            }
            Event::DocType(_) => return None,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
        if texts.len() > MAX_TEXTS {
            return None;
        }
    }
    (lengths.is_empty() && roots == 1).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_path() {
        let texts =
            Texts::read("<?xml version='1.0'?><a>\n <b>1 &lt; 2 &#x41;</b><c/><b>x</b><d><b> y </b></d></a>");
        let texts = texts.unwrap();
        assert_eq!(texts.get("/a/b"), Some("1 < 2 A"));
        assert_eq!((texts.get("/a/c"), texts.get("/a/d/b")), (None, Some("y")));
        assert_eq!((texts.first_below("/a"), texts.first_below("/a/d")), (Some("b"), Some("b")));
    }

    #[test]
    fn bodies_that_could_grow_are_refused() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>"#;
        let external = r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>"#;
        let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        let long = format!("<a>{}</a>", "<b/>".repeat(MAX_TEXTS));
        for bad in
            [bomb, external, &deep, &long, "<a>&b;</a>", "<a>", "<a></b>", "<a/><b></b><c></c>", "", "x"]
        {
            assert!(Texts::read(bad).is_err(), "{}", &bad[..bad.len().min(60)]);
        }
    }
}
