//! The process at the other end of a connection.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use hyper::{Method, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http::{Link, Onward, Whole, body};

/// The processes of the runner's copies (`GET /functions` of `tollgate-local`); none where it does not answer.
pub async fn copies(onward: &Onward, runner: &str) -> Vec<u32> {
    let request = Request::builder().method(Method::GET).uri("/").body(());
    let Ok((head, ())) = request.map(Request::into_parts) else { return Vec::new() };
    let request = Whole { head, body: Default::default() };
    let Ok(answer) = onward.pass(runner, "/functions", request).await else { return Vec::new() };
    let body = body(answer).await.unwrap_or_default();
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    let functions = status.get("functions").and_then(Value::as_array).into_iter().flatten();
    let copies = functions.filter_map(|function| function.get("copies")?.as_array()).flatten();
    copies.filter_map(|copy| u32::try_from(copy.get("pid")?.as_u64()?).ok()).collect()
}

/// A copy of a function that has called.
#[derive(Debug, Clone, Copy)]
pub struct Caller(Pid);

impl Caller {
    /// This process, if the caller's end of the connection is its own.
    pub fn find(pid: u32, link: Link) -> Option<Self> {
        let socket = format!("socket:[{}]", socket(link)?);
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok);
        let is_its =
            files.any(|file| fs::read_link(file.path()).is_ok_and(|at| at.as_os_str() == socket.as_str()));
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        is_its.then_some(Self(pid))
    }

    /// Its number.
    pub fn pid(self) -> u32 {
        u32::try_from(self.0.as_raw_pid()).unwrap_or_default()
    }

    /// Sends it SIGKILL.
    pub fn kill(self) {
        // Already gone is what was wanted.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// The inode of the caller's socket, of the kernel's table (proc_pid_net(5), `/proc/net/tcp`).
fn socket(link: Link) -> Option<String> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    inode(&table, link).map(str::to_owned)
}

fn inode(table: &str, link: Link) -> Option<&str> {
    let (caller, listener) = (address(link.caller)?, address(link.listener)?);
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = fields.next()? == caller && fields.next()? == listener;
        // After the state: queues, timer, retransmissions, user, timeout.
        let inode = fields.nth(6)?;
        is_it.then_some(inode)
    })
}

/// As the table has it: the address as the processor has it in memory, the port in network order.
fn address(of: SocketAddr) -> Option<String> {
    let SocketAddr::V4(of) = of else { return None };
    let ip: &Ipv4Addr = of.ip();
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), of.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_line_of_the_table() {
        let table =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0
";
        let link = |caller: &str, listener: &str| Link {
            caller: caller.parse().unwrap(),
            listener: listener.parse().unwrap(),
        };
        assert_eq!(inode(table, link("127.0.0.1:50000", "127.0.0.1:8080")), Some("13"));
        assert_eq!(inode(table, link("127.0.0.1:50001", "127.0.0.1:8080")), None);
    }
}
