//! A running proxy, what stands behind it, and clients of it.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::Credentials;
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy with a folder of its own; dropping it ends it.
pub struct Faults {
    process: Child,
    folder: PathBuf,
    control: String,
    ports: Value,
}

impl Faults {
    /// Starts one before an AWS and a runner, for the functions `validator` and `processor`. `test` names its folder.
    pub fn before(test: &str, aws: &str, runner: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let port_file = folder.join("port");
        let process = Command::new(env!("CARGO_BIN_EXE_tollgate-faults"))
            .arg("serve")
            .arg("--port-file")
            .arg(&port_file)
            .arg("--log")
            .arg(folder.join("log"))
            .args(["--seed", "1", "--function", "validator", "--function", "processor"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut faults = Self { process, folder, control: String::new(), ports: Value::Null };
        until("the proxy listens", || port_file.exists().then_some(()));
        faults.control = format!("http://127.0.0.1:{}", std::fs::read_to_string(&port_file).unwrap());
        faults.ports = faults.ask("GET", "/ports", &Value::Null).json();
        let told = faults.ask("PUT", "/upstream", &json!({"aws": aws, "runner": runner}));
        assert_eq!(told.status, 200, "{told:?}");
        faults
    }

    /// A control request.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http(&self.control, method, path, &[], body.as_bytes()).unwrap()
    }

    /// Replaces the rules by this one for the validator's calls, with what `more` says of it.
    pub fn rule(&self, kind: &str, more: &Value) {
        self.rules(&[("aws", kind, more)]);
    }

    /// The same for rules of either side.
    pub fn rules(&self, rules: &[(&str, &str, &Value)]) {
        let rule = |(side, kind, more): &(&str, &str, &Value)| {
            let mut rule = json!({"id": format!("a-{kind}"), "kind": kind, "side": side});
            let fields = more.as_object().unwrap().clone();
            rule.as_object_mut().unwrap().extend(fields);
            rule
        };
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        let answer = self.ask("PUT", "/rules", &json!(rules));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// The lines of the log.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Where the validator finds AWS.
    pub fn aws(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports["aws"]["validator"])
    }

    /// Where functions are invoked.
    pub fn invoke(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports["invoke"])
    }

    /// The configuration of the validator's clients: one attempt a call, of three seconds.
    pub async fn config(&self) -> SdkConfig {
        config(&self.aws()).await
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A configuration of AWS clients that reaches the proxy.
pub async fn config(url: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(3)).build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::for_tests())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .load()
        .await
}

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A request that a server has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One request on a connection of its own; `Err` where the connection is reset or closed before an answer.
pub fn http(
    server: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server.strip_prefix("http://").unwrap())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n")?;
    write!(stream, "Content-Length: {length}\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let (first, headers) = head(&mut reader)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Answer { status: first.split(' ').nth(1).unwrap().parse().unwrap(), headers, body })
}

/// A server that answers each request as `answer` says, each connection in a thread, until the test ends.
pub fn server(
    answer: impl Fn(&Seen) -> (u16, Vec<(&'static str, String)>, Vec<u8>) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let (answer, all) = (Arc::new(answer), Arc::clone(&seen));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
            thread::spawn(move || {
                let mut writer = stream.unwrap();
                let mut reader = BufReader::new(writer.try_clone().unwrap());
                while let Ok((first, headers)) = head(&mut reader) {
                    let length = headers.iter().find(|(name, _)| name == "content-length");
                    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
                    reader.read_exact(&mut body).unwrap();
                    let mut words = first.split(' ').map(str::to_owned);
                    let (method, target) = (words.next().unwrap(), words.next().unwrap());
                    let one = Seen { method, target, headers, body };
                    all.lock().unwrap().push(one.clone());
                    let (status, headers, body) = answer(&one);
                    let headers: String =
                        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                    let head =
                        format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
                    if writer.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, seen)
}

/// The first line and the headers, names in lower case.
fn head(reader: &mut impl std::io::BufRead) -> std::io::Result<(String, Vec<(String, String)>)> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok((first, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
    }
}

/// Waits until there is one.
pub fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not in {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}
