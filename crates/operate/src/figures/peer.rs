//! How old a queue's oldest message is on the local peer, which has no metric of it, but shows a queue's messages without
//! receiving them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate_core::Timestamp;

use crate::{aws::Platform, queues::Depth};

/// The peer shows all messages with their bodies: more than so many are not asked for.
const MOST_MESSAGES: u64 = 2_000;
const MOST_BYTES: u64 = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    sent_timestamp: i64,
}

/// In seconds; `None` where the queue is empty or long, or the peer does not say it.
pub(super) async fn oldest(platform: &Platform, depth: &Depth, now: Timestamp) -> Option<u64> {
    if depth.all() == 0 || depth.all() > MOST_MESSAGES {
        return None;
    }
    let host = platform.aws_endpoint.strip_prefix("http://")?.trim_end_matches('/');
    let queue = format!("http://{host}/{}/{}", platform.account_id, depth.name);
    let path = format!("/_ministack/sqs/messages?QueueUrl={queue}");
    let answer = tokio::time::timeout(PATIENCE, get(host, &path)).await.ok()?.ok()?;
    let body = answer.split_once("\r\n\r\n").filter(|(head, _)| head.contains(" 200 "))?.1;
    let sent = first_sent(&serde_json::from_str(body).ok()?)?;
    u64::try_from((now.as_second() - sent).max(0)).ok()
}

async fn get(host: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host).await?;
    // An answer of this version is as long as the connection lasts.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Messages stand by account, region and queue.
fn first_sent(value: &Value) -> Option<i64> {
    match value {
        Value::Object(fields) => match Message::deserialize(value) {
            Ok(message) => Some(message.sent_timestamp),
            Err(_) => fields.values().filter_map(first_sent).min(),
        },
        Value::Array(all) => all.iter().filter_map(first_sent).min(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_message_that_was_sent_first_counts() {
        let message =
            |at: i64| json!({ "SentTimestamp": at, "Body": "{\"SentTimestamp\":1}", "Attributes": {} });
        let messages =
            json!({ "messages": { "000000000000": { "us-east-1": { "q": [message(30), message(20)] } } } });
        assert_eq!(first_sent(&messages), Some(20));
        assert_eq!(first_sent(&json!({ "messages": {} })), None);
    }
}
