//! An event's facts as one line, for tables of expectations.

use tollgate_core::Facts;

/// One line: what every event has, then the other facts that are known.
pub fn describe(facts: &Facts<'_>) -> String {
    let transaction = facts.transaction_id.as_deref().unwrap_or("-");
    let amount = facts.amount.map_or("-".to_owned(), |amount| amount.to_string());
    let occurred_at = facts.occurred_at.map_or("-".to_owned(), |at| at.to_string());
    let mut line = format!(
        "{} | {} -> {} | {transaction} | {amount} | {occurred_at}",
        facts.event_id,
        facts.event_type,
        facts.kind.as_str()
    );
    let mut more = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" | {name} {value}"));
        }
    };
    let text = |value: &Option<std::borrow::Cow<'_, str>>| value.as_deref().map(str::to_owned);
    more("why", facts.unrecognized.map(str::to_owned));
    more("amount problem", facts.amount_problem.map(str::to_owned));
    more("movement", text(&facts.movement_id));
    more("occurrence", text(&facts.occurrence));
    more("alias", (!facts.aliases.is_empty()).then(|| facts.aliases.join(", ")));
    more("unsigned", facts.is_unsigned.then(|| "true".to_owned()));
    more("customer", text(&facts.customer.id));
    more("country", text(&facts.customer.country));
    more("method", text(&facts.method.kind));
    more("brand", text(&facts.method.brand));
    more("card", text(&facts.method.country));
    more("risk", facts.provider_risk_score.map(|score| score.to_string()));
    more("live", facts.livemode.map(|live| live.to_string()));
    for (name, value) in &facts.metadata {
        more(name, Some(value.clone().into_owned()));
    }
    line
}
