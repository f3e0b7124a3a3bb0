//! A real function for the runner's tests: it does what the event's `do` says.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, reason = "what the runner put into the environment is what is tested")]
async fn main() -> Result<(), Error> {
    println!("starting with {:?}", std::env::var("GREETING"));
    if std::env::var("FAIL_INIT").is_ok() {
        std::process::exit(7);
    }
    if std::env::var("HANG_INIT").is_ok() {
        std::future::pending::<()>().await;
    }
    lambda_runtime::run(service_fn(handle)).await
}

#[expect(clippy::panic, reason = "a panic is one of the outcomes to test")]
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    match event.get("do").and_then(Value::as_str) {
        Some("echo") => Ok(event),
        Some("context") => Ok(json!({
            "pid": std::process::id(),
            "request_id": context.request_id,
            "deadline_ms": context.deadline,
            "now_ms": now_ms(),
            "arn": context.invoked_function_arn,
            "trace": context.xray_trace_id,
            "environment": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
        })),
        Some("fail") => Err("no such luck".into()),
        Some("panic") => panic!("at the disco"),
        Some("exit") => std::process::exit(3),
        Some("hang") => std::future::pending().await,
        Some("large") => Ok(Value::String("x".repeat(7_000_000))),
        // Meets every other one that does the same: they must be in flight at the same time.
        Some("meet") => meet(&event),
        other => Err(format!("unknown: {other:?}").into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock is what is tested")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

/// Leaves a file in `at` and waits for `of` of them.
fn meet(event: &Value) -> Result<Value, Error> {
    let at = event.get("at").and_then(Value::as_str).ok_or("at")?;
    let of = event.get("of").and_then(Value::as_u64).ok_or("of")?;
    std::fs::write(format!("{at}/{}", std::process::id()), "")?;
    loop {
        let here = std::fs::read_dir(at)?.count();
        if u64::try_from(here)? >= of {
            return Ok(json!({ "met": here }));
        }
        std::thread::yield_now();
    }
}
