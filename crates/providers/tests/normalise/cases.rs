//! The cases in `tests/bodies/*.txt`. A file is named for its provider and holds cases of this form:
//!
//! ```text
//! == what the case shows
//! > header-name: value           (any number; `@name: value` sets a parameter of the endpoint,
//!                                 `@query: …` is the query, `@wrap: bt_payload` sends the body as Braintree's form)
//! the body, as many lines as it has
//! <= event id | provider's type -> type | transaction | amount | occurred at | further facts
//! ```

use std::{fmt, fs, path::Path, sync::LazyLock};

use tollgate_core::EndpointConfig;
use tollgate_providers::Headers;

use crate::braintree::form;

/// One body and its expected facts.
#[derive(Clone)]
pub struct Case {
    pub provider: String,
    pub name: String,
    pub headers: Headers,
    pub config: EndpointConfig,
    pub query: String,
    /// The body as it is written in the file.
    pub content: String,
    /// The content is sent in Braintree's form.
    pub wrap: bool,
    pub body: Vec<u8>,
    pub expected: Vec<String>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.provider, self.name)
    }
}

impl Case {
    /// `content` as a webhook's body.
    pub fn wrapped(&self, content: &str) -> Vec<u8> {
        if self.wrap { form(content) } else { content.as_bytes().to_vec() }
    }
}

/// An endpoint of `provider` without settings.
pub fn endpoint(provider: &str) -> EndpointConfig {
    serde_json::from_str(&format!(r#"{{"id":"{provider}","scheme":"{provider}","secret":"ssm:none"}}"#))
        .unwrap()
}

/// Every case of every provider.
pub fn all() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(read_all);
    &CASES
}

fn read_all() -> Vec<Case> {
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
        content: String::new(),
        wrap: false,
        body: Vec::new(),
        expected: Vec::new(),
    };
    let mut body = String::new();
    for line in rest.lines() {
        if let Some(setting) = line.strip_prefix("> ") {
            let (name, value) = setting.split_once(": ").unwrap();
            match name.strip_prefix('@') {
                Some("wrap") => case.wrap = true,
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
    body.trim_end_matches('\n').clone_into(&mut case.content);
    case.body = case.wrapped(&case.content);
    case
}
