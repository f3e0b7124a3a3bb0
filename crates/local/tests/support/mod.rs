//! A running runner, and a client for it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runner with a folder of its own; dropping it kills it.
pub struct Runner {
    process: Child,
    pub folder: PathBuf,
    port: u16,
}

impl Runner {
    /// Starts one; `test` names its folder.
    pub fn start(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let port_file = folder.join("port");
        let process = Command::new(env!("CARGO_BIN_EXE_tollgate-local"))
            .args(["serve", "--port-file"])
            .arg(&port_file)
            .arg("--log-dir")
            .arg(folder.join("logs"))
            .args(["--init-timeout", "1"])
            .env("NOT_INHERITED", "1")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut runner = Self { process, folder, port: 0 };
        until("the runner listens", || port_file.exists());
        runner.port = std::fs::read_to_string(&port_file).unwrap().parse().unwrap();
        runner
    }

    /// Configures `function` to run the test function.
    pub fn put(&self, function: &str, copies: usize, timeout_seconds: u32, environment: Value) -> Answer {
        self.put_program(function, json!({
            "binary": function_binary(), "copies": copies, "memory_mb": 256, "timeout_seconds": timeout_seconds,
            "environment": environment,
        }))
    }

    /// Configures `function` with this very body.
    pub fn put_program(&self, function: &str, body: Value) -> Answer {
        self.request("PUT", &format!("/functions/{function}"), &[], body.to_string().as_bytes())
    }

    /// Invokes it with `event`.
    pub fn invoke(&self, function: &str, event: Value) -> Answer {
        self.invoke_with(function, &[], event)
    }

    /// The same with headers.
    pub fn invoke_with(&self, function: &str, headers: &[(&str, &str)], event: Value) -> Answer {
        let path = format!("/functions/{function}/invocations");
        self.request("POST", &path, headers, event.to_string().as_bytes())
    }

    /// What `GET /functions` says of `function`.
    pub fn status(&self, function: &str) -> Value {
        let all = self.request("GET", "/functions", &[], b"").json();
        let functions = all["functions"].as_array().unwrap();
        functions.iter().find(|one| one["name"] == function).cloned().unwrap_or(Value::Null)
    }

    /// The processes that run `function` now.
    pub fn pids(&self, function: &str) -> Vec<u64> {
        let status = self.status(function);
        status["copies"].as_array().unwrap().iter().filter_map(|copy| copy["pid"].as_u64()).collect()
    }

    /// Everything that `function` wrote.
    pub fn log(&self, function: &str) -> String {
        std::fs::read_to_string(self.folder.join(format!("logs/{function}.log"))).unwrap_or_default()
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: runner\r\nConnection: close\r\n").unwrap();
        write!(stream, "Content-Length: {length}\r\n{headers}\r\n").unwrap();
        stream.write_all(body).unwrap();
        Answer::read(stream)
    }

    /// Sends `signal` (`TERM`, `INT`, `KILL`) and waits for the end.
    pub fn end(mut self, signal: &str) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        self.process.wait().unwrap()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut body = Vec::new();
        reader.read_to_end(&mut body).unwrap();
        Self { status, headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `errorType` of a function error.
    pub fn error(&self) -> (String, String) {
        assert_eq!((self.status, self.header("x-amz-function-error")), (500, Some("Unhandled")), "{self:?}");
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (text("errorType"), text("errorMessage"))
    }
}

/// The example of this crate: `cargo test` builds it next to the test.
pub fn function_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("examples/function");
    assert!(binary.is_file(), "{} is missing: build with `cargo test -p tollgate-local`", binary.display());
    binary
}

/// Waits until it holds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

/// Whether the process is there and not a zombie.
pub fn is_alive(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}
