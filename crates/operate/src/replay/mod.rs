//! Webhooks of the archive, sent again: to an environment's validator, which takes each in as it took it in first, or to a file or
//! an address. The archive is read object by object, and what is done is known by the object and the row, so that a run that was
//! stopped goes on there. What is sent twice has no effect twice.

mod onward;
mod run;
mod shadow;
mod state;
mod webhook;

pub use self::{
    onward::{Genuine, Lines, Onward, Validator},
    run::{At, Ended, FASTEST, Progress, Run, extent},
    shadow::{Difference, Shadow, shadow},
    state::{Destination, Named, State},
    webhook::{NO_WEBHOOK, REFUSED, Unusable, Webhook},
};
