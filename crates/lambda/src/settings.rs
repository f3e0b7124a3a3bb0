//! Settings: read once, from a source that tests can replace. All invalid keys are reported together.

use std::{collections::BTreeMap, fmt, str::FromStr};

/// A source of settings.
pub trait Source {
    /// The text of `name`; `None` if it is unset or empty.
    fn get(&self, name: &str) -> Option<String>;
}

/// The process's environment.
#[derive(Debug, Clone, Copy)]
pub struct Environment;

impl Source for Environment {
    #[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|text| !text.is_empty())
    }
}

impl Source for BTreeMap<&str, &str> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).filter(|text| !text.is_empty()).map(|text| (*text).to_owned())
    }
}

/// Every setting that is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid settings: {}", .0.join("; "))]
pub struct SettingsError(pub Vec<String>);

/// Reads settings and collects the problems.
pub struct Reader<'a> {
    source: &'a dyn Source,
    problems: Vec<String>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// A reader of `source`.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// A required text. If it is missing, this returns the empty text, and [`finish`](Self::finish) fails.
    pub fn text(&mut self, name: &str) -> String {
        self.source.get(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set"));
            String::new()
        })
    }

    /// An optional value with its default.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T) -> T {
        self.checked(name, default, |text| text.parse().map_err(|_| "is malformed".to_owned()))
    }

    /// An optional value read by `parse`, with its default.
    pub fn checked<T>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let Some(text) = self.source.get(name) else { return default };
        parse(&text).unwrap_or_else(|problem| {
            self.problems.push(format!("{name} {problem}"));
            default
        })
    }

    /// Returns the settings, if there was no problem.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] with every problem.
    pub fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() { Ok(settings) } else { Err(SettingsError(self.problems)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let source = BTreeMap::from([("LIMIT", "many"), ("EMPTY", "")]);
        let mut reader = Reader::new(&source);
        let table = reader.text("TABLE");
        let empty = reader.text("EMPTY");
        let limit = reader.parsed("LIMIT", 5_u32);
        let error = reader.finish((table, empty, limit)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid settings: TABLE is not set; EMPTY is not set; LIMIT is malformed"
        );
    }
}
