//! Writes `consumers/events.jsonl`, the events with which the consumers' packages are tested.

fn main() {
    print!("{}", tollgate_testkit::sample_events::lines());
}
