//! `tollgate verify`: what the validator would say of a captured request, and why.

use std::{io::Read, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_core::{Timestamp, id::hex_sha256};
use tollgate_providers::{Endpoint, Headers, KeyRing, Material, Received};

use crate::{
    clock,
    endpoints::{self, KeyStore, KeyText, Reference},
    signer::{KeySource, ad_hoc},
    target::Target,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The captured request: JSON {headers, query?, url?, body or body_base64}, or raw HTTP; - for stdin
    request: PathBuf,
    /// The provider's name, as `tollgate providers` lists it
    #[arg(long, conflicts_with_all = ["endpoint", "endpoint_config"])]
    scheme: Option<String>,
    /// An endpoint of the environment, with its keys
    #[arg(long)]
    endpoint: Option<String>,
    /// A file of [[endpoints]]; --endpoint says which, where there are several
    #[arg(long, value_name = "FILE")]
    endpoint_config: Option<PathBuf>,
    #[command(flatten)]
    key: KeySource,
    /// The receiver's clock: RFC 3339 or unix seconds [default: the time]
    #[arg(long, value_parser = timestamp)]
    now: Option<Timestamp>,
    /// The certificate chain (PEM) or JSON Web Key that the webhook names
    #[arg(long, value_name = "FILE")]
    material: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// A time as people type it.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.or_else(|| text.parse().ok()).ok_or_else(|| "neither RFC 3339 nor unix seconds".to_owned())
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let captured = Captured::read(&read_file(&args.request)?)?;
    let (endpoint, key) = resolve(&args, captured.url.as_deref()).await?;
    let ring = match key {
        Some(key) => endpoint.keys(key.keys("given"))?,
        None => {
            let reference = Reference::parse(&endpoint.config().secret)?;
            let store = KeyStore::new(&args.target.connect().await?);
            endpoint.keys(store.active(&reference).await?)?
        }
    };
    let material = args.material.as_ref().map(std::fs::read).transpose().context("reading the material")?;
    let material = material.map(Material);
    let now = args.now.unwrap_or_else(clock::now);
    let received = Received { headers: &captured.headers, query: &captured.query, body: &captured.body };
    let (valid, verdict) = verdict(&endpoint, received, &ring, material.as_ref(), now)?;
    say!("{}", serde_json::to_string_pretty(&verdict)?);
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a webhook is genuine, and the checks one by one, with the content that should have been signed.
pub(crate) fn verdict(
    endpoint: &Endpoint,
    received: Received<'_>,
    ring: &KeyRing,
    material: Option<&Material>,
    now: Timestamp,
) -> anyhow::Result<(bool, Value)> {
    let explanation = endpoint.explain(received, ring, material, now);
    let valid = explanation.authenticity.is_some();
    let mut verdict = json!({
        "valid": valid,
        "provider": endpoint.provider(),
        "body_bytes": received.body.len(),
        "body_sha256": hex_sha256(received.body),
        "now": now.to_string(),
    });
    if let (Value::Object(verdict), Value::Object(more)) = (&mut verdict, serde_json::to_value(explanation)?)
    {
        verdict.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Ok((valid, verdict))
}

async fn resolve(args: &Args, url: Option<&str>) -> anyhow::Result<(Endpoint, Option<KeyText>)> {
    let key = args.key.read()?;
    if let Some(scheme) = &args.scheme {
        if key.is_none() {
            bail!("--scheme needs the key: --secret-file or TOLLGATE_SECRET");
        }
        // A scheme that does not sign the URL has no use for one.
        let endpoint = ad_hoc("captured", scheme, None).or_else(|problem| match url {
            Some(url) => ad_hoc("captured", scheme, Some(url)),
            None => Err(problem),
        })?;
        return Ok((endpoint, key));
    }
    let Some(file) = &args.endpoint_config else {
        let id = args.endpoint.as_deref().context("which rule? --scheme, --endpoint or --endpoint-config")?;
        return Ok((endpoints::find(&args.target.connect().await?, id).await?, key));
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let suffix = args.target.suffix.as_deref().unwrap_or("dev");
    let mut known =
        endpoints::from_text(&text, suffix).map_err(|problems| anyhow::anyhow!(problems.join("\n")))?;
    known.retain(|endpoint| args.endpoint.as_deref().is_none_or(|id| endpoint.id().as_str() == id));
    match (known.pop(), known.is_empty()) {
        (Some(endpoint), true) => Ok((endpoint, key)),
        (None, _) => bail!("{}: no such endpoint", file.display()),
        _ => bail!("{}: several endpoints; say which with --endpoint", file.display()),
    }
}

pub(crate) fn read_file(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading stdin")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// A recorded request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) headers: Headers,
    pub(crate) query: String,
    pub(crate) url: Option<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    headers: Value,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
}

impl Captured {
    /// Reads either form: raw HTTP begins with a method, JSON with a brace.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            Self::from_json(bytes)
        } else {
            Self::from_http(bytes)
        }
    }

    fn from_json(bytes: &[u8]) -> anyhow::Result<Self> {
        let recorded: Recorded = serde_json::from_slice(bytes).context("the request's JSON")?;
        let mut headers = Headers::new();
        let Value::Object(fields) = recorded.headers else { bail!("headers: must be an object") };
        for (name, value) in fields {
            match value {
                Value::String(text) => headers.push(name, text),
                Value::Array(values) => {
                    for value in values {
                        headers.push(name.clone(), value.as_str().context("headers: values must be texts")?);
                    }
                }
                _ => bail!("headers: {name} must be a text or a list of texts"),
            }
        }
        let body = match (recorded.body, recorded.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).context("body_base64")?,
            _ => bail!("exactly one of body and body_base64"),
        };
        let in_url = recorded.url.as_deref().and_then(|url| url.split_once('?')).map(|(_, query)| query);
        let query = recorded.query.or_else(|| in_url.map(str::to_owned)).unwrap_or_default();
        Ok(Self { headers, query, url: recorded.url, body })
    }

    fn from_http(bytes: &[u8]) -> anyhow::Result<Self> {
        let ends =
            |end: &[u8]| bytes.windows(end.len()).position(|window| window == end).map(|at| (at, end.len()));
        // Whichever comes first: a tool may have written the head with bare line feeds.
        let end = [ends(b"\r\n\r\n"), ends(b"\n\n")].into_iter().flatten().min();
        let (at, gap) = end.context("neither JSON nor HTTP: no empty line between head and body")?;
        let (head, rest) = bytes.split_at(at);
        let body = rest.get(gap..).unwrap_or_default();
        let head = std::str::from_utf8(head).context("the request's head is not UTF-8")?;
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let target = first.split(' ').nth(1).filter(|_| first.contains(" HTTP/"));
        let target = target.with_context(|| "neither JSON nor HTTP: no request line".to_owned())?;
        let mut headers = Headers::new();
        for line in lines {
            let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line}"))?;
            headers.push(name, value.trim());
        }
        if headers.get("Transfer-Encoding").is_some() {
            bail!("the body is in chunks: capture it decoded");
        }
        // An editor's newline at the end of the file is no part of the body.
        let body = match headers.get("Content-Length").map(str::parse::<usize>) {
            Some(Ok(length)) => body.get(..length).context("the body is shorter than Content-Length")?,
            Some(Err(_)) => bail!("Content-Length is no number"),
            None => body,
        };
        let query = target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        let url = target.starts_with("http").then(|| target.to_owned());
        Ok(Self { headers, query, url, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Captured {
        Captured::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn both_forms_say_the_same() {
        let http = check("POST /webhook/a?x=1 HTTP/1.1\r\nA: 1\r\nb:  2 \r\nContent-Length: 4\r\n\r\nbody\n");
        assert_eq!((http.body.as_slice(), http.query.as_str()), (&b"body"[..], "x=1"));
        assert_eq!((http.headers.get("a"), http.headers.get("B")), (Some("1"), Some("2")));
        let json =
            check(r#"{"headers":{"A":"1","b":["2","3"]},"url":"https://h/p?x=1","body_base64":"Ym9keQ=="}"#);
        assert_eq!((json.body, json.query), (http.body, http.query));
        assert_eq!(json.headers.all("b").collect::<Vec<_>>(), ["2", "3"]);
    }

    #[test]
    fn a_body_is_exact_bytes() {
        let captured = check("POST / HTTP/1.1\nA: 1\n\nline\r\n\r\nline\n");
        assert_eq!(captured.body, b"line\r\n\r\nline\n");
        assert_eq!(check(r#"{"headers":{},"body":""}"#).body, b"");
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for bad in [
            "",
            "hello",
            "hello\n\nworld",
            r#"{"headers":{},"body":"","body_base64":""}"#,
            r#"{"headers":[],"body":""}"#,
            r#"{"headers":{},"body":"","method":"POST"}"#,
            "POST / HTTP/1.1\nContent-Length: 9\n\nshort",
            "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n0",
        ] {
            assert!(Captured::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
