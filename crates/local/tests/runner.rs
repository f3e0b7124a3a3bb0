//! The runner with a real function built on `lambda_runtime`.

#![expect(clippy::disallowed_methods, reason = "deadlines of real processes are real time")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may fail by panicking, its helpers too"
)]

mod support;

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt as _,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use support::{Runner, function_binary, is_alive, until};

#[test]
fn an_invocation_is_answered_with_what_the_function_returns() {
    let runner = Runner::start("success");
    assert_eq!(runner.put("echo", 1, 10, json!({})).status, 200);
    let event = json!({"do": "echo", "text": "ü \u{1F4B6} \\ \"", "number": 12345678901234567890_u64});
    let answer = runner.invoke("echo", event.clone());
    assert_eq!((answer.status, answer.json()), (200, event));
    assert_eq!(answer.header("x-amz-function-error"), None);
    let status = runner.status("echo");
    assert_eq!(
        (&status["invocations"], &status["errors"], &status["restarts"]),
        (&json!(1), &json!(0), &json!(0))
    );
}

#[test]
fn the_function_sees_lambdas_context_and_environment_and_nothing_else() {
    let runner = Runner::start("context");
    let own = json!({"GREETING": "hello", "AWS_REGION": "mars-1"});
    assert_eq!(runner.put("context", 1, 30, own).status, 200);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let headers = [
        ("X-Amzn-Lambda-Request-Id", "11111111-2222-4333-8444-555555555555"),
        ("X-Amzn-Lambda-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:context:live"),
        ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"),
    ];
    let seen = runner.invoke_with("context", &headers, json!({"do": "context"})).json();
    assert_eq!(seen["request_id"], headers[0].1);
    assert_eq!(seen["arn"], headers[1].1);
    assert_eq!(seen["trace"], headers[2].1);
    let deadline = Duration::from_millis(seen["deadline_ms"].as_u64().unwrap());
    assert!(deadline >= before + Duration::from_secs(30) - Duration::from_millis(1), "{deadline:?}");
    assert!(deadline <= before + Duration::from_secs(90), "{deadline:?}");

    let environment = seen["environment"].as_object().unwrap();
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "context"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/context"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "us-east-1"),
        ("GREETING", "hello"),
        ("_HANDLER", "function"),
    ] {
        assert_eq!(environment[name], value, "{name}");
    }
    assert!(environment.contains_key("LAMBDA_TASK_ROOT") && environment.contains_key("PATH"));
    for inherited in ["NOT_INHERITED", "HOME", "CARGO_MANIFEST_DIR"] {
        assert!(!environment.contains_key(inherited), "{inherited}");
    }

    let made_up = runner.invoke("context", json!({"do": "context"})).json();
    assert_eq!(made_up["arn"], "arn:aws:lambda:us-east-1:000000000000:function:context");
    assert_eq!(made_up["request_id"].as_str().unwrap().len(), 36);
    assert!(made_up["trace"].as_str().unwrap().starts_with("Root=1-"));
}

/// With the library of scripts/prove, which moves a function's clock while it runs.
#[test]
fn a_functions_clock_may_be_another_and_its_deadlines_follow_it() {
    let runner = Runner::start("clock");
    let library = runner.folder.join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/prove/clock.c");
    let flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"];
    assert!(Command::new("cc").args(flags).arg(&library).arg(source).status().unwrap().success());
    let file = runner.folder.join("apart");
    // Written in place: a new file would not be the one that the process has mapped.
    let set = |seconds: i64| {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&file).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    };
    set(0);
    let body = json!({
        "binary": function_binary(), "copies": 1, "memory_mb": 256, "timeout_seconds": 60, "clock": file,
        "environment": {"LD_PRELOAD": library, "TOLLGATE_CLOCK": file},
    });
    assert_eq!(runner.put_program("clock", body).status, 200);
    let mut pids = Vec::new();
    for seconds in [0, 2_592_000, -300] {
        set(seconds);
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let seen = runner.invoke("clock", json!({"do": "context"})).json();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let ours = |ms: &serde_json::Value| {
            u128::from(ms.as_u64().unwrap()).saturating_add_signed(-i128::from(seconds) * 1_000)
        };
        let (now, deadline) = (ours(&seen["now_ms"]), ours(&seen["deadline_ms"]));
        assert!((before..=after).contains(&now), "{seconds}: {before} {now} {after}");
        assert!((before + 60_000 - 1..=after + 60_000).contains(&deadline), "{seconds}: {deadline}");
        pids.push(seen["pid"].clone());
    }
    assert!(pids.iter().all(|pid| *pid == pids[0]), "one process: {pids:?}");
}

#[test]
fn another_program_may_become_the_function() {
    let runner = Runner::start("become");
    let body = json!({
        "binary": "/bin/sh", "arguments": ["-c", "GREETING=$1 exec \"$0\"", function_binary(), "--hello"],
        "copies": 1, "memory_mb": 256, "timeout_seconds": 10,
    });
    assert_eq!(runner.put_program("become", body).status, 200);
    let seen = runner.invoke("become", json!({"do": "context"})).json();
    assert_eq!(seen["environment"]["GREETING"], "--hello");
}

#[test]
fn a_handler_error_and_a_panic_are_the_functions_errors() {
    let runner = Runner::start("errors");
    runner.put("errors", 1, 10, json!({}));
    let pids = runner.pids("errors");
    assert_eq!(runner.invoke("errors", json!({"do": "fail"})).error().1, "no such luck");
    assert!(runner.invoke("errors", json!({"do": "panic"})).error().1.contains("at the disco"));
    assert_eq!(runner.invoke("errors", json!({"do": "echo"})).status, 200);
    assert_eq!(runner.pids("errors"), pids, "an error does not end the process");
    assert_eq!(runner.status("errors")["errors"], 2);
}

#[test]
fn a_copy_that_exits_is_answered_for_and_started_again() {
    let runner = Runner::start("exit");
    runner.put("exit", 1, 10, json!({}));
    let pids = runner.pids("exit");
    let (kind, message) = runner.invoke("exit", json!({"do": "exit"})).error();
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    assert_eq!(runner.invoke("exit", json!({"do": "echo"})).status, 200);
    assert_ne!(runner.pids("exit"), pids);
    assert_eq!(runner.status("exit")["restarts"], 1);
}

#[test]
fn a_copy_over_its_time_is_killed() {
    let runner = Runner::start("timeout");
    runner.put("timeout", 1, 1, json!({}));
    let pids = runner.pids("timeout");
    let (kind, message) = runner.invoke("timeout", json!({"do": "hang"})).error();
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Error: Task timed out after 1.00 seconds"), "{message}");
    assert!(!is_alive(pids[0]));
    assert_eq!(runner.invoke("timeout", json!({"do": "echo"})).status, 200);
}

#[test]
fn a_killed_copy_is_answered_for_and_started_again() {
    let runner = Runner::start("kill");
    runner.put("kill", 2, 60, json!({}));
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| runner.invoke("kill", json!({"do": "hang"})));
        let is_busy =
            || runner.status("kill")["copies"].as_array().unwrap().iter().any(|c| c["state"] == "busy");
        until("a copy is busy", is_busy);
        let killed = runner.request("POST", "/functions/kill/kill", &[], b"").json();
        assert_eq!(killed["busy"], true, "a busy copy is chosen");
        let (kind, message) = hanging.join().unwrap().error();
        assert_eq!(kind, "Runtime.ExitError");
        assert!(message.ends_with("signal: killed"), "{message}");
    });
    until("both copies live again", || runner.status("kill")["alive"] == 2);
    assert_eq!(runner.invoke("kill", json!({"do": "echo"})).status, 200);
}

#[test]
fn copies_work_at_the_same_time() {
    let runner = Runner::start("concurrent");
    runner.put("concurrent", 3, 50, json!({}));
    let meeting = runner.folder.join("meeting");
    std::fs::create_dir(&meeting).unwrap();
    std::thread::scope(|scope| {
        let meet = || runner.invoke("concurrent", json!({"do": "meet", "at": meeting, "of": 3}));
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(meet)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().json(), json!({"met": 3}));
        }
    });
}

#[test]
fn a_queue_of_invocations_is_worked_off() {
    let runner = Runner::start("queue");
    runner.put("queue", 2, 60, json!({}));
    std::thread::scope(|scope| {
        let runner = &runner;
        let echo =
            |n| scope.spawn(move || runner.invoke("queue", json!({"do": "echo", "n": n})).json()["n"] == n);
        let threads: Vec<_> = (0..40).map(echo).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()), "each got its own answer");
    });
    let status = runner.status("queue");
    assert_eq!((&status["invocations"], &status["errors"]), (&json!(40), &json!(0)));
}

#[test]
fn a_copy_that_cannot_start_says_why_and_is_tried_again() {
    let runner = Runner::start("init");
    let answer = runner.put("init", 1, 10, json!({"FAIL_INIT": "1"}));
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["errorMessage"], "Runtime exited with error: exit status 7");
    // A caller that waits for it gets the same error.
    assert_eq!(runner.invoke("init", json!({"do": "echo"})).error().0, "Runtime.ExitError");
    assert!(runner.status("init")["restarts"].as_u64().unwrap() >= 1);
    // A configuration that works replaces it.
    assert_eq!(runner.put("init", 1, 10, json!({})).status, 200);
    assert_eq!(runner.invoke("init", json!({"do": "echo"})).status, 200);
}

#[test]
fn the_time_to_start_is_bounded_and_not_the_time_to_be_idle() {
    let runner = Runner::start("idle");
    let answer = runner.put("never", 1, 10, json!({"HANG_INIT": "1"}));
    assert_eq!((answer.status, answer.json()["errorType"].as_str()), (502, Some("Sandbox.Timedout")));
    runner.put("idle", 2, 10, json!({}));
    runner.put("clock", 1, 3, json!({}));
    // Takes three times as long as a start may.
    assert_eq!(runner.invoke("clock", json!({"do": "hang"})).error().0, "Sandbox.Timedout");
    assert_eq!(runner.status("idle")["restarts"], 0);
}

#[test]
fn too_large_a_response_is_an_error() {
    let runner = Runner::start("large");
    runner.put("large", 1, 50, json!({}));
    assert_eq!(runner.invoke("large", json!({"do": "large"})).error().0, "Function.ResponseSizeTooLarge");
    assert_eq!(runner.invoke("large", json!({"do": "echo"})).status, 200);
}

#[test]
fn a_new_configuration_replaces_the_copies_and_loses_nothing() {
    let runner = Runner::start("replace");
    runner.put("replace", 1, 50, json!({"GREETING": "old"}));
    let old = runner.pids("replace");
    let meeting = runner.folder.join("meeting");
    std::fs::create_dir(&meeting).unwrap();
    std::thread::scope(|scope| {
        let event = json!({"do": "meet", "at": meeting, "of": 2});
        let running = scope.spawn(|| runner.invoke("replace", event));
        until("it is in flight", || std::fs::read_dir(&meeting).unwrap().count() == 1);
        assert_eq!(runner.put("replace", 2, 50, json!({"GREETING": "new"})).status, 200);
        let seen = runner.invoke("replace", json!({"do": "context"})).json();
        assert_eq!(seen["environment"]["GREETING"], "new");
        assert!(is_alive(old[0]), "it may finish");
        std::fs::write(meeting.join("the test"), "").unwrap();
        assert_eq!(running.join().unwrap().status, 200);
    });
    until("the old copy has ended", || !is_alive(old[0]));
    assert_eq!(runner.pids("replace").len(), 2);
}

#[test]
fn what_a_copy_writes_is_in_the_functions_log() {
    let runner = Runner::start("logs");
    runner.put("logs", 1, 10, json!({"GREETING": "hello"}));
    let headers = [("X-Amzn-Lambda-Request-Id", "11111111-2222-4333-8444-555555555555")];
    runner.invoke_with("logs", &headers, json!({"do": "echo"}));
    until("the line is there", || runner.log("logs").contains("[0] starting with Ok(\"hello\")"));
    let report = "REPORT RequestId: 11111111-2222-4333-8444-555555555555 Duration: ";
    assert!(runner.log("logs").contains(report), "{}", runner.log("logs"));
}

#[test]
fn no_process_survives_the_runner() {
    for signal in ["TERM", "INT", "KILL"] {
        let runner = Runner::start(&format!("stop-{signal}"));
        runner.put("one", 2, 60, json!({}));
        runner.put("two", 1, 60, json!({}));
        let pids = [runner.pids("one"), runner.pids("two")].concat();
        assert!(pids.len() == 3 && pids.iter().all(|pid| is_alive(*pid)));
        let status = runner.end(signal);
        assert_eq!(status.success(), signal != "KILL", "{signal}: {status}");
        if signal == "KILL" {
            // The kernel kills them, a moment later.
            until("every copy has ended", || !pids.iter().any(|pid| is_alive(*pid)));
        }
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "{signal}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let runner = Runner::start("refused");
    assert_eq!(runner.invoke("nobody", json!({})).status, 404);
    assert_eq!(runner.request("POST", "/functions/nobody/kill", &[], b"").status, 404);
    assert_eq!(runner.request("GET", "/", &[], b"").status, 404);
    assert_eq!(runner.put("copies", 0, 10, json!({})).status, 400);
    assert_eq!(runner.put("timeout", 1, 901, json!({})).status, 400);
    assert_eq!(runner.request("PUT", "/functions/f", &[], b"{\"binary\": \"/bin/sh\"").status, 400);
    let misspelt =
        json!({"binary": "/bin/sh", "copies": 1, "memory_mb": 128, "timeout_seconds": 1, "enviroment": {}});
    assert_eq!(runner.request("PUT", "/functions/f", &[], misspelt.to_string().as_bytes()).status, 400);
    let absent = json!({"binary": "/no/such/file", "copies": 1, "memory_mb": 128, "timeout_seconds": 1});
    assert_eq!(runner.request("PUT", "/functions/f", &[], absent.to_string().as_bytes()).status, 400);
}
