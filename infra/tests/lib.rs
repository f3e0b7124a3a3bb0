//! The repository's files, as the tests of the templates read them, and what of a template is written by a program.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests, and a tool that is run by hand"
)]

mod written;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use written::monitoring;
use yaml_rust2::{Yaml, YamlLoader};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file's text, by its path from the root.
///
/// # Panics
///
/// When it cannot be read.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

/// A section of a template (`Resources`, `Outputs`), by logical name. Of a function in its short form (`!Sub`), the
/// argument alone is left.
///
/// # Panics
///
/// When the template has no such section.
pub fn section(template: &str, section: &str) -> Vec<(String, Yaml)> {
    let template = YamlLoader::load_from_str(&read(template)).unwrap().remove(0);
    let entries = template[section].as_hash().unwrap();
    entries.iter().map(|(name, entry)| (name.as_str().unwrap().to_owned(), entry.clone())).collect()
}
