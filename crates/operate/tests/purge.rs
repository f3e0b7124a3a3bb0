//! Dead letters that are deleted, by an AWS that is played here.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests only")]

mod account;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use serde_json::{Value, json};
use tollgate_core::{Queue, Timestamp};
use tollgate_operate::{
    audit::Act,
    aws::Aws,
    dlq::{
        Filter, Source,
        purge::{Chosen, Plan, Purged, choose, purge},
    },
};
use tollgate_testkit::loopback::{Request, Response, Server};

/// A queue's messages, each with whether it is hidden; and the ids that the records name before anything is deleted.
#[derive(Debug, Default)]
struct State {
    messages: Vec<(String, bool)>,
    recorded: Vec<String>,
    unrecorded: Vec<String>,
}

impl State {
    fn waiting(&self) -> Vec<&str> {
        self.messages.iter().map(|(id, _)| id.as_str()).collect()
    }

    fn sqs(&mut self, operation: &str, body: &Value) -> Value {
        match operation {
            "GetQueueUrl" => json!({ "QueueUrl": "http://127.0.0.1/000000000000/refunds-queue-dlq-dev" }),
            "GetQueueAttributes" => {
                let visible = self.messages.iter().filter(|(_, is_hidden)| !is_hidden).count().to_string();
                json!({ "Attributes": { "MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": visible } })
            }
            "ReceiveMessage" => {
                let most = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
                let visible = self.messages.iter_mut().filter(|(_, is_hidden)| !is_hidden).take(most);
                let message = |(id, is_hidden): &mut (String, bool)| {
                    *is_hidden = true;
                    json!({
                        "MessageId": id, "ReceiptHandle": id, "Body": "{}", "Attributes": { "SentTimestamp": "1767323045000" },
                    })
                };
                json!({ "Messages": visible.map(message).collect::<Vec<_>>() })
            }
            "ChangeMessageVisibilityBatch" => {
                for entry in body["Entries"].as_array().unwrap() {
                    let own = |(id, _): &&mut (String, bool)| entry["ReceiptHandle"] == id.as_str();
                    if let Some((_, is_hidden)) = self.messages.iter_mut().find(own) {
                        *is_hidden = false;
                    }
                }
                json!({ "Successful": [], "Failed": [] })
            }
            "DeleteMessage" => {
                let id = body["ReceiptHandle"].as_str().unwrap().to_owned();
                if !self.recorded.contains(&id) {
                    self.unrecorded.push(id.clone());
                }
                self.messages.retain(|(other, _)| *other != id);
                json!({})
            }
            other => panic!("nothing calls {other}"),
        }
    }
}

fn answer(state: &Mutex<State>, request: &Request) -> Response {
    let mut state = state.lock().unwrap();
    if let Some(target) = request.header("x-amz-target") {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        return Response::json(200, &state.sqs(target.rsplit('.').next().unwrap(), &body));
    }
    if request.method == "PUT" {
        // What the SDK sends in chunks is between two lines of their lengths.
        let text = String::from_utf8(request.body.clone()).unwrap();
        let record = &text[text.find('{').unwrap()..=text.rfind('}').unwrap()];
        let record: Value = serde_json::from_str(record).unwrap();
        let ids = record["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        state.recorded.extend(ids);
        return Response { status: 200, headers: Vec::new(), body: Vec::new() };
    }
    let who = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn><UserId>u</UserId>\
               <Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    Response { status: 200, headers: Vec::new(), body: who.as_bytes().to_vec() }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_767_323_100).unwrap()
}

struct Played {
    state: Arc<Mutex<State>>,
    aws: Aws,
    plan: Plan,
    _server: Server,
}

impl Played {
    async fn with(ids: &[&str]) -> Self {
        let messages = ids.iter().map(|id| ((*id).to_owned(), false)).collect();
        let state = Arc::new(Mutex::new(State { messages, ..State::default() }));
        let answering = Arc::clone(&state);
        let server = Server::start(move |request| answer(&answering, request));
        let filter = Filter {
            queues: vec![Source::Of(Queue::Refunds)],
            since: Some(Timestamp::UNIX_EPOCH),
            ..Filter::default()
        };
        let plan = Plan { filter, most: 10_000 };
        Self { aws: account::at(server.url()).await, state, plan, _server: server }
    }

    async fn choose(&self) -> Chosen {
        choose(&self.aws, &self.plan).await.unwrap()
    }

    async fn purge(&self, chosen: Chosen, stop: &AtomicBool, mut tell: impl FnMut()) -> Purged {
        let reason = "forged".parse().unwrap();
        let mut act = Act::begin(&self.aws, now(), "dlq purge", reason, Vec::new(), json!({})).await.unwrap();
        purge(&self.aws, now, &self.plan, chosen, &mut act, stop, |_| tell()).await
    }

    fn waiting(&self) -> Vec<String> {
        self.state.lock().unwrap().waiting().into_iter().map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_came_since_it_was_counted_stays() {
    let played = Played::with(&["one", "two", "three"]).await;
    let chosen = played.choose().await;
    assert_eq!(chosen.letters.len(), 3);
    assert!(played.state.lock().unwrap().messages.iter().all(|(_, is_hidden)| !is_hidden), "given back");
    {
        // One comes that the filter wants as well, and somebody else takes one.
        let mut state = played.state.lock().unwrap();
        state.messages.retain(|(id, _)| id != "two");
        state.messages.insert(0, ("later".to_owned(), false));
    }
    let purged = played.purge(chosen, &AtomicBool::new(false), || ()).await;
    assert_eq!((purged.count, purged.missed, purged.error), (2, 1, None));
    assert_eq!(played.waiting(), ["later"]);
    let state = played.state.lock().unwrap();
    assert_eq!(state.unrecorded, [] as [&str; 0], "each is recorded before it is deleted");
    assert!(!state.recorded.iter().any(|id| id == "later"));
}

#[tokio::test]
async fn a_purge_that_is_stopped_deletes_no_more() {
    let ids: Vec<String> = (0..250).map(|number| format!("m{number}")).collect();
    let played = Played::with(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let stop = AtomicBool::new(false);
    let mut count = 0;
    let chosen = played.choose().await;
    let purged = played
        .purge(chosen, &stop, || {
            count += 1;
            stop.store(count == 120, Relaxed);
        })
        .await;
    assert!(purged.stopped && purged.missed == 0, "{purged:?}");
    assert_eq!((purged.count, played.waiting().len()), (120, 130));
    let chosen = played.choose().await;
    assert_eq!(chosen.letters.len(), 130, "and what is left can be chosen at once");
    let purged = played.purge(chosen, &AtomicBool::new(false), || ()).await;
    assert_eq!((purged.count, played.waiting().len()), (130, 0));
}
