//! Rules from JSON: what is read, what keeps its default, what is refused.

use tollgate_core::ProviderId;
use tollgate_risk::{Levels, Reason, Rules, RulesError};

#[test]
fn json_replaces_what_it_names_and_nothing_else() {
    assert_eq!(Rules::from_json("{}").unwrap(), Rules::default());
    Rules::default().validate().unwrap();
    let rules = Rules::from_json(
        r#"{"weights":{"country_mismatch":30},"velocity_window_seconds":60,"provider_score":{"elevated":1,"high":2},
            "provider_scores":{"adyen":{"elevated":50,"high":100}},"block_at":255}"#,
    )
    .unwrap();
    let mut expected = Rules::default();
    expected.weights.country_mismatch = 30;
    expected.velocity_window_seconds = 60;
    expected.provider_score = Levels { elevated: 1, high: 2 };
    expected.provider_scores.insert(ProviderId::new("adyen").unwrap(), Levels { elevated: 50, high: 100 });
    expected.block_at = 255;
    assert_eq!(rules, expected);
}

#[test]
fn mistakes_are_told_apart() {
    let error = |json: &str| Rules::from_json(json).unwrap_err();
    for json in [
        "",
        r#"{"reviewat":5}"#,
        r#"{"review_at":256}"#,
        r#"{"review_at":-1}"#,
        r#"{"review_at":50.0}"#,
        r#"{"weights":{"amount_hihg":5}}"#,
        r#"{"velocity":{"elevated":5}}"#,
        r#"{"provider_scores":{"Adyen!":{"elevated":1,"high":2}}}"#,
        r#"{"review_at":1,"review_at":2}"#,
    ] {
        assert!(matches!(error(json), RulesError::Json(_)), "{json}");
    }
    for name in Reason::ALL.map(Reason::code) {
        let json = format!(r#"{{"weights":{{"{name}":101}}}}"#);
        assert!(matches!(error(&json), RulesError::Weight(n) if n == name), "{name}");
    }
    for (json, name) in [
        (r#"{"weights":{"amount_medium":41}}"#, "amount_medium"),
        (r#"{"weights":{"velocity_high":19}}"#, "velocity_elevated"),
        (r#"{"weights":{"provider_score_elevated":51}}"#, "provider_score_elevated"),
        (r#"{"velocity":{"elevated":6,"high":5}}"#, "velocity"),
        (r#"{"provider_score":{"elevated":6,"high":5}}"#, "provider_score"),
        (r#"{"provider_scores":{"a":{"elevated":6,"high":5}}}"#, "provider_scores"),
    ] {
        assert!(matches!(error(json), RulesError::Levels(n) if n == name), "{json}");
    }
    assert!(matches!(error(r#"{"review_at":86}"#), RulesError::Verdicts));
    assert!(Rules::from_json(r#"{"review_at":85}"#).is_ok());
}
