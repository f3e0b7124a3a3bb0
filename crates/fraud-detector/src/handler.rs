//! Assesses one payment event.

use std::sync::Arc;

use tollgate_core::PaymentEvent;
use tollgate_lambda::{
    clock,
    metrics::{Record, Unit},
    start::{Invocation, Payload},
};
use tollgate_pipeline::fraud::{Assessment, FraudError, read_event};
use tracing::{Instrument, Level, error_span, field::Empty};

use crate::context::Context;

/// Assesses the payment event that the state machine passes.
pub(crate) async fn handle(
    context: Arc<Context>,
    invocation: Invocation,
    payload: Payload,
) -> Result<Assessment, FraudError> {
    let span = error_span!("event", request_id = invocation.request_id, event_id = Empty, webhook_id = Empty);
    let assess = async {
        let event = read_event(payload.text())?;
        let span = tracing::Span::current();
        span.record("event_id", event.id.as_str());
        span.record("webhook_id", event.webhook_id.as_str());
        let assessment = context.fraud.check(&event).await?;
        report(&context, &invocation.request_id, &event, &assessment);
        Ok(assessment)
    };
    assess.instrument(span).await
}

fn report(context: &Context, request_id: &str, event: &PaymentEvent<'_>, assessment: &Assessment) {
    let decision = &assessment.decision;
    let reasons = decision.reasons.iter().map(|reason| reason.code()).collect::<Vec<_>>().join(",");
    let fields = [
        ("request_id", request_id.into()),
        ("event_id", event.id.as_str().into()),
        ("webhook_id", event.webhook_id.as_str().into()),
        ("reasons", reasons.as_str().into()),
    ];
    let record = Record { level: Level::INFO, message: "assessed", fields: &fields };
    context.metrics.emit(
        clock::now(),
        record,
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
