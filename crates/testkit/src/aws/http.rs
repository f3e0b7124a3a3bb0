//! AWS's JSON protocols on loopback.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use super::{
    checked::Refusal,
    left_out::LeftOut,
    rules::{bad_entries, refusal},
};
use crate::loopback::{self, Response, head};

/// A call that failed: the error's code, and the answer's body, which may hold more of it.
#[derive(Debug)]
pub(super) struct Failure {
    code: String,
    body: Value,
}

impl From<Refusal> for Failure {
    fn from(Refusal { code, why }: Refusal) -> Self {
        Self { code: code.to_owned(), body: json!({"__type": code, "message": why}) }
    }
}

/// A request that was read.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operation: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

/// Errors that AWS answers with 500 or 503 ("Common errors" of the API references).
const OF_THE_SERVICE: [&str; 4] =
    ["InternalFailure", "InternalServerError", "InternalException", "ServiceUnavailable"];

/// A server that refuses what AWS refuses and answers the rest as a test says. It stops when it is dropped.
#[derive(Debug)]
pub struct Server(loopback::Server);

impl Server {
    /// Has `answer` called with each operation's name and its request, without the entries that AWS would refuse. An answer
    /// with a `__type` is an error: of the service where it is one of `OF_THE_SERVICE`, and of the caller otherwise.
    pub fn start(mut answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Self {
        Self::listen(move |Request { operation, body, .. }: &Request| {
            let left_out = LeftOut::of(operation, body, bad_entries(operation, body));
            let answered = if left_out.is_all() { json!({}) } else { answer(operation, &left_out.rest) };
            match answered["__type"].as_str().map(str::to_owned) {
                Some(code) => Err(Failure { code, body: answered }),
                None => Ok(left_out.merged(answered)),
            }
        })
    }

    /// `answer` is called for one request at a time.
    pub(super) fn listen(
        mut answer: impl FnMut(&Request) -> Result<Value, Failure> + Send + 'static,
    ) -> Self {
        Self(loopback::Server::start(move |request| {
            let target = request.header("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            // A GET of S3 has neither a name nor a body. Its answer names the object's version.
            let body = match request.body.as_slice() {
                [] => Value::Null,
                bytes => serde_json::from_slice(bytes).unwrap(),
            };
            let request = Request { operation, headers: request.headers.clone(), body };
            let answered = match refusal(&request.operation, &request.body) {
                Some(refusal) => Err(Failure::from(refusal)),
                None => answer(&request),
            };
            response(answered)
        }))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn response(answered: Result<Value, Failure>) -> Response {
    let (status, body, error) = match answered {
        Ok(answer) => (200, answer, None),
        Err(Failure { code, body }) => {
            let (status, whose) = match OF_THE_SERVICE.contains(&code.as_str()) {
                true => (500, "Receiver"),
                false => (400, "Sender"),
            };
            (status, body, Some(format!("{code};{whose}")))
        }
    };
    let headers = [("Content-Type", "application/x-amz-json-1.0"), ("ETag", "\"1\"")];
    // SQS names its errors here ("Making Query API requests", developer guide).
    let error = error.as_deref().map(|error| ("x-amzn-query-error", error));
    let headers = headers.into_iter().chain(error);
    Response {
        status,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: body.to_string().into_bytes(),
    }
}

/// Sends a request to the server at `address`, with another body. Returns the answer's body.
pub(super) fn forward(address: &str, request: &Request, body: &Value) -> Result<Value, Failure> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = "POST / HTTP/1.1\r\nConnection: close\r\n".to_owned();
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "content-length" | "connection") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader).expect("an answer");
    let mut bytes = Vec::new();
    match header(&headers, "transfer-encoding") {
        Some(_) => chunks(&mut reader, &mut bytes),
        None => _ = reader.read_to_end(&mut bytes).unwrap(),
    }
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({}));
    if status.contains(" 200 ") {
        return Ok(answer);
    }
    let named = header(&headers, "x-amzn-query-error").and_then(|error| error.split(';').next());
    let code = named.or_else(|| answer["__type"].as_str()?.rsplit('#').next()).unwrap_or_default().to_owned();
    Err(Failure { code, body: answer })
}

fn chunks(reader: &mut impl BufRead, bytes: &mut Vec<u8>) {
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let begun = bytes.len();
        bytes.resize(begun + length, 0);
        reader.read_exact(&mut bytes[begun..]).unwrap();
        line.clear();
        reader.read_line(&mut line).unwrap();
        if length == 0 {
            break;
        }
    }
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
