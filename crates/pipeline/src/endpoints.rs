//! The document that configures every endpoint of an environment, and how it is changed by several people at once.
//!
//! It is JSON: `{"format":"tollgate.endpoints/1","endpoints":{"NAME":{…},…}}`, each endpoint as
//! [`EndpointConfig`] is written. A document of another format is read by nobody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tollgate_core::{EndpointConfig, EndpointId};
use tracing::error;

use crate::ports::{CannotServe, Configured, EndpointStore, PortError, StoredEndpoints};

/// The format that is written, and the only one that is read.
pub const FORMAT: &str = "tollgate.endpoints/1";

/// The longest document, in bytes. An endpoint takes some 250, so four thousand fit; every instance reads all of them.
pub const MAX_DOCUMENT_BYTES: usize = 1_048_576;

/// Tries of one change. Of those who write at once one succeeds, so as many people may change endpoints at one moment.
const TRIES: u32 = 50;

/// Every endpoint's configuration by name. One that this version cannot read stays as it is, beside the others.
#[derive(Debug, Clone, Default)]
pub struct EndpointsDocument(BTreeMap<EndpointId, Box<RawValue>>);

/// Why a document is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not JSON of the format's form.
    #[error("not a document of endpoints: line {line}, column {column}")]
    Form {
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// It is of another format.
    #[error("not of the format {FORMAT}, which this version reads")]
    Format,
    /// It has more than [`MAX_DOCUMENT_BYTES`].
    #[error("longer than {MAX_DOCUMENT_BYTES} bytes")]
    TooLong,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The store failed. Where it failed to answer, the change may have been made: to repeat it does no harm.
    #[error(transparent)]
    Store(#[from] PortError),
    /// What is stored, or what would be, is no document. Nothing was written.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Others have changed it at each of so many tries. Nothing was written.
    #[error("others are changing the endpoints: nothing was written in {TRIES} tries")]
    Contended,
}

#[derive(Deserialize)]
struct Head {
    format: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a, E> {
    format: &'a str,
    endpoints: E,
}

impl From<serde_json::Error> for DocumentError {
    fn from(problem: serde_json::Error) -> Self {
        Self::Form { line: problem.line(), column: problem.column() }
    }
}

impl EndpointsDocument {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]; of one endpoint that cannot be read there is none here.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLong);
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.format != FORMAT {
            return Err(DocumentError::Format);
        }
        let written: Written<'_, BTreeMap<EndpointId, Box<RawValue>>> = serde_json::from_slice(bytes)?;
        Ok(Self(written.endpoints))
    }

    /// The document's bytes; those that were read, where nothing was changed since.
    ///
    /// # Errors
    ///
    /// It is too long.
    pub fn write(&self) -> Result<Vec<u8>, DocumentError> {
        let bytes = serde_json::to_vec(&Written { format: FORMAT, endpoints: &self.0 })?;
        if bytes.len() > MAX_DOCUMENT_BYTES { Err(DocumentError::TooLong) } else { Ok(bytes) }
    }

    /// Adds an endpoint, or replaces the one of its name.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn put(&mut self, endpoint: &EndpointConfig) -> Result<(), DocumentError> {
        self.0.insert(endpoint.id, serde_json::value::to_raw_value(endpoint)?);
        Ok(())
    }

    /// Removes an endpoint; whether it was there.
    pub fn remove(&mut self, id: &EndpointId) -> bool {
        self.0.remove(id).is_some()
    }

    /// Whether there is an endpoint of this name, readable or not.
    pub fn contains(&self, id: &EndpointId) -> bool {
        self.0.contains_key(id)
    }

    /// Every endpoint by name, in its order, as this version reads it.
    pub fn endpoints(&self) -> impl Iterator<Item = (&EndpointId, serde_json::Result<EndpointConfig>)> {
        self.0.iter().map(|(id, text)| (id, read_endpoint(id, text)))
    }

    /// The same for a function. Why an endpoint cannot serve is logged, and nothing that its configuration says: people
    /// paste keys. `is_own` says whether its secret is the platform's.
    pub fn configured(&self, is_own: impl Fn(&EndpointConfig) -> bool) -> Vec<Configured> {
        let serving = |(id, read): (&EndpointId, serde_json::Result<EndpointConfig>)| match read {
            Ok(endpoint) if is_own(&endpoint) => Ok(endpoint),
            Ok(_) => {
                error!(endpoint = %id, "endpoint names a secret outside of the platform's and cannot serve");
                Err(CannotServe { id: *id })
            }
            Err(problem) => {
                let column = problem.column();
                error!(endpoint = %id, column, "this version cannot read the endpoint, and it cannot serve");
                Err(CannotServe { id: *id })
            }
        };
        self.endpoints().map(serving).collect()
    }
}

fn read_endpoint(id: &EndpointId, text: &RawValue) -> serde_json::Result<EndpointConfig> {
    let endpoint: EndpointConfig = serde_json::from_str(text.get())?;
    if endpoint.id == *id {
        Ok(endpoint)
    } else {
        Err(serde::de::Error::custom("the name inside is another one"))
    }
}

/// Changes the document with `edit`, and whatever others write meanwhile stays: what is replaced is what was read, or it is
/// read and edited again. So `edit` may be called several times. Where there is no document yet it begins with none. Whether
/// anything was written.
///
/// # Errors
///
/// [`ChangeError`].
pub async fn change(
    store: &impl EndpointStore,
    mut edit: impl FnMut(&mut EndpointsDocument) -> Result<(), DocumentError>,
) -> Result<bool, ChangeError> {
    for _ in 0..TRIES {
        let stored = store.load().await?;
        let mut document = stored.as_ref().map_or_else(
            || Ok(EndpointsDocument::default()),
            |stored| EndpointsDocument::read(&stored.document),
        )?;
        edit(&mut document)?;
        let bytes = document.write()?;
        if stored.as_ref().is_some_and(|stored| stored.document == bytes) {
            return Ok(false);
        }
        let replaced = stored.as_ref().map(|StoredEndpoints { version, .. }| version.as_str());
        if store.replace(bytes, replaced).await? {
            return Ok(true);
        }
    }
    Err(ChangeError::Contended)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::ports::PortResult;

    fn config(id: &str, secret: &str) -> EndpointConfig {
        let text = format!(r#"{{"id":"{id}","scheme":"stripe","secret":"{secret}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn document(ids: &[&str]) -> EndpointsDocument {
        let mut document = EndpointsDocument::default();
        ids.iter().for_each(|id| document.put(&config(id, "ssm:a")).unwrap());
        document
    }

    fn names(document: &EndpointsDocument) -> Vec<String> {
        document.0.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_written_is_read_and_written_again_the_same() {
        let bytes = document(&["b", "a"]).write().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with(r#"{"format":"tollgate.endpoints/1","endpoints":{"a":{"id":"a","#),
            "{text}"
        );
        let read = EndpointsDocument::read(&bytes).unwrap();
        assert_eq!(names(&read), ["a", "b"]);
        assert_eq!(read.write().unwrap(), bytes);
    }

    #[test]
    fn what_is_not_wholly_of_the_format_is_no_document() {
        let good = r#"{"format":"tollgate.endpoints/1","endpoints":{}}"#;
        assert!(EndpointsDocument::read(good.as_bytes()).is_ok());
        for format in ["tollgate.endpoints/2", "tollgate.endpoints", ""] {
            let other = format!(r#"{{"format":"{format}","endpoints":[1],"more":2}}"#);
            assert_eq!(
                EndpointsDocument::read(other.as_bytes()).unwrap_err(),
                DocumentError::Format,
                "{other}"
            );
        }
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"endpoints":{}}"#,
            r#"{"format":"tollgate.endpoints/1"}"#,
            r#"{"format":"tollgate.endpoints/1","endpoints":{},"more":1}"#,
            r#"{"format":"tollgate.endpoints/1","endpoints":{"A/b":{}}}"#,
            r#"{"format":"tollgate.endpoints/1","endpoints":{}}}"#,
        ] {
            let problem = EndpointsDocument::read(bad.as_bytes()).unwrap_err();
            assert!(matches!(problem, DocumentError::Form { .. }), "{bad}: {problem:?}");
        }
        let long = format!("{good}{}", " ".repeat(MAX_DOCUMENT_BYTES));
        assert_eq!(EndpointsDocument::read(long.as_bytes()).unwrap_err(), DocumentError::TooLong);
        let mut long = EndpointsDocument::default();
        long.put(&config("a", &"x".repeat(MAX_DOCUMENT_BYTES))).unwrap();
        assert_eq!(long.write().unwrap_err(), DocumentError::TooLong);
    }

    #[test]
    fn an_endpoint_that_cannot_be_read_harms_no_other_and_is_kept() {
        let bytes = br#"{"format":"tollgate.endpoints/1","endpoints":{
            "a":{"id":"a","scheme":"stripe","secret":"ssm:own"},
            "foreign":{"id":"foreign","scheme":"stripe","secret":"ssm:other"},
            "newer":{"id":"newer","scheme":"stripe","secret":"ssm:own","of_a_later_version":1},
            "other":{"id":"a","scheme":"stripe","secret":"ssm:own"}}}"#;
        let mut document = EndpointsDocument::read(bytes).unwrap();
        let configured = document.configured(|endpoint| endpoint.secret == "ssm:own");
        let read: Vec<_> =
            configured.iter().map(|one| one.as_ref().map_or_else(|e| e.id, |e| e.id)).collect();
        assert_eq!(
            read.iter().map(EndpointId::as_str).collect::<Vec<_>>(),
            ["a", "foreign", "newer", "other"]
        );
        assert_eq!(configured.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, false]);
        document.put(&config("b", "ssm:own")).unwrap();
        let written = String::from_utf8(document.write().unwrap()).unwrap();
        assert!(written.contains("of_a_later_version"), "{written}");
    }

    /// A store of which somebody else changes the document between reading and writing.
    struct Shared {
        stored: Mutex<Option<(u32, Vec<u8>)>>,
        /// What others do at each reading, while there is any.
        others: Mutex<Vec<Other>>,
        writes: Mutex<u32>,
    }

    #[derive(Debug, Clone)]
    enum Other {
        Adds(&'static str),
        Removes(&'static str),
        /// Our own write is done, and its answer is lost: the SDK's second try of it is refused.
        LosesAnswer,
    }

    impl EndpointStore for Shared {
        async fn load(&self) -> PortResult<Option<StoredEndpoints>> {
            let stored = self.stored.lock().unwrap().clone();
            Ok(stored.map(|(version, document)| StoredEndpoints { version: version.to_string(), document }))
        }

        async fn replace(&self, document: Vec<u8>, replaced: Option<&str>) -> PortResult<bool> {
            let other = self.others.lock().unwrap().pop();
            let mut stored = self.stored.lock().unwrap();
            let version = stored.as_ref().map_or(0, |(version, _)| *version);
            if let Some(Other::Adds(name) | Other::Removes(name)) = other {
                let id = EndpointId::new(name).unwrap();
                let mut theirs = stored.as_ref().map_or_else(EndpointsDocument::default, |(_, bytes)| {
                    EndpointsDocument::read(bytes).unwrap()
                });
                if matches!(other, Some(Other::Adds(_))) {
                    theirs.put(&config(name, "ssm:theirs")).unwrap();
                } else {
                    theirs.remove(&id);
                }
                *stored = Some((version + 1, theirs.write().unwrap()));
            }
            let current = stored.as_ref().map(|(version, _)| version.to_string());
            if current.as_deref() != replaced {
                return Ok(false);
            }
            *stored = Some((version + 1, document));
            *self.writes.lock().unwrap() += 1;
            Ok(!matches!(other, Some(Other::LosesAnswer)))
        }
    }

    fn shared(document: Option<&EndpointsDocument>, others: Vec<Other>) -> Shared {
        let stored = document.map(|document| (1, document.write().unwrap()));
        Shared { stored: Mutex::new(stored), others: Mutex::new(others), writes: Mutex::default() }
    }

    fn stored(store: &Shared) -> Vec<String> {
        let stored = store.stored.lock().unwrap();
        names(&EndpointsDocument::read(&stored.as_ref().unwrap().1).unwrap())
    }

    async fn add(store: &Shared, name: &str) -> Result<bool, ChangeError> {
        change(store, |document| document.put(&config(name, "ssm:ours"))).await
    }

    #[tokio::test]
    async fn the_same_again_is_not_written() {
        let store = shared(None, vec![]);
        assert_eq!(add(&store, "a").await, Ok(true));
        assert_eq!(add(&store, "a").await, Ok(false));
        assert_eq!((stored(&store), *store.writes.lock().unwrap()), (vec!["a".to_owned()], 1));
    }

    #[tokio::test]
    async fn a_change_whose_answer_is_lost_is_made_once() {
        let store = shared(Some(&document(&["a"])), vec![Other::LosesAnswer]);
        let mut was_there = false;
        let id = EndpointId::new("a").unwrap();
        let removed = change(&store, |document| {
            was_there |= document.remove(&id);
            Ok(())
        });
        assert_eq!(removed.await, Ok(false), "the second try finds it done");
        assert!(was_there && stored(&store).is_empty());
    }

    #[tokio::test]
    async fn what_is_no_document_is_not_replaced() {
        let store = shared(None, vec![]);
        *store.stored.lock().unwrap() = Some((1, br#"{"format":"tollgate.endpoints/2"}"#.to_vec()));
        assert_eq!(add(&store, "a").await, Err(DocumentError::Format.into()));
        assert_eq!(*store.writes.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn one_who_always_comes_too_late_is_told_so() {
        let others =
            (0..TRIES).map(|number| if number % 2 == 0 { Other::Adds("b") } else { Other::Removes("b") });
        let store = shared(Some(&document(&["a"])), others.collect());
        assert_eq!(add(&store, "c").await, Err(ChangeError::Contended));
        assert!(!stored(&store).contains(&"c".to_owned()));
    }

    fn other() -> impl Strategy<Value = Other> {
        prop_oneof![
            Just(Other::Adds("a")),
            Just(Other::Adds("b")),
            Just(Other::Removes("a")),
            Just(Other::Removes("b")),
            Just(Other::LosesAnswer),
        ]
    }

    proptest! {
        /// Ours is there in the end, and so is whatever others did last to each of theirs.
        #[test]
        fn no_change_is_lost(others in proptest::collection::vec(other(), 0..20), is_new: bool) {
            let first = document(&["a"]);
            let store = shared((!is_new).then_some(&first), others.clone());
            let ours = futures_util::FutureExt::now_or_never(add(&store, "ours")).unwrap();
            prop_assert!(ours.is_ok());
            let left = store.others.lock().unwrap().len();
            let done: Vec<&Other> = others.get(left..).unwrap().iter().rev().collect();
            let stored = stored(&store);
            prop_assert!(stored.contains(&"ours".to_owned()));
            for name in ["a", "b"] {
                let last = done.iter().rev().find(|other| matches!(other, Other::Adds(n) | Other::Removes(n) if *n == name));
                let is_there = match last {
                    Some(Other::Adds(_)) => true,
                    Some(_) => false,
                    None => !is_new && name == "a",
                };
                prop_assert_eq!(stored.contains(&name.to_owned()), is_there, "{}", name);
            }
        }
    }
}
