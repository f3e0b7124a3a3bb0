//! The document of all endpoints.

use tokio::task::JoinSet;
use tollgate_core::{EndpointConfig, EndpointId};
use tollgate_pipeline::{
    endpoints::{EndpointsDocument, change},
    ports::{EndpointSource, EndpointStore},
};

use crate::webhook::config;

/// People who change endpoints at one moment.
const RACERS: usize = 16;

async fn names(store: &impl EndpointSource) -> Vec<String> {
    let listing = store.endpoints(None).await.unwrap().unwrap();
    listing.endpoints.iter().map(|endpoint| endpoint.as_ref().unwrap().id.to_string()).collect()
}

/// A document replaces none, or the one that was read, and nothing else. What has not changed is not sent again. Without a
/// document, and with one of another format, there is no listing. `secrets` is what the
/// platform's own references begin with.
pub async fn endpoints<S: EndpointSource + EndpointStore>(store: S, secrets: &str) {
    let document = |ids: &[&str]| {
        let mut document = EndpointsDocument::default();
        for id in ids {
            let endpoint = EndpointConfig { secret: format!("{secrets}{id}"), ..config(id, "stripe") };
            document.put(&endpoint).unwrap();
        }
        document.write().unwrap()
    };
    assert_eq!(store.load().await, Ok(None));
    assert!(store.endpoints(None).await.is_err(), "nothing configured is not no endpoint");
    assert_eq!(
        store.replace(document(&["a"]), Some("\"none\"")).await,
        Ok(false),
        "there is none to replace"
    );
    assert_eq!(store.replace(document(&["a"]), None).await, Ok(true));
    assert_eq!(store.replace(document(&["b"]), None).await, Ok(false), "there is one by now");
    let first = store.load().await.unwrap().unwrap();
    assert_eq!(first.document, document(&["a"]));
    assert_eq!(names(&store).await, ["a"]);

    let listed = store.endpoints(None).await.unwrap().unwrap();
    assert_eq!(store.endpoints(Some(&listed.version)).await, Ok(None));
    assert_eq!(store.replace(document(&["a", "b"]), Some(&first.version)).await, Ok(true));
    assert_eq!(store.replace(document(&["c"]), Some(&first.version)).await, Ok(false), "it was replaced");
    assert_eq!(names(&store).await, ["a", "b"]);
    let changed = store.endpoints(Some(&listed.version)).await.unwrap().unwrap();
    assert_eq!((changed.endpoints.len(), store.endpoints(Some(&changed.version)).await), (2, Ok(None)));

    let second = store.load().await.unwrap().unwrap();
    let unreadable = br#"{"format":"tollgate.endpoints/0","endpoints":{}}"#;
    assert_eq!(store.replace(unreadable.to_vec(), Some(&second.version)).await, Ok(true));
    assert!(store.endpoints(Some(&changed.version)).await.is_err());
    assert!(store.endpoints(None).await.is_err());
    let bad = store.load().await.unwrap().unwrap();
    assert_eq!(store.replace(document(&[]), Some(&bad.version)).await, Ok(true));
    assert_eq!(names(&store).await, [""; 0], "no endpoint is a document too");
}

/// Of many who change one document at once, each has its change in it in the end.
pub async fn endpoints_race<S>(store: S, secrets: &str)
where
    S: EndpointSource + EndpointStore + Clone + 'static,
{
    let ids: Vec<EndpointId> =
        (0..RACERS).map(|number| EndpointId::new(format!("racer-{number:02}")).unwrap()).collect();
    let secrets = secrets.to_owned();
    let written = move |id: &EndpointId| EndpointConfig {
        secret: format!("{secrets}{id}"),
        ..config(id.as_str(), "stripe")
    };
    let first = ids.iter().map(|id| Edit::Put(written(id)));
    race(&store, first.collect()).await;
    assert_eq!(names(&store).await, ids.iter().map(EndpointId::to_string).collect::<Vec<_>>());

    // Half of them leave, while the other half are written again.
    let mend = |(number, id): (usize, &EndpointId)| match number % 2 {
        0 => Edit::Remove(*id),
        _ => Edit::Put(EndpointConfig { tolerance_seconds: Some(60), ..written(id) }),
    };
    race(&store, ids.iter().enumerate().map(mend).collect()).await;
    let listing = store.endpoints(None).await.unwrap().unwrap();
    let left: Vec<EndpointConfig> = listing.endpoints.into_iter().map(Result::unwrap).collect();
    assert!(left.iter().all(|endpoint| endpoint.tolerance_seconds == Some(60)), "{left:?}");
    let expected: Vec<EndpointId> = ids.into_iter().skip(1).step_by(2).collect();
    assert_eq!(left.into_iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), expected);
}

enum Edit {
    Put(EndpointConfig),
    Remove(EndpointId),
}

async fn race<S: EndpointStore + Clone + 'static>(store: &S, edits: Vec<Edit>) {
    let racers: JoinSet<_> = edits
        .into_iter()
        .map(|edit| {
            let store = store.clone();
            async move {
                let edit = |document: &mut EndpointsDocument| match &edit {
                    Edit::Put(endpoint) => document.put(endpoint),
                    Edit::Remove(id) => {
                        document.remove(id);
                        Ok(())
                    }
                };
                change(&store, edit).await
            }
        })
        .collect();
    let changed = racers.join_all().await;
    assert!(changed.iter().all(|one| *one == Ok(true)), "{changed:?}");
}
