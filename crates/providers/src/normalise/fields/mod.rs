//! Field types for JSON bodies. They borrow from the body. A field that is absent or of another type is read as that
//! and is no error, so that one odd field never makes a whole webhook unreadable.

mod list;
mod object;
mod pairs;
mod scalar;
mod text;
mod wrong;

pub(super) use self::{
    list::{First, each},
    object::Object,
    pairs::{Pairs, entries},
    scalar::{Flag, Number},
    text::{Id, Reference, Text, first_moment},
};
