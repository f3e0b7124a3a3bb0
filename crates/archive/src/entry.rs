//! A line of the archive queue as it is archived.

use tollgate_core::{PaymentEvent, Timestamp};
use tollgate_pipeline::archive::{Line, Outcome, Row};

/// A line of the archive queue as it is archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Everything but the bytes; its `encoding` and `body` are the queue's and are not archived.
    pub line: Line<'static>,
    /// The exact bytes: those that the provider sent, or of a message that could not be read its body.
    pub body: Vec<u8>,
    /// What was fetched for its event, as its provider told it.
    pub object: Option<Vec<u8>>,
}

/// What every line has.
impl Entry {
    /// The webhook, where the line is one.
    pub(crate) fn row(&self) -> Option<&Row<'static>> {
        match &self.line {
            Line::Webhook(row) => Some(row),
            Line::Unread(_) => None,
        }
    }

    /// The webhook's id; of a message that could not be read the queue's.
    pub(crate) fn id(&self) -> &str {
        match &self.line {
            Line::Webhook(row) => row.webhook_id.as_str(),
            Line::Unread(message) => &message.message_id,
        }
    }

    /// What a webhook says of itself, and of a message that could not be read nothing.
    pub(crate) fn text(&self, of: impl for<'r> FnOnce(&'r Row<'static>) -> &'r str) -> &str {
        self.row().map_or("", of)
    }

    /// The headers, or the message attributes.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        match &self.line {
            Line::Webhook(row) => row.request.headers.iter().collect(),
            Line::Unread(message) => {
                message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
            }
        }
    }

    pub(crate) fn events(&self) -> &[PaymentEvent<'static>] {
        self.row().map_or(&[], |row| &row.events)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.row().map_or(Outcome::SetAside, |row| row.outcome)
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.line {
            Line::Webhook(row) => row.reason.as_deref(),
            Line::Unread(message) => Some(&message.reason),
        }
    }
}

/// When a line's webhook arrived, or its message was set aside.
pub(crate) fn dated(line: &Line<'_>) -> Timestamp {
    match line {
        Line::Webhook(row) => row.received_at,
        Line::Unread(message) => message.set_aside_at,
    }
}
