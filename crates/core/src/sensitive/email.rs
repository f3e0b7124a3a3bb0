//! E-mail addresses.

use std::{borrow::Cow, ops::Range};

use crate::id::hex_sha256;

/// Replaces each e-mail address by `email:` and half of its SHA-256, in hex.
pub(super) fn hide(text: &mut Cow<'_, str>) {
    let (mut hidden, mut rest) = (String::with_capacity(text.len() + 32), &**text);
    while let Some(address) = find(rest) {
        let (before, found) = (rest.get(..address.start), rest.get(address.clone()));
        let digest = hex_sha256(found.unwrap_or_default().to_lowercase().as_bytes());
        hidden.push_str(before.unwrap_or_default());
        hidden.push_str("email:");
        hidden.push_str(digest.get(..32).unwrap_or_default());
        rest = rest.get(address.end..).unwrap_or_default();
    }
    if !hidden.is_empty() {
        hidden.push_str(rest);
        *text = Cow::Owned(hidden);
    }
}

/// The first address: what people write before and after the `@`, the last part of the domain in letters.
fn find(text: &str) -> Option<Range<usize>> {
    text.match_indices('@').find_map(|(at, _)| {
        let (local, domain) = (text.get(..at)?, text.get(at + 1..)?);
        let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'');
        let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
        let begin = local.trim_end_matches(is_local).len();
        let len = domain.find(|c| !is_domain(c)).unwrap_or(domain.len());
        let domain = domain.get(..len)?.trim_end_matches(['.', '-']);
        let (host, top) = domain.rsplit_once('.')?;
        let is_top =
            top.chars().count() >= 2 && top.chars().all(char::is_alphabetic) || top.starts_with("xn--");
        (begin < at && !host.is_empty() && is_top).then_some(begin..at + 1 + domain.len())
    })
}
