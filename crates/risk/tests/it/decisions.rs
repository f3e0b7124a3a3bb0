//! Payments and the decisions on them.

use proptest::prelude::*;
use tollgate_core::{
    Authenticity, EndpointId, EventType, Facts, PaymentEvent, ProviderId, RiskTier, Timestamp, WebhookId,
    event::Arrival,
};
use tollgate_risk::{Decision, History, Levels, Reason, Rules, Verdict, Weights, assess};

/// What a decision depends on.
#[derive(Debug, Clone)]
struct Payment {
    provider: &'static str,
    tier: RiskTier,
    card: Option<String>,
    billing: Option<String>,
    score: Option<u16>,
    recent: Option<u32>,
}

impl Payment {
    fn plain() -> Self {
        Self { provider: "stripe", tier: RiskTier::Low, card: None, billing: None, score: None, recent: None }
    }

    fn event(&self) -> PaymentEvent<'static> {
        let mut facts = Facts::new("evt_1", "charge.succeeded", EventType::PaymentSucceeded);
        facts.method.country = self.card.clone().map(Into::into);
        facts.customer.country = self.billing.clone().map(Into::into);
        facts.provider_risk_score = self.score;
        let arrival = Arrival {
            webhook_id: &WebhookId::new(Timestamp::UNIX_EPOCH, 1),
            endpoint: &EndpointId::new("here").unwrap(),
            provider: &ProviderId::new(self.provider).unwrap(),
            authenticity: Authenticity::Verified,
            received_at: Timestamp::UNIX_EPOCH,
        };
        PaymentEvent::new(facts, arrival, self.tier)
    }

    fn decide(&self, rules: &Rules) -> Decision {
        assess(&self.event(), &History { recent_count: self.recent }, rules)
    }
}

fn check(payment: Payment, score: u8, verdict: Verdict, reasons: &[Reason]) {
    let decision = payment.decide(&Rules::default());
    let expected = Decision { score, verdict, reasons: reasons.to_vec() };
    assert_eq!(decision, expected, "{payment:?}");
    assert_eq!(decision.is_flagged(), verdict != Verdict::Approve);
}

/// Every reason has a case here.
#[test]
fn each_rule_by_itself() {
    use Reason::{
        AmountHigh, AmountMedium, CountryMismatch, ProviderScoreElevated, ProviderScoreHigh,
        VelocityElevated, VelocityHigh,
    };
    use Verdict::{Approve, Review};

    let plain = Payment::plain;
    let abroad = Payment { card: Some("US".into()), billing: Some("DE".into()), ..plain() };
    let cases = [
        (plain(), 0, Approve, None),
        (Payment { tier: RiskTier::Unrated, ..plain() }, 0, Approve, None),
        (Payment { tier: RiskTier::Medium, ..plain() }, 15, Approve, Some(AmountMedium)),
        (Payment { tier: RiskTier::High, ..plain() }, 40, Approve, Some(AmountHigh)),
        (Payment { recent: Some(4), ..plain() }, 0, Approve, None),
        (Payment { recent: Some(5), ..plain() }, 20, Approve, Some(VelocityElevated)),
        (Payment { recent: Some(14), ..plain() }, 20, Approve, Some(VelocityElevated)),
        (Payment { recent: Some(15), ..plain() }, 40, Approve, Some(VelocityHigh)),
        (Payment { recent: Some(u32::MAX), ..plain() }, 40, Approve, Some(VelocityHigh)),
        (abroad, 25, Approve, Some(CountryMismatch)),
        (Payment { score: Some(64), ..plain() }, 0, Approve, None),
        (Payment { score: Some(65), ..plain() }, 20, Approve, Some(ProviderScoreElevated)),
        (Payment { score: Some(74), ..plain() }, 20, Approve, Some(ProviderScoreElevated)),
        (Payment { score: Some(75), ..plain() }, 50, Review, Some(ProviderScoreHigh)),
        (Payment { score: Some(u16::MAX), ..plain() }, 50, Review, Some(ProviderScoreHigh)),
    ];
    let mut covered = Vec::new();
    for (payment, score, verdict, reason) in cases {
        check(payment, score, verdict, reason.as_slice());
        covered.extend(reason);
    }
    covered.dedup();
    assert_eq!(covered, Reason::ALL);
}

#[test]
fn reasons_add_up() {
    use Reason::{AmountHigh, CountryMismatch, ProviderScoreHigh, VelocityHigh};

    let abroad = Payment { card: Some("US".into()), billing: Some("DE".into()), ..Payment::plain() };
    let large = Payment { tier: RiskTier::High, ..abroad.clone() };
    check(large.clone(), 65, Verdict::Review, &[AmountHigh, CountryMismatch]);
    let suspicious = Payment { tier: RiskTier::High, score: Some(90), ..Payment::plain() };
    check(suspicious, 90, Verdict::Block, &[AmountHigh, ProviderScoreHigh]);
    let everything = Payment { score: Some(90), recent: Some(99), ..large };
    let all = [AmountHigh, VelocityHigh, CountryMismatch, ProviderScoreHigh];
    check(everything, 100, Verdict::Block, &all);
}

#[test]
fn countries_differ_only_where_that_is_certain() {
    let cases = [
        (Some("US"), Some("DE"), true),
        (Some("us"), Some("DE"), true),
        (Some("de"), Some("DE"), false),
        (Some(" DE "), Some("DE"), false),
        (Some(" US "), Some("DE"), true),
        (Some("UK"), Some("GB"), false),
        (Some("EL"), Some("gr"), false),
        (Some("UK"), Some("UA"), true),
        (Some("DEU"), Some("DE"), false),
        (Some("USA"), Some("DE"), false),
        (Some("Germany"), Some("US"), false),
        (Some("é"), Some("US"), false),
        (Some("4X"), Some("US"), false),
        (Some(""), Some("US"), false),
        (None, Some("US"), false),
        (Some("US"), None, false),
        (None, None, false),
    ];
    for (card, billing, expected) in cases {
        for (card, billing) in [(card, billing), (billing, card)] {
            let payment =
                Payment { card: card.map(Into::into), billing: billing.map(Into::into), ..Payment::plain() };
            let reasons = payment.decide(&Rules::default()).reasons;
            assert_eq!(reasons == [Reason::CountryMismatch], expected, "{card:?} {billing:?}");
        }
    }
}

#[test]
fn a_provider_may_have_levels_of_its_own() {
    let rules = Rules::from_json(r#"{"provider_scores":{"adyen":{"elevated":90,"high":100}}}"#).unwrap();
    let score = |provider| Payment { provider, score: Some(80), ..Payment::plain() }.decide(&rules).score;
    assert_eq!((score("stripe"), score("adyen")), (50, 0));
}

#[test]
fn a_reason_without_points_is_told_all_the_same() {
    let rules = Rules { weights: Weights { amount_medium: 0, ..Weights::default() }, ..Rules::default() };
    let decision = Payment { tier: RiskTier::Medium, ..Payment::plain() }.decide(&rules);
    assert_eq!((decision.score, decision.reasons.as_slice()), (0, &[Reason::AmountMedium][..]));
}

#[test]
fn the_json_form_is_flat_and_reads_back() {
    let abroad = Payment {
        tier: RiskTier::High,
        card: Some("US".into()),
        billing: Some("DE".into()),
        ..Payment::plain()
    };
    let decision = abroad.decide(&Rules::default());
    let json = serde_json::to_string(&decision).unwrap();
    assert_eq!(json, r#"{"score":65,"decision":"review","reasons":["amount_high","country_mismatch"]}"#);
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
}

#[test]
fn codes_are_the_json_form() {
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
    }
    for verdict in [Verdict::Approve, Verdict::Review, Verdict::Block] {
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
    }
    assert!(Reason::ALL.is_sorted_by(|a, b| a < b));
}

fn tier() -> impl Strategy<Value = RiskTier> {
    prop_oneof![Just(RiskTier::Unrated), Just(RiskTier::Low), Just(RiskTier::Medium), Just(RiskTier::High)]
}

fn payment() -> impl Strategy<Value = Payment> {
    let country =
        || proptest::option::of(prop_oneof![Just("US".to_owned()), Just("DE".to_owned()), ".{0,3}"]);
    let score = proptest::option::of(prop_oneof![0..120_u16, any::<u16>()]);
    let recent = proptest::option::of(prop_oneof![0..30_u32, any::<u32>()]);
    let provider = prop_oneof![Just("stripe"), Just("adyen")];
    (provider, tier(), country(), country(), score, recent).prop_map(
        |(provider, tier, card, billing, score, recent)| Payment {
            provider,
            tier,
            card,
            billing,
            score,
            recent,
        },
    )
}

/// Any rules that hold what `validate` asks for.
fn rules() -> impl Strategy<Value = Rules> {
    let pair = |max: u16| (0..=max, 0..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
    (pair(100), pair(100), pair(100), 0..=100_u8, pair(30), pair(120), pair(120), pair(255)).prop_map(
        |(amount, velocity_weight, score_weight, country, velocity, score, adyen, verdicts)| {
            let byte = |n: u16| u8::try_from(n).unwrap();
            let levels = |(elevated, high)| Levels { elevated, high };
            let mut weights = Weights::default();
            (weights.amount_medium, weights.amount_high) = (byte(amount.0), byte(amount.1));
            (weights.velocity_elevated, weights.velocity_high) =
                (byte(velocity_weight.0), byte(velocity_weight.1));
            (weights.provider_score_elevated, weights.provider_score_high) =
                (byte(score_weight.0), byte(score_weight.1));
            weights.country_mismatch = country;
            Rules {
                weights,
                velocity_window_seconds: 3_600,
                velocity: Levels { elevated: velocity.0.into(), high: velocity.1.into() },
                provider_score: levels(score),
                provider_scores: [(ProviderId::new("adyen").unwrap(), levels(adyen))].into(),
                review_at: byte(verdicts.0),
                block_at: byte(verdicts.1),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_decision_is_bounded_and_the_sum_of_its_reasons(payment in payment(), rules in rules()) {
        rules.validate().unwrap();
        let decision = payment.decide(&rules);
        let points: u32 = decision.reasons.iter().map(|r| u32::from(r.weight(&rules.weights))).sum();
        prop_assert_eq!(u32::from(decision.score), points.min(100));
        prop_assert!(decision.reasons.is_sorted_by(|a, b| a < b), "sorted, each once");
        prop_assert_eq!(decision.verdict == Verdict::Block, decision.score >= rules.block_at);
        prop_assert_eq!(decision.is_flagged(), decision.score >= rules.review_at);
        prop_assert_eq!(decision, payment.decide(&rules));
    }

    /// Whatever makes a payment more suspicious never lowers its score, nor softens what is done.
    #[test]
    fn one_more_reason_never_helps(
        payment in payment(),
        rules in rules(),
        tier in tier(),
        more in 0..100_u16,
    ) {
        let before = payment.decide(&rules);
        let worse = [
            Payment { tier: payment.tier.max(tier), ..payment.clone() },
            Payment { recent: Some(payment.recent.unwrap_or(0).saturating_add(more.into())), ..payment.clone() },
            Payment { score: Some(payment.score.unwrap_or(0).saturating_add(more)), ..payment.clone() },
            Payment { card: Some("US".into()), billing: Some("DE".into()), ..payment.clone() },
        ];
        for worse in worse {
            let after = worse.decide(&rules);
            prop_assert!(after.score >= before.score, "{worse:?}: {after:?} after {before:?}");
            prop_assert!(after.verdict >= before.verdict);
        }
    }

    /// Rules made by hand may hold anything; there is still an answer.
    #[test]
    fn rules_that_were_never_validated_still_give_an_answer(payment in payment(), weight: u8, at: u8) {
        let mut rules = Rules { review_at: at, block_at: 0, ..Rules::default() };
        rules.weights.amount_high = weight;
        rules.weights.velocity_high = weight;
        prop_assert!(payment.decide(&rules).score <= 100);
    }
}
