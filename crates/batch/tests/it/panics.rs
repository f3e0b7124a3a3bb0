//! Panics as values: where from, with which message, and with nothing of the data.

use std::{
    future::Future,
    pin::pin,
    process::Command,
    task::{Context, Poll, Waker},
};

use tollgate_batch::{Batch, Kind, Outcome, PANICKED, Panic, guard, guard_async};

const CARD: &str = "4242424242424242";

fn caught<T>(work: impl FnOnce() -> T) -> Panic {
    guard(work).map(|_| ()).unwrap_err()
}

#[test]
fn a_panic_tells_its_place_and_a_literal_message() {
    let panic = caught(|| panic!("no such currency"));
    let line = line!() - 1;
    let location = panic.location.clone().unwrap();
    assert!(location.contains(&format!("panics.rs:{line}:")), "{location}");
    assert_eq!(panic.message, Some("no such currency"));
    assert_eq!(panic.to_string(), format!("panicked at {location}: no such currency"));
    assert_eq!(Outcome::from(panic), Outcome::Retry(PANICKED));
}

#[test]
fn what_a_message_repeats_of_the_data_is_withheld() {
    let panics = [
        caught(|| panic!("bad card {CARD}")),
        caught(|| CARD.parse::<u8>().map_err(|_| CARD).unwrap()),
        caught(|| CARD.parse::<u8>().unwrap()),
        caught(|| std::panic::panic_any(CARD.to_owned())),
        caught(|| std::panic::panic_any(7_u8)),
        caught(|| [0_u8; 3][std::hint::black_box(CARD.len())]),
    ];
    for panic in panics {
        assert_eq!(panic.message, None);
        assert!(panic.location.is_some());
        assert!(!format!("{panic} {panic:?}").contains("4242"), "{panic}");
    }
}

#[test]
fn what_does_not_panic_is_returned() {
    assert_eq!(guard(|| 7), Ok(7));
}

#[test]
fn guards_nest_and_do_not_mix_up_places() {
    let mut inner = None;
    let outer = caught(|| {
        inner = Some(caught(|| panic!("inner")));
        panic!("outer")
    });
    assert_eq!((inner.as_ref().unwrap().message, outer.message), (Some("inner"), Some("outer")));
    assert!(outer.location.is_some(), "the inner guard ended the outer one");
    assert_ne!(inner.unwrap().location, outer.location);
    assert_eq!(guard(|| caught(|| panic!("inner")).message), Ok(Some("inner")));
}

#[test]
fn a_payload_that_panics_when_dropped_is_caught_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("dropped");
            }
        }
    }
    let panic = caught(|| std::panic::panic_any(Bomb));
    assert_eq!(panic.message, None);
    assert!(panic.location.is_some());
}

#[test]
fn threads_guard_for_themselves() {
    let work = |name: &'static str| {
        move || (0..200).all(|_| caught(|| std::panic::panic_any(name)).message == Some(name))
    };
    let threads = ["a", "b", "c", "d"].map(|name| std::thread::spawn(work(name)));
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

#[test]
fn a_future_may_panic_at_any_poll() {
    let mut polls = 0;
    let work = std::future::poll_fn(|_| {
        polls += 1;
        if polls == 3 { panic!("third poll") } else { Poll::<()>::Pending }
    });
    let mut guarded = pin!(guard_async(work));
    let mut context = Context::from_waker(Waker::noop());
    assert!(guarded.as_mut().poll(&mut context).is_pending());
    assert!(guarded.as_mut().poll(&mut context).is_pending());
    match guarded.as_mut().poll(&mut context) {
        Poll::Ready(Err(panic)) => assert_eq!(panic.message, Some("third poll")),
        other => panic!("{other:?}"),
    }
    let mut ready = pin!(guard_async(async { 7 }));
    assert_eq!(ready.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
}

#[test]
fn a_panicking_record_harms_no_other() {
    let mut batch = Batch::new(Kind::Standard, [("1", None), ("2", None), ("3", None)]);
    let panics = batch.run(|| true, |index| if index == 1 { panic!("bad {CARD}") } else { Outcome::Ok });
    assert_eq!(panics.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1]);
    assert_eq!(batch.failures().unwrap(), ["2"]);
    assert_eq!(batch.summary().reasons[PANICKED], 1);
}

/// Standard error is the function's log. Only a process of its own shows what is written there.
#[test]
fn a_guarded_panic_writes_nothing_and_any_other_is_left_to_the_hook_before() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panics::child", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{log}");
    assert!(log.contains("unguarded, on purpose"), "{log}");
    assert!(!log.contains("4242"), "{log}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child() {
    assert!(guard(|| panic!("bad card {CARD}")).is_err());
    assert!(std::thread::spawn(|| panic!("unguarded, on purpose")).join().is_err());
}
