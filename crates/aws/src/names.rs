//! The names of AWS resources. They are defined here and nowhere else.
//!
//! Every name ends in the environment's suffix (`-dev`), as the template in `infra/` makes them. Bucket names
//! are shared by all of AWS, so they hold the account's number too.

use std::fmt;

use tollgate_core::{EndpointId, Queue};
use tollgate_pipeline::retrieved::KEY_NAME;

/// The endpoints' document, in its bucket.
pub const ENDPOINTS_KEY: &str = "endpoints.json";

/// Names of one environment's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    suffix: String,
}

/// A suffix outside its alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a suffix is 1 to 20 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
pub struct SuffixError;

impl Names {
    /// Names that end in `suffix`.
    ///
    /// # Errors
    ///
    /// [`SuffixError`] for a suffix that a bucket's name cannot hold.
    pub fn new(suffix: impl Into<String>) -> Result<Self, SuffixError> {
        let suffix = suffix.into();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=20).contains(&suffix.len())
            && suffix.bytes().all(|b| plain(b) || b == b'-')
            && suffix.bytes().next().is_some_and(plain)
            && suffix.bytes().last().is_some_and(plain);
        if good { Ok(Self { suffix }) } else { Err(SuffixError) }
    }

    /// The suffix itself.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    fn named(&self, stem: impl fmt::Display) -> String {
        format!("{stem}-{}", self.suffix)
    }

    /// A queue.
    pub fn queue(&self, queue: Queue) -> String {
        self.named(queue.stem()) + queue.ending()
    }

    /// The dead-letter queue of a queue.
    pub fn dead_letters(&self, queue: Queue) -> String {
        self.named(format_args!("{}-dlq", queue.stem())) + queue.ending()
    }

    /// Where EventBridge sends events that a rule's target refused.
    pub fn eventbridge_dead_letters(&self) -> String {
        self.named("eventbridge-dlq")
    }

    /// Where the fraud workflow sends payments that it failed on.
    pub fn workflow_dead_letters(&self) -> String {
        self.named("transaction-workflow-dlq")
    }

    /// Where Lambda sends asynchronous invocations that failed after all retries.
    pub fn functions_dead_letters(&self) -> String {
        self.named("asynchronous-invocations-dlq")
    }

    /// Collects every alert, where the deployment asks for it (`AlertsTap`).
    pub fn alerts_tap(&self) -> String {
        self.named("transaction-alerts-tap")
    }

    /// The function that takes webhooks in.
    pub fn validator(&self) -> String {
        self.named("webhook-validator")
    }

    /// The table of claimed events.
    pub fn ledger_table(&self) -> String {
        self.named("webhook-events")
    }

    /// The table of transaction histories.
    pub fn transactions_table(&self) -> String {
        self.named("transactions")
    }

    /// The event bus.
    pub fn bus(&self) -> String {
        self.named("payment-events")
    }

    /// The topic of medium-value alerts.
    pub fn alerts_topic(&self) -> String {
        self.named("transaction-alerts")
    }

    /// The fraud workflow.
    pub fn state_machine(&self) -> String {
        self.named("transaction-workflow")
    }

    /// The archive's bucket.
    pub fn archive_bucket(&self, account: &str) -> String {
        self.named(format_args!("transaction-audit-logs-{account}"))
    }

    /// The bucket of bodies too large for a message.
    pub fn payload_bucket(&self, account: &str) -> String {
        self.named(format_args!("webhook-payloads-{account}"))
    }

    /// The bucket of the endpoints' document.
    pub fn endpoints_bucket(&self, account: &str) -> String {
        self.named(format_args!("tollgate-endpoints-{account}"))
    }

    /// The SSM path under which each endpoint was a parameter, before version 0.2; ends in a slash.
    pub fn former_endpoints_path(&self) -> String {
        format!("/tollgate/{}/endpoints/", self.suffix)
    }

    /// Whether a reference names a secret that this environment's validator may read.
    pub fn is_own_secret(&self, reference: &str) -> bool {
        is_own_secret(&self.suffix, reference)
    }

    /// The secret with an endpoint's key of its provider's API. Its name is not among those that the validator may read, and no
    /// endpoint may name it as its signing secret.
    pub fn api_secret(&self, endpoint: &EndpointId) -> String {
        api_secret(&self.suffix, endpoint)
    }

    /// The database of the archive's table, which Athena reads. Its names know no `-` ("Name databases, tables, and columns",
    /// Athena user guide), and a suffix no `_`.
    pub fn archive_database(&self) -> String {
        format!("tollgate_{}", self.suffix.replace('-', "_"))
    }

    /// The work group of an operator's queries.
    pub fn query_work_group(&self) -> String {
        self.named("tollgate-archive")
    }

    /// The functions: validator, processor, archival, fraud detector, reconciler.
    pub fn functions(&self) -> [String; 5] {
        ["webhook-validator", "webhook-processor", "transaction-archival", "fraud-detector", "reconciler"]
            .map(|stem| self.named(stem))
    }

    /// The deployment's KMS key, where it has one of its own.
    pub fn key_alias(&self) -> String {
        self.named("alias/tollgate")
    }

    /// The SSM parameter that holds the ARN of the deployment's KMS key, where it has one of its own.
    pub fn key_parameter(&self) -> String {
        format!("/tollgate/{}/key", self.suffix)
    }
}

/// The same for who knows the suffix alone.
pub(crate) fn api_secret(suffix: &str, endpoint: &EndpointId) -> String {
    format!("tollgate-api/{suffix}/{endpoint}")
}

/// Whether `reference` is `secretsmanager:tollgate/{suffix}/NAME` or `ssm:/tollgate/{suffix}/secrets/NAME`, as the
/// validator's role may read. Whoever may write an endpoint could else have it sign with any other secret that a role was once allowed to read. An
/// ARN, which could name another account's secret, is none of these, nor is the key of what was retrieved: whoever sends to an endpoint that had
/// it could say that an event was.
pub(crate) fn is_own_secret(suffix: &str, reference: &str) -> bool {
    let root = format!("tollgate/{suffix}");
    let name = match reference.split_once(':') {
        Some(("secretsmanager", name)) => name.strip_prefix(&root).and_then(|name| name.strip_prefix('/')),
        Some(("ssm", name)) => {
            let name = name.strip_prefix('/').and_then(|name| name.strip_prefix(&root));
            name.and_then(|name| name.strip_prefix("/secrets/"))
        }
        _ => None,
    };
    // The characters of Parameter Store's names, and Secrets Manager's but for those that mean something elsewhere.
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.' | b'+' | b'=' | b'@');
    name.is_some_and(|name| {
        name != KEY_NAME
            && name.bytes().all(is_plain)
            && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_in_the_suffix_and_fifo_queues_in_fifo() {
        let names = Names::new("dev").unwrap();
        assert_eq!(names.queue(Queue::Intake), "webhook-intake-dev");
        assert_eq!(names.queue(Queue::IntakeOrdered), "webhook-intake-ordered-dev.fifo");
        assert_eq!(names.dead_letters(Queue::IntakeOrdered), "webhook-intake-ordered-dlq-dev.fifo");
        assert_eq!(names.dead_letters(Queue::Payments), "payments-queue-dlq-dev");
        assert_eq!(names.endpoints_bucket("111122223333"), "tollgate-endpoints-111122223333-dev");
    }

    #[test]
    fn only_secrets_of_the_environment_are_its_own() {
        let names = Names::new("dev").unwrap();
        for own in [
            "secretsmanager:tollgate/dev/a",
            "secretsmanager:tollgate/dev/a/b",
            "ssm:/tollgate/dev/secrets/a",
        ] {
            assert!(names.is_own_secret(own), "{own}");
        }
        for other in [
            "secretsmanager:prod/database",
            "secretsmanager:tollgate/prod/a",
            "secretsmanager:tollgate/device/a",
            "secretsmanager:tollgate-api/dev/a",
            "secretsmanager:tollgate/dev/",
            "secretsmanager:tollgate/dev/_retrieved",
            "secretsmanager:tollgate/dev/../prod/a",
            "secretsmanager:tollgate/dev//a",
            "secretsmanager:/tollgate/dev/a",
            "secretsmanager:arn:aws:secretsmanager:us-east-1:111122223333:secret:tollgate/dev/a",
            "ssm:/tollgate/dev/endpoints/a",
            "ssm:/tollgate/dev/secrets/",
            "ssm:/tollgate/dev/secrets/a:1",
            "ssm:tollgate/dev/secrets/a",
            "ssm:/prod/database",
            "tollgate/dev/a",
            "",
        ] {
            assert!(!names.is_own_secret(other), "{other}");
        }
    }

    #[test]
    fn a_suffix_must_fit_a_bucket_name() {
        for bad in ["", "-dev", "dev-", "Dev", "d_v", &"x".repeat(21)] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }
}
