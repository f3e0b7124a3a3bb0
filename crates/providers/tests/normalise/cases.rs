//! The cases in `tests/bodies/*.txt`. A file is named for its provider and holds cases of this form:
//!
//! ```text
//! == what the case shows
//! > header-name: value           (any number; `@name: value` sets a parameter of the endpoint,
//!                                 `@query: …` is the query, `@wrap: bt_payload` sends the body as Braintree's form)
//! the body, as many lines as it has
//! <= event id | provider's type -> type | transaction | amount | occurred at | further facts
//! ```

use std::{fmt, fs, path::Path};

use tollgate_core::EndpointConfig;
use tollgate_providers::{Headers, Received, Trusted, normalise::Normaliser};

use crate::{braintree::form, describe::describe};

/// One body and its expected facts.
pub struct Case {
    pub provider: String,
    pub name: String,
    pub headers: Headers,
    pub config: EndpointConfig,
    pub query: String,
    pub body: Vec<u8>,
    pub expected: Vec<String>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.provider, self.name)
    }
}

impl Case {
    /// One line an event, or one line `error: …`.
    pub fn normalise(&self) -> Vec<String> {
        let normaliser = Normaliser::named(&self.provider).expect("a known provider");
        let received = Received { headers: &self.headers, query: &self.query, body: &self.body };
        match normaliser.normalise(Trusted::for_inspection(received), &self.config) {
            Ok(events) => events.iter().map(describe).collect(),
            Err(error) => vec![format!("error: {error}")],
        }
    }
}

/// An endpoint of `provider` without settings.
pub fn endpoint(provider: &str) -> EndpointConfig {
    serde_json::from_str(&format!(r#"{{"id":"{provider}","scheme":"{provider}","secret":"ssm:none"}}"#))
        .unwrap()
}

/// Every case of every provider.
pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bodies");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Case> {
    let provider = path.file_stem().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let cases = text.split("== ").skip(1).map(|case| parse(provider, case)).collect::<Vec<_>>();
    assert!(!cases.is_empty(), "{provider} has no cases");
    cases
}

fn parse(provider: &str, text: &str) -> Case {
    let (name, rest) = text.split_once('\n').unwrap();
    let mut case = Case {
        provider: provider.to_owned(),
        name: name.to_owned(),
        headers: Headers::new(),
        config: endpoint(provider),
        query: String::new(),
        body: Vec::new(),
        expected: Vec::new(),
    };
    let (mut body, mut wrap) = (String::new(), false);
    for line in rest.lines() {
        if let Some(setting) = line.strip_prefix("> ") {
            let (name, value) = setting.split_once(": ").unwrap();
            match name.strip_prefix('@') {
                Some("wrap") => wrap = true,
                Some("query") => value.clone_into(&mut case.query),
                Some(name) => {
                    case.config.parameters.insert(name.to_owned(), value.to_owned());
                }
                None => case.headers.push(name, value),
            }
        } else if let Some(expected) = line.strip_prefix("<= ") {
            case.expected.push(expected.to_owned());
        } else {
            body.push_str(line);
            body.push('\n');
        }
    }
    assert!(!case.expected.is_empty(), "{case} expects nothing");
    let body = body.trim_end_matches('\n');
    case.body = if wrap { form(body) } else { body.as_bytes().to_vec() };
    case
}
