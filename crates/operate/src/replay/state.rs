//! How far a replay has come: a file beside whoever began it, so that another run goes on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::Progress;
use crate::{
    aws::{Aws, Place, Platform},
    search::Filters,
};

/// Version of the file's form.
const FORMAT: &str = "tollgate.replay/2";
/// What the names of files begin and end with, where nothing else is asked for: the act is between.
const NAME: (&str, &str) = ("tollgate-replay-", ".json");
/// Files of a folder that are looked into.
const MOST_FILES: usize = 100;

/// What is kept of a run, so that another one goes on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    format: String,
    /// The acts so far.
    pub acts: Vec<String>,
    /// Whose archive is read.
    pub from: Named,
    /// Where its webhooks go.
    pub to: Destination,
    /// Which.
    pub filters: Filters,
    /// How far it has come.
    pub progress: Progress,
}

/// Where an environment is, as the options say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Named {
    /// Its suffix.
    pub suffix: Option<String>,
    /// Its AWS endpoint.
    pub endpoint_url: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// The local platform's file.
    pub platform: Option<PathBuf>,
    /// The AWS profile of its account.
    pub profile: Option<String>,
}

/// Where webhooks go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// The validator of the environment whose archive is read.
    Itself,
    /// That of another one.
    Platform(Named),
    /// A file, a line for each.
    File(PathBuf),
    /// An address of this machine.
    Url(String),
}

impl Named {
    /// Connects to it.
    ///
    /// # Errors
    ///
    /// As [`Place::connect`]'s, and where the platform's file does not read.
    pub async fn connect(&self) -> anyhow::Result<Aws> {
        let platform = self.platform.as_deref().map(Platform::read).transpose()?;
        let Self { suffix, endpoint_url, region, profile, .. } = self.clone();
        Place { suffix, endpoint_url, region, platform, profile }.connect().await
    }
}

impl State {
    /// Of a run that has not begun.
    pub fn new(from: Named, to: Destination, filters: Filters) -> Self {
        let (acts, progress) = (Vec::new(), Progress::default());
        Self { format: FORMAT.to_owned(), acts, from, to, filters, progress }
    }

    /// The usual name of an act's file.
    pub fn file_of(act: &str) -> PathBuf {
        format!("{}{act}{}", NAME.0, NAME.1).into()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it does not read, or is none of this version's.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        /// Whatever the rest is.
        #[derive(Deserialize)]
        struct OfAny {
            format: String,
        }
        let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let about = || format!("{} is no state of a replay", file.display());
        let OfAny { format } = serde_json::from_slice(&text).with_context(about)?;
        ensure!(
            format == FORMAT,
            "{} is of another version, {format}, and this one goes on with {FORMAT} alone: replay the same time anew, by the filters \
             in it. What was sent has no effect twice",
            file.display()
        );
        serde_json::from_slice(&text).with_context(about)
    }

    /// Those in a folder that have a usual name, a hundred at most: of runs that go on, or were stopped.
    ///
    /// # Errors
    ///
    /// When the folder does not read.
    pub fn all_in(folder: &Path) -> anyhow::Result<Vec<(PathBuf, anyhow::Result<Self>)>> {
        let about = || format!("reading {}", folder.display());
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).with_context(about)? {
            let path = entry.with_context(about)?.path();
            let is_one = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(NAME.0) && name.ends_with(NAME.1));
            if is_one && all.len() < MOST_FILES {
                let state = Self::read(&path);
                all.push((path, state));
            }
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// The environment that takes the webhooks, where it is another one. What its options do not say is the source's, but for what
    /// says where that is.
    ///
    /// # Errors
    ///
    /// As [`Named::connect`]'s.
    pub async fn target(&self, source: &Aws) -> anyhow::Result<Option<Aws>> {
        let Destination::Platform(named) = &self.to else { return Ok(None) };
        let mut named = named.clone();
        if named.platform.is_none() {
            named.suffix = named.suffix.or_else(|| Some(source.names.suffix().to_owned()));
            let region = source.config.region().map(|region| region.as_ref().to_owned());
            named.region = named.region.or(region);
            if named.profile.is_none() {
                let endpoint = source.config.endpoint_url().map(str::to_owned);
                named.endpoint_url = named.endpoint_url.or(endpoint);
            }
        }
        named.connect().await.map(Some)
    }

    /// Writes it into a new file.
    ///
    /// # Errors
    ///
    /// When there is such a file already, or it cannot be written.
    pub fn begin(&self, file: &Path) -> anyhow::Result<()> {
        fs::File::create_new(file).with_context(|| format!("making {}", file.display()))?;
        self.write(file)
    }

    /// Writes it, whole or not at all, in the place of what was written before.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let about = || format!("writing {}", file.display());
        // Behind the whole name: two files that differ in their ending are two.
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        fs::write(&part, serde_json::to_vec(self)?).with_context(about)?;
        fs::rename(&part, file).with_context(about)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::At, *};

    #[test]
    fn a_run_that_begins_writes_over_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.json");
        let state = State::new(Named::default(), Destination::Itself, Filters::default());
        state.begin(&file).unwrap();
        state.write(&file).unwrap();
        assert_eq!(State::read(&file).unwrap().to, Destination::Itself);
        for there in ["notes.json", "other.json"] {
            let there = folder.path().join(there);
            fs::write(&there, "of somebody else").unwrap();
            assert!(format!("{:#}", state.begin(&there).unwrap_err()).contains("exists"));
            assert_eq!(fs::read_to_string(&there).unwrap(), "of somebody else");
        }
    }

    #[test]
    fn a_file_of_another_version_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(State::file_of("0a0b"));
        let mut state = State::new(Named::default(), Destination::Itself, Filters::default());
        state.progress.at =
            Some(At { objects: vec!["webhooks/date=2026-01-02/030405-a".to_owned()], rows: 7 });
        state.write(&file).unwrap();
        assert_eq!(State::read(&file).unwrap().progress, state.progress);
        // As it was when the first member was an object's key, and when it was a second.
        for at in ["webhooks/date=2026-01-02/030405-a.parquet", "webhooks/date=2026-01-02/030405"] {
            let mut of_before = serde_json::to_value(&state).unwrap();
            of_before["format"] = "tollgate.replay/1".into();
            of_before["progress"]["at"] = serde_json::json!([at, 7]);
            fs::write(&file, of_before.to_string()).unwrap();
            let refused = format!("{:#}", State::read(&file).unwrap_err());
            assert!(refused.contains("another version, tollgate.replay/1"), "{refused}");
        }
        fs::write(&file, "{}").unwrap();
        assert!(format!("{:#}", State::read(&file).unwrap_err()).contains("no state of a replay"));
    }
}
