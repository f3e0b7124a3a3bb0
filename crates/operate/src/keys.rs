//! Which keys verify an endpoint's webhooks, and whether a rotation can be finished.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};
use tollgate_core::{EndpointId, Timestamp};

use crate::secrets::State;

/// So many times to live after a rotation each validator has read the new key: what is older is read before it is used
/// (ARCHITECTURE.md). Until then one may call the old key the current one.
const FOLLOWED_AFTER: i64 = 2;
const NANOSECONDS: i128 = 1_000_000_000;

/// What the archive has of one key of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The key's name in receipts: `current` and `previous` where the secret is the key itself, else its id.
    pub key_id: String,
    /// Webhooks that it verified.
    pub webhooks: u64,
    /// When the last of them arrived.
    pub last: Timestamp,
}

/// Where a rotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "rotation", rename_all = "snake_case")]
pub enum Rotation {
    /// There is one key.
    None,
    /// Webhooks are signed with the new key, and none with the old one for long enough: the next rotation, or `--revoke`, refuses nobody.
    Safe {
        /// When the old key verified last since the rotation.
        previous_last: Option<Timestamp>,
    },
    /// The old key still verifies webhooks.
    InUse {
        /// When it did last.
        previous_last: Timestamp,
    },
    /// Nothing was verified yet that is certainly the new key's, or the old one was replaced too short ago.
    Unproven,
    /// The keys go by names of their own, or it is not known when the key changed: see which of them verified last.
    Named,
}

/// The uses of keys by endpoint, of the rows of a query's statement for them.
///
/// # Errors
///
/// When a row is not as it was asked for.
pub fn uses(rows: &[Map<String, Value>]) -> anyhow::Result<BTreeMap<String, Vec<Use>>> {
    let mut found: BTreeMap<String, Vec<Use>> = BTreeMap::new();
    for row in rows {
        let text = |name: &str| {
            row.get(name)
                .and_then(Value::as_str)
                .with_context(|| format!("the archive's answer has no {name}"))
        };
        let last = crate::search::time_of(text("last")?);
        let one = Use {
            key_id: text("key_id")?.to_owned(),
            webhooks: text("webhooks")?.parse().context("a number of webhooks")?,
            last: last.parse().context("when a key verified last")?,
        };
        found.entry(text("endpoint")?.to_owned()).or_default().push(one);
    }
    Ok(found)
}

/// Where a rotation stands, by the state of the endpoint's secret and what its keys have verified. `quiet_hours`: so long the old
/// key must have verified nothing, and so long ago it must have been replaced. `ttl_seconds`: the deployment's `SecretTtlSeconds`.
pub fn rotation(state: &State, uses: &[Use], quiet_hours: u32, ttl_seconds: u32, now: Timestamp) -> Rotation {
    let State::There { changed_at, has_previous, .. } = state else { return Rotation::None };
    if !has_previous {
        return Rotation::None;
    }
    let last_of =
        |names: fn(&str) -> bool| uses.iter().filter(|one| names(&one.key_id)).map(|one| one.last).max();
    let is_other = uses.iter().any(|one| !is_current(&one.key_id) && !is_previous(&one.key_id));
    let Some(changed_at) = changed_at.filter(|_| !is_other) else { return Rotation::Named };
    // What stands under a name from before the rotation was another key.
    let since = |last: Option<Timestamp>, seconds: i64| {
        last.filter(|last| {
            last.as_nanosecond() > changed_at.as_nanosecond() + i128::from(seconds) * NANOSECONDS
        })
    };
    let is_quiet =
        |last: Timestamp| last.as_second() < now.as_second().saturating_sub(i64::from(quiet_hours) * 3_600);
    let current = since(last_of(is_current), FOLLOWED_AFTER * i64::from(ttl_seconds));
    match (current, since(last_of(is_previous), 0)) {
        (_, Some(previous)) if !is_quiet(previous) => Rotation::InUse { previous_last: previous },
        (Some(current), previous)
            if is_quiet(changed_at) && previous.is_none_or(|previous| previous < current) =>
        {
            Rotation::Safe { previous_last: previous }
        }
        _ => Rotation::Unproven,
    }
}

/// The names that `tollgate_aws::secrets` gives to keys without one.
fn is_current(key_id: &str) -> bool {
    key_id == "current" || key_id.starts_with("current-")
}

fn is_previous(key_id: &str) -> bool {
    key_id == "previous" || key_id.starts_with("previous-") || key_id.ends_with("(previous)")
}

/// One endpoint's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its secret, in a word: `there`, `empty`, `deleted` or `missing`.
    pub secret: &'static str,
    /// The key of its provider's API in a word, where the endpoint says `enrich`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<&'static str>,
    /// When it was changed last.
    pub changed_at: Option<Timestamp>,
    /// What its keys verified.
    pub uses: Vec<Use>,
    /// Where its rotation stands.
    #[serde(flatten)]
    pub rotation: Rotation,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-10T00:00:00Z";

    fn there(changed_at: Option<&str>, has_previous: bool) -> State {
        State::There { changed_at: changed_at.map(|at| at.parse().unwrap()), has_previous, kms_key: None }
    }

    fn of(uses: &[(&str, &str)]) -> Vec<Use> {
        let one = |(key_id, last): &(&str, &str)| Use {
            key_id: (*key_id).to_owned(),
            webhooks: 1,
            last: format!("2026-01-{last}T00:00:00Z").parse().unwrap(),
        };
        uses.iter().map(one).collect()
    }

    #[test]
    fn a_rotation_is_safe_once_the_new_key_verifies_and_the_old_one_is_quiet() {
        let rotated = there(Some("2026-01-05T00:00:00Z"), true);
        let at = |last: &str| -> Timestamp { format!("2026-01-{last}T00:00:00Z").parse().unwrap() };
        for (uses, wanted) in [
            (vec![("current", "09")], Rotation::Safe { previous_last: None }),
            (vec![("current", "09"), ("previous", "06")], Rotation::Safe { previous_last: Some(at("06")) }),
            // Before the rotation it was another key that went by this name.
            (vec![("current", "04"), ("previous", "03")], Rotation::Unproven),
            (vec![("current", "09"), ("previous", "03")], Rotation::Safe { previous_last: None }),
            (vec![("current", "09"), ("previous", "09")], Rotation::InUse { previous_last: at("09") }),
            (vec![("previous", "10")], Rotation::InUse { previous_last: at("10") }),
            (vec![("current", "06"), ("previous", "07")], Rotation::Unproven),
            (
                vec![("current-0", "09"), ("2026-01 (previous)", "06")],
                Rotation::Safe { previous_last: Some(at("06")) },
            ),
            (vec![("2026-01", "09")], Rotation::Named),
            (vec![], Rotation::Unproven),
        ] {
            assert_eq!(rotation(&rotated, &of(&uses), 24, 300, NOW.parse().unwrap()), wanted, "{uses:?}");
        }
        let one = of(&[("current", "09")]);
        assert_eq!(rotation(&there(None, false), &one, 24, 300, NOW.parse().unwrap()), Rotation::None);
        assert_eq!(rotation(&there(None, true), &one, 24, 300, NOW.parse().unwrap()), Rotation::Named);
        // A validator that has not read the new key yet calls the old one the current one.
        let used =
            |at: &str| vec![Use { key_id: "current".to_owned(), webhooks: 1, last: at.parse().unwrap() }];
        let rotated = there(Some("2026-01-05T00:00:00Z"), true);
        let safe = Rotation::Safe { previous_last: None };
        for (last, ttl, wanted) in [
            ("2026-01-05T00:10:00Z", 300, Rotation::Unproven),
            ("2026-01-05T00:10:00.1Z", 300, safe),
            ("2026-01-05T00:00:10.1Z", 5, safe),
            ("2026-01-05T00:00:00.1Z", 5, Rotation::Unproven),
        ] {
            assert_eq!(
                rotation(&rotated, &used(last), 24, ttl, NOW.parse().unwrap()),
                wanted,
                "{last} {ttl}"
            );
        }
        // Until a rotation is so old the old key was in use, too.
        let young = there(Some("2026-01-09T12:00:00Z"), true);
        let uses = used("2026-01-09T18:00:00Z");
        assert_eq!(rotation(&young, &uses, 24, 300, NOW.parse().unwrap()), Rotation::Unproven);
        assert_eq!(rotation(&young, &uses, 11, 300, NOW.parse().unwrap()), safe);
        assert_eq!(rotation(&State::Missing, &one, 24, 300, NOW.parse().unwrap()), Rotation::None);
    }
}
