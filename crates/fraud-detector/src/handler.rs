//! One payment event in, its assessment out.

use std::sync::Arc;

use tollgate_lambda::{
    clock::SystemClock,
    metrics::Unit,
    start::{Invocation, Payload},
};
use tollgate_pipeline::{
    fraud::{Assessment, FraudError, read_event},
    ports::Clock,
};
use tracing::{Instrument, field::Empty, info, info_span};

use crate::context::Context;

/// Assesses the payment event that the state machine hands over.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Assessment, FraudError> {
    let span = info_span!("event", request_id = invocation.request_id, event_id = Empty, webhook_id = Empty);
    let assess = async {
        let event = read_event(payload.text())?;
        let span = tracing::Span::current();
        span.record("event_id", event.id.as_str());
        span.record("webhook_id", event.webhook_id.as_str());
        let assessment = context.fraud.check(&event).await?;
        report(&context, &assessment);
        Ok(assessment)
    };
    assess.instrument(span).await
}

fn report(context: &Context, assessment: &Assessment) {
    let decision = &assessment.decision;
    let reasons: Vec<&str> = decision.reasons.iter().map(|reason| reason.code()).collect();
    info!(
        score = decision.score,
        decision = decision.verdict.as_str(),
        reasons = reasons.join(","),
        "assessed"
    );
    context.metrics.emit(
        SystemClock.now(),
        &[(
            &[("decision", decision.verdict.as_str())],
            &[
                ("assessed", Unit::Count, 1),
                ("flagged", Unit::Count, u64::from(assessment.flagged)),
                ("score", Unit::Count, u64::from(decision.score)),
            ],
        )],
    );
}
