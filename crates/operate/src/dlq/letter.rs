//! A dead letter: what it says of itself.

use anyhow::Context;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use serde::{Deserialize, Serialize};
use tollgate_core::{Queue, Timestamp, id::hex_sha256};
use tollgate_pipeline::{intake::attribute, process::Record};

use super::source::{Opened, Source};

/// The reason of what SQS itself moved: its reader received it so often and never deleted it.
pub const UNREAD: &str = "never deleted";

/// Dead letters that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alike {
    /// The dead-letter queue, without the environment's suffix.
    pub queue: String,
    /// Why they are there.
    pub reason: String,
    /// Their endpoint, where the message says it.
    pub endpoint: Option<String>,
    /// The version that set them aside, where the message says it.
    pub release: Option<String>,
}

/// A message of a dead-letter queue.
#[derive(Debug, Clone)]
pub struct Dead {
    /// SQS's id of it.
    pub id: String,
    /// The message.
    pub message: Message,
}

/// What is known of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// SQS's id of it, which is another one each time that it is sent.
    pub message_id: String,
    /// What it has in common with others.
    #[serde(flatten)]
    pub alike: Alike,
    /// The ids that it names: of its webhook, or of its event.
    pub ids: Vec<String>,
    /// Its message group, on a FIFO queue.
    pub group: Option<String>,
    /// When it was sent. On a standard queue what SQS moved keeps the time at which it was sent first.
    pub sent_at: Timestamp,
    /// When SQS deletes it, at the earliest ("Setting-up dead-letter queue retention in Amazon SQS", developer guide: what SQS
    /// moved is kept for the whole retention from then on a FIFO queue alone).
    pub expires_at: Timestamp,
    /// How often it was received from the dead-letter queue.
    pub receives: u32,
    /// SHA-256 of the message's body, in hexadecimal.
    pub body_sha256: String,
}

impl Dead {
    /// An attribute that its sender gave.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.message.message_attributes()?.get(name)?.string_value()
    }

    /// Its body.
    pub fn body(&self) -> &str {
        self.message.body().unwrap_or_default()
    }

    /// The names and texts of all of its attributes.
    pub fn attributes(&self) -> Vec<(&str, &str)> {
        let all = self.message.message_attributes().into_iter().flatten();
        all.filter_map(|(name, value)| Some((name.as_str(), value.string_value()?))).collect()
    }

    /// The message group, on a FIFO queue.
    pub fn group(&self, source: Source) -> Option<&str> {
        let group = self.system(&System::MessageGroupId)?;
        // On a standard queue a group orders nothing.
        (source == Source::Of(Queue::IntakeOrdered)).then_some(group)
    }

    /// As the processor would get it.
    pub(super) fn record(&self, source: Source) -> Record<'_> {
        Record {
            message_id: &self.id,
            group: self.group(source),
            receive_count: 1,
            body: self.body(),
            escaped_body: None,
            attributes: self.attributes().into(),
        }
    }

    /// What is known of it.
    ///
    /// # Errors
    ///
    /// When SQS does not say when it was sent.
    pub fn letter(&self, opened: &Opened) -> anyhow::Result<Letter> {
        let sent_at = self.sent_at()?;
        let expires_at = sent_at.as_second().saturating_add(opened.retention_seconds);
        let told = Told::of(self, opened.source);
        Ok(Letter {
            message_id: self.id.clone(),
            alike: Alike {
                queue: opened.source.stem(),
                reason: told.reason.unwrap_or_else(|| UNREAD.to_owned()),
                endpoint: told.endpoint,
                // No message says it so far.
                release: None,
            },
            ids: told.ids,
            group: self.group(opened.source).map(str::to_owned),
            sent_at,
            expires_at: Timestamp::from_second(expires_at).unwrap_or(Timestamp::MAX),
            receives: self.system(&System::ApproximateReceiveCount).and_then(|n| n.parse().ok()).unwrap_or(0),
            body_sha256: hex_sha256(self.body().as_bytes()),
        })
    }

    /// When it was sent.
    ///
    /// # Errors
    ///
    /// When SQS does not say it.
    pub fn sent_at(&self) -> anyhow::Result<Timestamp> {
        let sent = self.system(&System::SentTimestamp).and_then(|text| text.parse().ok());
        let sent = sent.and_then(|millisecond| Timestamp::from_millisecond(millisecond).ok());
        sent.with_context(|| format!("SQS does not say when {} was sent", self.id))
    }

    fn system(&self, name: &System) -> Option<&str> {
        self.message.attributes()?.get(name).map(String::as_str)
    }
}

/// What a message says of itself.
#[derive(Debug, Default)]
struct Told {
    reason: Option<String>,
    endpoint: Option<String>,
    ids: Vec<String>,
}

/// An event of ours, bare or in the bus's envelope, or what Lambda says of an invocation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    detail: Option<Event>,
    #[serde(flatten)]
    event: Event,
    workflow_error: Option<WorkflowError>,
    #[serde(rename = "requestContext")]
    request: Option<Invocation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    id: Option<String>,
    endpoint: Option<String>,
    webhook_id: Option<String>,
    provider_event_id: Option<String>,
    transaction_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WorkflowError {
    #[serde(rename = "Error")]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Invocation {
    condition: Option<String>,
}

impl Told {
    fn of(dead: &Dead, source: Source) -> Self {
        let text = |name: &str| dead.attribute(name).map(str::to_owned);
        match source {
            Source::Of(Queue::Intake | Queue::IntakeOrdered) => Self {
                reason: text(attribute::REASON),
                endpoint: text(attribute::ENDPOINT),
                ids: [attribute::WEBHOOK_ID, attribute::EVENT_ID].into_iter().filter_map(text).collect(),
            },
            // Rows of many webhooks.
            Source::Of(Queue::Archive) => Self::default(),
            Source::Of(_) | Source::EventBridge | Source::Workflow | Source::Functions => {
                let body: Body = serde_json::from_str(dead.body()).unwrap_or_default();
                let event = body.detail.unwrap_or(body.event);
                let reason = match source {
                    Source::EventBridge => text("ERROR_CODE"),
                    Source::Workflow => body.workflow_error.and_then(|error| error.error),
                    Source::Functions => body.request.and_then(|request| request.condition),
                    Source::Of(_) => None,
                };
                let Event { id, endpoint, webhook_id, provider_event_id, transaction_id } = event;
                let ids = [webhook_id, id, provider_event_id, transaction_id];
                Self { reason, endpoint, ids: ids.into_iter().flatten().collect() }
            }
        }
    }
}

/// Which dead letters are meant. What is not said is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Of these queues; of all where none is named.
    pub queues: Vec<Source>,
    /// For this reason.
    pub reason: Option<String>,
    /// Of this endpoint; of none that their message says, where it is empty.
    pub endpoint: Option<String>,
    /// Sent from this moment on.
    pub since: Option<Timestamp>,
    /// Sent before this moment.
    pub until: Option<Timestamp>,
    /// That have or name one of these ids.
    pub ids: Vec<String>,
}

impl Filter {
    /// The queues that are looked through.
    pub fn sources(&self) -> Vec<Source> {
        if self.queues.is_empty() { Source::all() } else { self.queues.clone() }
    }

    /// Whether it wants everything of its queues.
    pub fn is_of_whole_queues(&self) -> bool {
        *self == Self { queues: self.queues.clone(), ..Self::default() }
    }

    /// Whether it wants this one.
    pub fn wants(&self, letter: &Letter) -> bool {
        let is_named = |id: &String| *id == letter.message_id || letter.ids.contains(id);
        let told = letter.alike.endpoint.as_deref().unwrap_or_default();
        self.reason.as_ref().is_none_or(|reason| *reason == letter.alike.reason)
            && self.endpoint.as_ref().is_none_or(|endpoint| endpoint == told)
            && self.since.is_none_or(|since| letter.sent_at >= since)
            && self.until.is_none_or(|until| letter.sent_at < until)
            && (self.ids.is_empty() || self.ids.iter().any(is_named))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::MessageAttributeValue;

    use super::*;

    /// Sent at the first second of 1970.
    fn letter(source: Source, body: &str, attributes: &[(&str, &str)]) -> Letter {
        let mut message = Message::builder()
            .body(body)
            .attributes(System::SentTimestamp, "1000")
            .attributes(System::MessageGroupId, "a group");
        for (name, text) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(*text).build();
            message = message.message_attributes(*name, value.unwrap());
        }
        let opened =
            Opened { source, name: String::new(), url: String::new(), retention_seconds: 10, waiting: 0 };
        Dead { id: "m1".to_owned(), message: message.build() }.letter(&opened).unwrap()
    }

    #[test]
    fn each_queue_says_why_and_whose_in_its_own_way() {
        let event =
            r#"{"schema":"tollgate.payment-event/1","id":"evt_1","endpoint":"acme","webhook_id":"wh_1"}"#;
        let envelope = format!(r#"{{"source":"tollgate","detail":{event}}}"#);
        let failed = event.replacen('{', r#"{"workflow_error":{"Error":"States.Timeout","Cause":""},"#, 1);
        let invocation = r#"{"requestContext":{"condition":"RetriesExhausted"},"requestPayload":{}}"#;
        let intake = [("reason", "altered"), ("endpoint", "acme"), ("webhook_id", "wh_1")];
        let unread = [("endpoint", "acme")];
        let refused = [("ERROR_CODE", "NO_PERMISSIONS")];
        for (source, body, attributes, reason, endpoint, ids) in [
            (Source::Of(Queue::Intake), "not read", &intake[..], "altered", Some("acme"), &["wh_1"][..]),
            (Source::Of(Queue::IntakeOrdered), "", &unread[..], UNREAD, Some("acme"), &[]),
            (Source::Of(Queue::Payments), &envelope, &[], UNREAD, Some("acme"), &["wh_1", "evt_1"]),
            (Source::Of(Queue::Payments), "no JSON", &[], UNREAD, None, &[]),
            (Source::Of(Queue::Archive), &envelope, &[], UNREAD, None, &[]),
            (
                Source::EventBridge,
                &envelope,
                &refused[..],
                "NO_PERMISSIONS",
                Some("acme"),
                &["wh_1", "evt_1"],
            ),
            (Source::Workflow, &failed, &[], "States.Timeout", Some("acme"), &["wh_1", "evt_1"]),
            (Source::Functions, invocation, &[], "RetriesExhausted", None, &[]),
        ] {
            let letter = letter(source, body, attributes);
            let told =
                (letter.alike.reason.as_str(), letter.alike.endpoint.as_deref(), letter.ids.as_slice());
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(told, (reason, endpoint, ids.as_slice()), "{source:?} {body}");
            assert_eq!(letter.group.is_some(), source == Source::Of(Queue::IntakeOrdered), "{source:?}");
            assert_eq!(letter.expires_at.as_second(), 11);
        }
    }

    #[test]
    fn a_filter_wants_what_is_all_that_it_says() {
        let attributes = [("reason", "altered"), ("endpoint", "acme"), ("webhook_id", "wh_1")];
        let letter = letter(Source::Of(Queue::Intake), "", &attributes);
        let second = |second| Timestamp::from_second(second).ok();
        let text = |text: &str| Some(text.to_owned());
        let any = Filter::default;
        for (filter, wants) in [
            (any(), true),
            (Filter { reason: text("altered"), endpoint: text("acme"), ..any() }, true),
            (Filter { reason: text("altered"), endpoint: text("other"), ..any() }, false),
            (Filter { reason: text("alter"), ..any() }, false),
            (Filter { endpoint: text(""), ..any() }, false),
            (Filter { since: second(1), until: second(2), ..any() }, true),
            (Filter { since: second(2), ..any() }, false),
            (Filter { until: second(1), ..any() }, false),
            (Filter { ids: vec!["x".to_owned(), "wh_1".to_owned()], ..any() }, true),
            (Filter { ids: vec!["m1".to_owned()], ..any() }, true),
            (Filter { ids: vec!["x".to_owned()], ..any() }, false),
        ] {
            assert_eq!(filter.wants(&letter), wants, "{filter:?}");
        }
        let of_none = self::letter(Source::Functions, "{}", &[]);
        assert!(Filter { endpoint: text(""), ..any() }.wants(&of_none));
        assert!(!Filter { endpoint: text("acme"), ..any() }.wants(&of_none));
        assert!(Filter { queues: vec![Source::EventBridge], ..any() }.is_of_whole_queues());
        assert!(!Filter { reason: text("altered"), ..any() }.is_of_whole_queues());
    }
}
