//! How an endpoint's bodies are read: facts are compared only where they were read in the same way.

use std::fmt;

use sha2::{Digest as _, Sha256};
use tollgate_core::EndpointConfig;

/// The digest of the normalisers' sources and what they are made of (`build.rs`), 16 hex digits.
const READING: &str = env!("TOLLGATE_READING");

/// The revision of an endpoint's reading: another one may read other facts of the same body. It is made of the sources
/// that this program was built of, and of the settings that decide what a
/// normaliser reads; as text 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(u64);

impl Revision {
    pub(crate) fn of(config: &EndpointConfig) -> Self {
        // Named one by one, so that a new setting is decided on here.
        let EndpointConfig {
            scheme,
            normaliser,
            parameters,
            notification_url,
            ids_hold_no_cards,
            id: _,
            secret: _,
            delivery: _,
            on_duplicate: _,
            tolerance_seconds: _,
            require_signed_time: _,
            quiet_after_hours: _,
            keep_rejected: _,
            // Facts are compared as the webhook alone tells them.
            enrich: _,
            // What is kept of it is no fact that is compared.
            metadata: _,
        } = config;
        let settings = (READING, scheme, normaliser, parameters, notification_url, ids_hold_no_cards);
        // Text, lists and maps of text: there is always a JSON of them.
        let text = serde_json::to_string(&settings).unwrap_or_default();
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    /// Reads back the text of a revision; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        let revision = Self(u64::from_str_radix(text, 16).ok()?);
        (revision.to_string() == text).then_some(revision)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    fn of(settings: &str) -> Revision {
        let config = format!(r#"{{"id":"it","secret":"ssm:it",{settings}}}"#);
        Revision::of(&serde_json::from_str(&config).unwrap())
    }

    #[test]
    fn what_decides_the_compared_facts_is_in_the_revision_and_nothing_else() {
        let plain = of(r#""scheme":"generic""#);
        assert_eq!(
            plain,
            of(
                r#""scheme":"generic","delivery":"ordered","on_duplicate":"conflict","quiet_after_hours":5,"enrich":true"#
            )
        );
        assert_eq!(
            plain,
            of(r#""scheme":"generic","metadata":["cart"]"#),
            "else another amount would pass for a repeat"
        );
        for other in [
            r#""scheme":"stripe""#,
            r#""scheme":"generic","normaliser":"stripe""#,
            r#""scheme":"generic","parameters":{"default_currency":"EUR"}"#,
            r#""scheme":"generic","ids_hold_no_cards":true"#,
        ] {
            assert_ne!(plain, of(other), "{other}");
        }
        assert_eq!(Revision::parse(&plain.to_string()), Some(plain));
        assert_eq!(Revision::parse("+0000000000000000"), None);
    }

    fn files_below(path: &Path, found: &mut Vec<PathBuf>) {
        if !path.is_dir() {
            return found.push(path.to_owned());
        }
        fs::read_dir(path).unwrap().for_each(|entry| files_below(&entry.unwrap().path(), found));
    }

    /// The modules that a source names as `crate::module` or in `crate::{...}`.
    fn modules_of(source: &str) -> impl Iterator<Item = &str> {
        source.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(['}', ';']).next().unwrap().split(',').map(str::trim).collect(),
            None => vec![rest],
        })
    }

    #[test]
    fn all_that_reads_a_body_is_in_the_revision() {
        let script = include_str!("../build.rs");
        let mut files = Vec::new();
        for source in
            script.split('"').filter(|text| text.starts_with("src/") || text.starts_with("../core/"))
        {
            files_below(Path::new(source), &mut files);
        }
        assert!(files.len() > 50, "{files:?}");
        // These decide whether a webhook is taken and for whom, and not what is read of it. The endpoint and the catalogue
        // choose among the schemes too.
        let others = [
            "refusal",
            "endpoint",
            "queue",
            "key",
            "material",
            "revision",
            "scheme",
            "settings",
            "mac",
            "asymmetric",
        ];
        for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "rs")) {
            let source = fs::read_to_string(file).unwrap();
            let root = if file.starts_with("../core") { "../core/src" } else { "src" };
            for module in modules_of(&source) {
                let end = module.find(|c: char| !c.is_ascii_lowercase() && c != '_');
                let module = module.get(..end.unwrap_or(module.len())).unwrap();
                let is_module = [format!("{root}/{module}"), format!("{root}/{module}.rs")]
                    .iter()
                    .any(|path| Path::new(path).exists());
                let is_in = script.contains(&format!("\"{root}/{module}\""))
                    || script.contains(&format!("\"{root}/{module}.rs\""));
                assert!(
                    module.is_empty() || !is_module || is_in || others.contains(&module),
                    "{}: {module}",
                    file.display()
                );
            }
        }
        for source in ["src/endpoint.rs", "src/normalise", "catalogue.toml", "../core/src/sensitive"] {
            assert!(script.contains(&format!("\"{source}\"")), "{source}");
        }
    }
}
