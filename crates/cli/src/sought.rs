//! The filters that searches and replays share, beside an id and the time.

use tollgate_operate::search::Filters;

/// What is sought among webhooks and their events.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Sought {
    /// Where it arrived; given several times, any of them
    #[arg(long, value_name = "NAME")]
    endpoint: Vec<String>,
    /// Whose it is
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// An event's type, ours (refund.succeeded) or the provider's (charge.refunded)
    #[arg(long = "type", value_name = "TYPE")]
    kind: Vec<String>,
    /// How the webhook ended: processed, conflict, duplicate, set_aside
    #[arg(long)]
    outcome: Vec<String>,
    /// In major units: 49.90, 10..20, 100.., ..5; the bounds are included
    #[arg(long, allow_hyphen_values = true)]
    amount: Option<String>,
    /// The currency's code
    #[arg(long, value_name = "CODE")]
    currency: Vec<String>,
    /// The customer's id
    #[arg(long, value_name = "ID")]
    customer: Vec<String>,
    /// The merchant's own data; given several times, all of them
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// Text in the body as it was sent; given several times, all of them
    #[arg(long)]
    text: Vec<String>,
}

impl Sought {
    /// These filters, and of `others` those that are not given.
    pub(crate) fn over(&self, others: Filters) -> Filters {
        let list = |given: &Vec<String>, other| if given.is_empty() { other } else { given.clone() };
        Filters {
            endpoint: list(&self.endpoint, others.endpoint),
            provider: list(&self.provider, others.provider),
            kind: list(&self.kind, others.kind),
            outcome: list(&self.outcome, others.outcome),
            amount: self.amount.clone().or(others.amount),
            currency: list(&self.currency, others.currency),
            customer: list(&self.customer, others.customer),
            metadata: list(&self.metadata, others.metadata),
            text: list(&self.text, others.text),
            ..others
        }
    }
}
