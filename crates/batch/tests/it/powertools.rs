//! Counterparts of the public test cases of Powertools for AWS Lambda's batch utility (Python and TypeScript),
//! written anew. Each test names the behaviour that theirs checks. Of no meaning here, and left out: Kinesis and
//! DynamoDB streams, body parsers, decorators and context managers, event-shape checks (the caller hands in
//! records, not an event), and the synchronous and asynchronous variants of each (there is one tracker).

use tollgate_batch::{Batch, Kind, Outcome};

/// Handles records whose body holds `fail` as failures; returns what is reported and the bodies handled.
fn handle<'a>(kind: Kind, records: &[(&'a str, &'a str, Option<&'a str>)]) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut batch = Batch::new(kind, records.iter().map(|(id, _, group)| (*id, *group)));
    let mut handled = Vec::new();
    let panics = batch.run(
        || true,
        |index| {
            let body = records[index].1;
            handled.push(body);
            if body.contains("fail") { Outcome::Retry("told_to") } else { Outcome::Ok }
        },
    );
    assert!(panics.is_empty());
    (batch.failures().unwrap(), handled)
}

#[test]
fn standard_without_failures_reports_an_empty_list() {
    let (failures, handled) = handle(Kind::Standard, &[("1", "success", None), ("2", "success", None)]);
    assert!(failures.is_empty());
    assert_eq!(handled.len(), 2);
    let batch = Batch::new(Kind::Standard, []);
    assert_eq!(serde_json::to_string(&batch.response().unwrap()).unwrap(), r#"{"batchItemFailures":[]}"#);
}

#[test]
fn standard_with_failures_reports_them_in_order_and_handles_the_rest() {
    let records = [("1", "failure", None), ("2", "success", None), ("3", "fail", None)];
    assert_eq!(handle(Kind::Standard, &records), (vec!["1", "3"], vec!["failure", "success", "fail"]));
}

/// Theirs raises by default and lists on request. Ours lists, and says so in the summary.
#[test]
fn a_batch_that_failed_entirely_is_listed_entirely() {
    let mut batch = Batch::new(Kind::Standard, [("1", None), ("2", None)]);
    let _ = batch.run(|| true, |_| Outcome::Retry("told_to"));
    assert_eq!(batch.failures().unwrap(), ["1", "2"]);
    assert!(batch.summary().all_failed());
    assert!(!Batch::new(Kind::Standard, []).summary().all_failed());
}

#[test]
fn parallel_and_sequential_handling_report_the_same() {
    let ids = [("1", None), ("2", None), ("3", None)];
    let mut batch = Batch::new(Kind::Standard, ids);
    let wave = batch.next_wave().unwrap();
    let outcomes: Vec<(usize, Outcome)> = std::thread::scope(|scope| {
        let work = |index| if index == 1 { Outcome::Ok } else { Outcome::Retry("told_to") };
        let threads: Vec<_> = wave.iter().rev().map(|i| scope.spawn(move || (*i, work(*i)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (index, outcome) in outcomes {
        batch.settle(index, outcome).unwrap();
    }
    assert_eq!(batch.failures().unwrap(), ["1", "3"]);
}

#[test]
fn fifo_without_failures_reports_an_empty_list() {
    let (failures, _) = handle(Kind::Fifo, &[("1", "success", Some("")), ("2", "success", Some(""))]);
    assert!(failures.is_empty());
}

#[test]
fn fifo_stops_its_group_at_the_first_failure() {
    let records = [("1", "success", Some("")), ("2", "fail", Some("")), ("3", "success", Some(""))];
    assert_eq!(handle(Kind::Fifo, &records), (vec!["2", "3"], vec!["success", "fail"]));
}

#[test]
fn fifo_goes_on_with_the_other_groups() {
    let records = [
        ("1", "success a", Some("1")),
        ("2", "success b", Some("1")),
        ("3", "fail c", Some("2")),
        ("4", "success d", Some("2")),
        ("5", "fail e", Some("3")),
    ];
    let (failures, mut handled) = handle(Kind::Fifo, &records);
    handled.sort_unstable();
    assert_eq!(failures, ["3", "4", "5"]);
    assert_eq!(handled, ["fail c", "fail e", "success a", "success b"]);
}

#[test]
fn fifo_goes_on_when_the_very_first_record_fails() {
    let records = [
        ("1", "fail", Some("1")),
        ("2", "success", Some("1")),
        ("3", "fail", Some("2")),
        ("4", "success", Some("2")),
        ("5", "success", Some("3")),
    ];
    let (failures, handled) = handle(Kind::Fifo, &records);
    assert_eq!(failures, ["1", "2", "3", "4"]);
    assert_eq!(handled, ["fail", "fail", "success"]);
}

/// Theirs stops the whole batch by default, other groups included (`skipGroupOnError: false`). Ours never does:
/// the order that FIFO promises is that of a group.
#[test]
fn fifo_has_no_mode_that_holds_back_other_groups() {
    let records = [
        ("1", "success", Some("1")),
        ("2", "fail", Some("2")),
        ("3", "success", Some("3")),
        ("4", "success", Some("4")),
    ];
    assert_eq!(handle(Kind::Fifo, &records).0, ["2"]);
}

#[test]
fn a_failed_group_is_forgotten_with_its_invocation() {
    assert_eq!(handle(Kind::Fifo, &[("1", "fail", Some("1")), ("2", "success", Some("2"))]).0, ["1"]);
    assert!(handle(Kind::Fifo, &[("1", "success", Some("1"))]).0.is_empty());
}

/// Theirs leaks between invocations that share a processor unless a store is set up. A batch is a value.
#[test]
fn concurrent_invocations_do_not_know_of_each_other() {
    let mut a = Batch::new(Kind::Fifo, [("a1", Some("1")), ("a2", Some("1")), ("a3", Some("2"))]);
    let mut b = Batch::new(Kind::Fifo, [("b1", Some("1"))]);
    let (wave_a, wave_b) = (a.next_wave().unwrap(), b.next_wave().unwrap());
    assert_eq!((wave_a, wave_b), (vec![0, 2], vec![0]));
    a.settle(0, Outcome::Retry("told_to")).unwrap();
    b.settle(0, Outcome::Ok).unwrap();
    a.settle(2, Outcome::Ok).unwrap();
    assert_eq!(a.failures().unwrap(), ["a1", "a2"]);
    assert!(b.failures().unwrap().is_empty());
}
