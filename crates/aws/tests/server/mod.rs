//! A server on loopback that answers AWS's JSON protocols as a test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use serde_json::Value;

/// Called with the operation's name and the request, returns the answer.
type Answer = Arc<Mutex<dyn FnMut(&str, &Value) -> Value + Send>>;

/// It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
}

impl Server {
    pub fn start(answer: impl FnMut(&str, &Value) -> Value + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), is_stopped: Arc::default() };
        let (is_stopped, answer) = (Arc::clone(&server.is_stopped), Arc::new(Mutex::new(answer)) as Answer);
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
fn serve(stream: TcpStream, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let (mut length, mut operation) = (0, String::new());
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-amz-target" => operation = value.rsplit('.').next().unwrap().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let answered = (answer.lock().unwrap())(&operation, &request).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
            answered.len()
        );
        writer.write_all((head + &answered).as_bytes()).unwrap();
        line.clear();
    }
}
