//! What a form must have before anything is done for it.

use std::sync::Arc;

use crate::{guard::is_same, http::Fields, page::Problem, state::Console};

/// Lets a form do what changes something: the console was started for that, and the form has its token, which is used up.
pub(crate) fn writes(
    console: &Arc<Console>,
    screen: &'static str,
    act: &str,
    form: &Fields,
) -> Result<(), Problem> {
    if !console.settings.is_writing {
        let why = "This console only reads: it was started without --write.";
        return Err(Problem::refused(console, screen, why));
    }
    asks(console, screen, act, form)
}

/// Has an act wait for no other one: until what this gives is dropped, there is none beside it.
pub(crate) fn alone<'a>(
    console: &'a Arc<Console>,
    screen: &'static str,
) -> Result<tokio::sync::MutexGuard<'a, ()>, Problem> {
    let alone = console.acts.alone.try_lock();
    alone.map_err(|_| Problem::refused(console, screen, "Another act is under way: one after the other."))
}

/// Lets a form do what changes nothing: it has its token, which is used up.
pub(crate) fn asks(
    console: &Arc<Console>,
    screen: &'static str,
    act: &str,
    form: &Fields,
) -> Result<(), Problem> {
    if console.guard.takes_form(act, form.one("token")) {
        return Ok(());
    }
    Err(Problem::refused(console, screen, "The page is too old, or was sent before. Open it again."))
}

/// Lets a form end what goes on: it has the token of that, which stays the same, since the page is asked for again and again.
pub(crate) fn ends(
    console: &Arc<Console>,
    screen: &'static str,
    token: &str,
    form: &Fields,
) -> Result<(), Problem> {
    if is_same(token, form.one("token")) {
        return Ok(());
    }
    Err(Problem::refused(console, screen, "The form is none of what is to end."))
}
