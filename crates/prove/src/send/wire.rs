//! Requests that are written by hand: broken off, slow, with another method. HTTP/1.1 (RFC 9112), without TLS: the peer
//! is on this machine.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tollgate_cli::http::{Answer, Parcel};

/// A slow body comes in so many parts.
const PARTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(35);
/// More than any answer of ours, in bytes.
const MOST: u64 = 64 * 1_024;

/// The head, and `body`, which may be less than the head says; then nobody listens any more.
///
/// # Errors
///
/// Always: there is no answer.
pub(super) async fn broken(parcel: &Parcel, body: &Bytes) -> anyhow::Result<Answer> {
    let mut stream = begun("POST", parcel).await?;
    stream.write_all(body).await?;
    stream.shutdown().await?;
    bail!("the connection was closed")
}

/// A whole request whose body takes so long, and its answer.
///
/// # Errors
///
/// When no whole answer came.
pub(super) async fn whole(method: &str, parcel: &Parcel, takes: Duration) -> anyhow::Result<Answer> {
    let mut stream = begun(method, parcel).await?;
    for part in parcel.body.chunks(parcel.body.len().div_ceil(PARTS).max(1)) {
        stream.write_all(part).await?;
        stream.flush().await?;
        sleep(takes / u32::try_from(PARTS)?).await;
    }
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.take(MOST).read_to_end(&mut answer)).await.context("no answer in time")??;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("no whole answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    // It may come in chunks: the JSON is what stands between braces.
    let json =
        body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to)).unwrap_or_default();
    Ok(Answer { status, retry_after: None, body: serde_json::from_str(json).unwrap_or(Value::Null) })
}

async fn begun(method: &str, parcel: &Parcel) -> anyhow::Result<TcpStream> {
    let authority = parcel.uri.authority().context("no host")?.as_str();
    let path = parcel.uri.path_and_query().context("no path")?.as_str();
    let mut stream =
        timeout(PATIENCE, TcpStream::connect(authority)).await.context("no connection in time")??;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in parcel.headers.iter() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", parcel.body.len()));
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}
