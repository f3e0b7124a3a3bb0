//! Single cases that the documentation names.

use tollgate_batch::{Batch, Kind, NotBegun, Outcome, Unreportable};

#[test]
fn the_kind_is_in_the_name() {
    for fifo in ["orders.fifo", "arn:aws:sqs:eu-west-1:1:orders.fifo", "https://sqs.x.amazonaws.com/1/o.fifo"]
    {
        assert_eq!(Kind::of_queue(fifo), Kind::Fifo);
    }
    for standard in ["", "orders", "fifo", "arn:aws:sqs:eu-west-1:1:orders-fifo", "orders.FIFO"] {
        assert_eq!(Kind::of_queue(standard), Kind::Standard);
    }
}

#[test]
fn groups_of_a_fair_queue_are_no_order() {
    let mut batch = Batch::new(Kind::Standard, [("1", Some("tenant")), ("2", Some("tenant"))]);
    assert_eq!(batch.next_wave(), Some(vec![0, 1]));
    assert_eq!(batch.next_wave(), None);
}

#[test]
fn a_fifo_wave_is_the_next_of_every_group() {
    let mut batch = Batch::new(
        Kind::Fifo,
        [("1", Some("a")), ("2", Some("a")), ("3", Some("b")), ("4", None), ("5", None)],
    );
    assert_eq!(batch.next_wave(), Some(vec![0, 2, 3]));
    for index in [0, 2, 3] {
        batch.settle(index, Outcome::Ok).unwrap();
    }
    assert_eq!(batch.next_wave(), Some(vec![1, 4]));
}

#[test]
fn a_group_need_not_wait_for_another() {
    let mut batch = Batch::new(
        Kind::Fifo,
        [("1", Some("slow")), ("2", Some("slow")), ("3", Some("b")), ("4", Some("b"))],
    );
    assert_eq!(batch.next_wave(), Some(vec![0, 2]));
    batch.settle(2, Outcome::Ok).unwrap();
    assert_eq!(batch.next_wave(), Some(vec![3]));
    assert_eq!(batch.next_wave(), None);
    assert_eq!(batch.in_flight().collect::<Vec<_>>(), [0, 3]);
    batch.settle(0, Outcome::Ok).unwrap();
    assert_eq!(batch.next_wave(), Some(vec![1]));
}

#[test]
fn quarantined_poison_lets_its_group_go_on_and_other_poison_does_not() {
    for (outcome, failures) in
        [(Outcome::Quarantined("not_json"), &[][..]), (Outcome::Poison("not_json"), &["1", "2"][..])]
    {
        let mut batch = Batch::new(Kind::Fifo, [("1", Some("a")), ("2", Some("a"))]);
        let _ = batch.run(|| true, |index| if index == 0 { outcome } else { Outcome::Ok });
        assert_eq!(batch.failures().unwrap(), failures);
        assert_eq!(batch.summary().reasons["not_json"], 1);
    }
}

#[test]
fn nothing_can_be_settled_before_its_turn() {
    let mut batch = Batch::new(Kind::Fifo, [("1", Some("a")), ("2", Some("a"))]);
    assert_eq!(batch.settle(0, Outcome::Ok), Err(NotBegun { index: 0 }));
    batch.next_wave();
    assert_eq!(batch.settle(1, Outcome::Ok), Err(NotBegun { index: 1 }));
    assert_eq!(batch.settle(2, Outcome::Ok), Err(NotBegun { index: 2 }));
    assert_eq!(batch.failures().unwrap(), ["1", "2"]);
}

#[test]
fn copies_of_a_message_are_handled_in_turn_and_reported_once() {
    let mut batch = Batch::new(Kind::Standard, [("twice", None), ("other", None), ("twice", None)]);
    assert_eq!(batch.next_wave(), Some(vec![0, 1]));
    batch.settle(0, Outcome::Retry("throttled")).unwrap();
    batch.settle(1, Outcome::Retry("throttled")).unwrap();
    assert_eq!(batch.next_wave(), Some(vec![2]));
    batch.settle(2, Outcome::Ok).unwrap();
    assert_eq!(batch.failures().unwrap(), ["twice", "other"]);
    assert_eq!(batch.summary().ok, 1);
}

/// Each copy has its own outcome, also where the first is found out late.
#[test]
fn a_late_failure_on_a_standard_queue_is_its_own() {
    let mut batch = Batch::new(Kind::Standard, [("twice", None), ("twice", None), ("other", None)]);
    while let Some(wave) = batch.next_wave() {
        for index in wave {
            batch.settle(index, Outcome::Ok).unwrap();
        }
    }
    batch.settle(0, Outcome::Retry("throttled")).unwrap();
    assert_eq!(batch.failures().unwrap(), ["twice"]);
    assert_eq!((batch.summary().ok, batch.summary().blocked), (2, 0));
}

#[test]
fn a_late_failure_on_a_fifo_queue_takes_all_that_followed_it() {
    let mut batch =
        Batch::new(Kind::Fifo, [("1", Some("a")), ("2", Some("a")), ("3", Some("b")), ("4", Some("a"))]);
    assert!(batch.run(|| true, |_| Outcome::Ok).is_empty());
    batch.settle(0, Outcome::Retry("throttled")).unwrap();
    batch.settle(1, Outcome::Ok).unwrap();
    assert_eq!(batch.failures().unwrap(), ["1", "2", "4"]);
    assert_eq!((batch.summary().ok, batch.summary().blocked), (1, 2));
}

#[test]
fn what_is_behind_a_failure_is_told_from_what_there_was_no_time_for() {
    let mut batch =
        Batch::new(Kind::Fifo, [("1", Some("a")), ("2", Some("a")), ("3", Some("a")), ("4", Some("b"))]);
    let mut time = [true, false].into_iter();
    assert!(batch.run(|| time.next() == Some(true), |_| Outcome::Retry("throttled")).is_empty());
    let summary = batch.summary();
    assert_eq!((summary.retries, summary.blocked, summary.unprocessed), (1, 2, 1));
}

#[test]
fn a_record_without_an_id_does_no_harm_until_it_fails() {
    let ids = [("1", None), ("", None), ("", None)];
    let mut batch = Batch::new(Kind::Standard, ids);
    assert_eq!(batch.next_wave(), Some(vec![0, 1, 2]));
    batch.settle(0, Outcome::Retry("throttled")).unwrap();
    batch.settle(1, Outcome::Ok).unwrap();
    assert_eq!(batch.response().unwrap_err(), Unreportable { index: 2 });
    batch.settle(2, Outcome::Ok).unwrap();
    assert_eq!(batch.failures().unwrap(), ["1"]);
}

#[test]
fn an_empty_batch_has_no_waves() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let mut batch = Batch::new(kind, []);
        assert!(batch.is_empty());
        assert_eq!(batch.next_wave(), None);
        assert!(batch.failures().unwrap().is_empty());
    }
}

/// The largest standard batch, and the worst one: every record a copy of the first.
#[test]
fn ten_thousand_records_are_no_matter() {
    let ids: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let mut batch = Batch::new(Kind::Standard, ids.iter().map(|id| (id.as_str(), None)));
    assert_eq!(batch.next_wave().unwrap().len(), 10_000);
    assert_eq!(batch.failures().unwrap(), ids);

    let mut batch = Batch::new(Kind::Standard, (0..10_000).map(|_| ("same", None)));
    assert!(batch.run(|| true, |_| Outcome::Ok).is_empty());
    assert_eq!(batch.summary().ok, 10_000);
}

#[test]
fn a_batch_has_as_many_records_as_it_was_made_of() {
    let made_of = |count: usize| {
        Batch::new(Kind::Standard, ["1", "2", "3"].into_iter().take(count).map(|id| (id, None)))
    };
    for count in 0..=3 {
        let batch = made_of(count);
        assert_eq!((batch.len(), batch.is_empty()), (count, count == 0));
    }
}
