//! AWS's JSON protocols on loopback.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use serde_json::{Value, json};

use super::{
    checked::Refusal,
    left_out::LeftOut,
    rules::{bad_entries, refusal},
};

/// What is answered to an operation's request. It is called for one request at a time.
type Answer = dyn FnMut(&Request) -> Result<Value, Failure> + Send;

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
pub struct Server {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
}

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

    pub(super) fn listen(answer: impl FnMut(&Request) -> Result<Value, Failure> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), is_stopped: Arc::default() };
        let is_stopped = Arc::clone(&server.is_stopped);
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(SeqCst) {
                    break;
                }
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream.unwrap(), &answer));
            }
        });
        server
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopped.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Requests until the client closes the connection.
fn serve(stream: TcpStream, answer: &Mutex<Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((_, headers)) = head(&mut reader) {
        let mut bytes =
            vec![0; header(&headers, "content-length").map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut bytes).unwrap();
        let target = header(&headers, "x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        // A GET of S3 has neither a name nor a body. Its answer names the object's version.
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        let request = Request { operation, headers, body };
        // A panic of the answer is a call that fails.
        let answered = match refusal(&request.operation, &request.body) {
            Some(refusal) => Err(Failure::from(refusal)),
            None => (answer.lock().unwrap_or_else(PoisonError::into_inner))(&request),
        };
        let (status, body, error) = match answered {
            Ok(answer) => ("200 OK", answer, String::new()),
            // SQS names its errors here ("Making Query API requests", developer guide).
            Err(Failure { code, body }) => {
                let (status, whose) = match OF_THE_SERVICE.contains(&code.as_str()) {
                    true => ("500 Internal Server Error", "Receiver"),
                    false => ("400 Bad Request", "Sender"),
                };
                (status, body, format!("x-amzn-query-error: {code};{whose}\r\n"))
            }
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nETag: \"1\"\r\n{error}Content-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all((head + &body).as_bytes()).unwrap();
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

/// The first line and the headers, names in lower case; `None` where the connection is closed.
fn head(reader: &mut impl BufRead) -> Option<(String, Vec<(String, String)>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some((first, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
    }
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}
