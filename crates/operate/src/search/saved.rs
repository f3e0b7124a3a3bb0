//! Searches that are kept under a name: a file of the user's own, `[searches.NAME]` with the filters as they are typed.

use std::{collections::BTreeMap, io::Write, os::unix::fs::DirBuilderExt, path::Path};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::Filters;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// By their names.
    #[serde(default)]
    pub searches: BTreeMap<String, Filters>,
}

impl Saved {
    /// Reads it; there is nothing where there is no file.
    ///
    /// # Errors
    ///
    /// When it does not read, or is none.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{}", file.display())),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(problem) => Err(problem).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// The filters of that name.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn get(&self, name: &str) -> anyhow::Result<&Filters> {
        let known = || self.searches.keys().cloned().collect::<Vec<_>>().join(", ");
        self.searches
            .get(name)
            .with_context(|| format!("no search is saved as {name}; saved are: {}", known()))
    }

    /// Keeps filters under a name, or others than before.
    ///
    /// # Errors
    ///
    /// When the name is none, or the file cannot be written.
    pub fn put(mut self, file: &Path, name: &str, filters: &Filters) -> anyhow::Result<()> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        ensure!(
            !name.is_empty() && name.bytes().all(is_plain),
            "a search's name is of a-z, 0-9, '-' and '_'"
        );
        self.searches.insert(name.to_owned(), filters.clone());
        let text = toml::to_string(&self).context("writing the searches")?;
        let folder = file.parent().context("a file in no folder")?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("making {}", folder.display()))?;
        let part = file.with_extension("part");
        let written = std::fs::File::create(&part).and_then(|mut new| new.write_all(text.as_bytes()));
        written
            .and_then(|()| std::fs::rename(&part, file))
            .with_context(|| format!("writing {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_kept_as_it_was_typed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tollgate/searches.toml");
        assert_eq!(Saved::read(&file).unwrap(), Saved::default());
        let filters = Filters {
            kind: vec!["refund.succeeded".to_owned()],
            amount: Some("100..".to_owned()),
            text: vec!["\"quoted\"\n'''".to_owned()],
            from: Some("7d".to_owned()),
            ..Filters::default()
        };
        Saved::read(&file).unwrap().put(&file, "large-refunds", &filters).unwrap();
        Saved::read(&file).unwrap().put(&file, "all", &Filters::default()).unwrap();
        let saved = Saved::read(&file).unwrap();
        assert_eq!(saved.get("large-refunds").unwrap(), &filters);
        assert_eq!(saved.get("all").unwrap(), &Filters::default());
        assert!(saved.get("other").is_err());
        for wrong in ["", "a b", "../x", "a.b"] {
            assert!(saved.clone().put(&file, wrong, &filters).is_err(), "{wrong}");
        }
        std::fs::write(&file, "[searches.x]\nunknown = 1\n").unwrap();
        assert!(Saved::read(&file).is_err(), "a filter that is none");
    }
}
