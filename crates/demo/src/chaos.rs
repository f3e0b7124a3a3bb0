//! Killing functions while webhooks are under way.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::task::JoinHandle;
use tollgate_samples::Choices;

/// Between two kills, in milliseconds.
const PAUSE_MILLIS: (u64, u64) = (200, 600);

/// A task that kills until it is stopped.
#[derive(Debug)]
pub(crate) struct Chaos {
    task: JoinHandle<()>,
    kills: std::sync::Arc<std::sync::Mutex<BTreeMap<String, u64>>>,
}

impl Chaos {
    /// Kills one copy of a function of `names`, at random, every few hundred milliseconds.
    pub(crate) fn start(runner_url: &str, names: Vec<String>, seed: &str) -> Self {
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let kills = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let (counts, runner_url) = (std::sync::Arc::clone(&kills), runner_url.to_owned());
        let mut choices = Choices::new(&format!("{seed}/chaos"));
        let task = tokio::spawn(async move {
            loop {
                let (least, most) = PAUSE_MILLIS;
                let pause = least + choices.below(most - least);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let Some(name) = choices.pick(&names) else { return };
                let request = Request::post(format!("{runner_url}/functions/{name}/kill"));
                let Ok(request) = request.body(Full::default()) else { return };
                if client.request(request).await.is_ok_and(|answer| answer.status().is_success()) {
                    *lock(&counts).entry(name.clone()).or_default() += 1;
                }
            }
        });
        Self { task, kills }
    }

    /// Stops it; how often each function was killed.
    pub(crate) fn stop(self) -> BTreeMap<String, u64> {
        self.task.abort();
        lock(&self.kills).clone()
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
