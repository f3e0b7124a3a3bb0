//! What must not leave queues and archive.

/// What is planted in bodies, and may be in queues and the archive alone. The name is where no event has a field for it.
pub(super) const PLANTED: [&str; 5] = [
    "4242 4242 4242 4242",
    "4242424242424242",
    "4000056655665556",
    "zebulon@planted.example",
    "Zebulon Quarterstaff",
];
/// In a field that is read.
pub(super) const NOTE: &str = "paid with 4242 4242 4242 4242 by zebulon@planted.example";
/// The end of a body, with a field that is not.
pub(super) const FIELD: &str =
    r#","planted":{"pan":"4000056655665556","holder":"Zebulon Quarterstaff","card":"4242424242424242"}}"#;
