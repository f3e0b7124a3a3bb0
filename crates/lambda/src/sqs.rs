//! The SQS batch event, borrowed from the bytes that Lambda sent.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de};

/// A batch of messages.
#[derive(Debug, Deserialize)]
pub struct SqsEvent<'a> {
    /// The messages, in queue order.
    #[serde(rename = "Records", borrow)]
    pub records: Vec<SqsRecord<'a>>,
}

/// One message.
#[derive(Debug, Deserialize)]
pub struct SqsRecord<'a> {
    /// What a failure is reported by.
    #[serde(rename = "messageId", borrow)]
    pub message_id: Cow<'a, str>,
    /// The message body.
    #[serde(borrow)]
    pub body: Cow<'a, str>,
    /// What SQS knows of the message.
    #[serde(borrow, default)]
    pub attributes: BTreeMap<Text<'a>, Text<'a>>,
    /// What the sender attached.
    #[serde(rename = "messageAttributes", borrow, default)]
    pub message_attributes: BTreeMap<Text<'a>, MessageAttribute<'a>>,
    /// The queue.
    #[serde(rename = "eventSourceARN", borrow, default)]
    pub event_source_arn: Cow<'a, str>,
}

impl<'a> SqsRecord<'a> {
    /// The FIFO group; `None` on a standard queue.
    pub fn group(&self) -> Option<&str> {
        self.attributes.get("MessageGroupId").map(|text| text.0.as_ref())
    }

    /// The text of a message attribute.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let attribute = self.message_attributes.get(name)?;
        attribute.string_value.as_ref().map(|text| Cow::Borrowed(text.0.as_ref()))
    }

    /// Whether it came from a FIFO queue.
    pub fn is_fifo(&self) -> bool {
        self.event_source_arn.ends_with(".fifo")
    }
}

/// A message attribute's value.
#[derive(Debug, Deserialize)]
pub struct MessageAttribute<'a> {
    /// Its text; absent for binary ones.
    #[serde(rename = "stringValue", borrow, default)]
    pub string_value: Option<Text<'a>>,
}

/// Text that borrows from the input wherever it holds no escape. (`Option<Cow>` and map keys never borrow.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the SQS event source mapping sends it ("Using Lambda with Amazon SQS", developer guide), values ours.
    const EVENT: &str = r#"{"Records":[{
        "messageId":"059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle":"AQEB","body":"{\"a\":1}",
        "attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1760000000000",
            "SenderId":"AIDA","ApproximateFirstReceiveTimestamp":"1760000000001","MessageGroupId":"pi_1"},
        "messageAttributes":{"endpoint":{"stringValue":"stripe","stringListValues":[],"binaryListValues":[],
            "dataType":"String"}},
        "md5OfBody":"e4e68fb7bd0e697a0ae8f1bb342846b3","eventSource":"aws:sqs",
        "eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:webhook-intake-ordered-dev.fifo",
        "awsRegion":"us-east-1"}]}"#;

    #[test]
    fn an_event_reads() {
        let event: SqsEvent<'_> = serde_json::from_str(EVENT).unwrap();
        let record = event.records.first().unwrap();
        assert_eq!(record.body, r#"{"a":1}"#);
        assert_eq!(record.group(), Some("pi_1"));
        assert_eq!(record.attribute("endpoint").as_deref(), Some("stripe"));
        assert_eq!(record.attribute("none"), None);
        assert!(record.is_fifo());
    }
}
