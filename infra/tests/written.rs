//! The parts of `infra/monitoring.yaml` that follow from the list of queues: their alarms, the composite alarms' rules
//! and the dashboard's lines. CloudFormation's own loop (`Fn::ForEach`) makes resources, but neither list items nor lines
//! of a text. It would also need a transform that the deployer must be allowed.

use std::borrow::Borrow;

use tollgate_core::{Queue, Reader};

/// Dead-letter queues of what is no queue: logical name, name before the suffix, what is in it, and the runbook's
/// section.
const OTHER_DEAD_LETTERS: [(&str, &str, &str, &str); 3] = [
    ("EventBridge", "eventbridge-dlq", "Events that a rule's target did not take for a day", "eventbridge"),
    ("Workflow", "transaction-workflow-dlq", "Payments of high value whose workflow failed", "workflow"),
    (
        "Functions",
        "asynchronous-invocations-dlq",
        "Asynchronous invocations that failed for good",
        "functions",
    ),
];
/// The sections of the template that are written here, each up to the next section.
const DEAD_LETTERS: &str = "  # ---- Dead letters ";
const OLD_MESSAGES: &str = "  # ---- Old messages ";
const CONSUMERS: &str = "  # ---- Consumers: ";
const SECTION: &str = "\n  # ---- ";

/// One alarm on one queue.
struct Alarm {
    logical: String,
    /// The queue's name before the suffix, and behind it.
    queue: (String, &'static str),
    /// What it means, and the runbook's section.
    meaning: (String, String),
    /// Whether the queue's reader is a consumer, which may not be there yet.
    is_consumers: bool,
}

/// The template's text with these parts as [`Queue::ALL`] says, whatever they are in `template`.
///
/// # Panics
///
/// When the template has no such parts.
pub fn monitoring(template: &str) -> String {
    let (dead, old) = (dead_letters(), old_messages());
    let text = replace_section(template, DEAD_LETTERS, &dead, dead_letters_alarm);
    let text = replace_section(&text, OLD_MESSAGES, &old, old_messages_alarm);
    let text = replace_section(&text, CONSUMERS, &consumers_only(&old), consumers_alarm);
    let text = replace_rules(&text, "DlqAlarm", &dead);
    let text = replace_rules(&text, "AgeAlarm", &old);
    let text = replace_metrics(&text, "Dead letters", "ApproximateNumberOfMessagesVisible", &dead);
    let text = replace_metrics(&text, "Queues: messages waiting", "ApproximateNumberOfMessagesVisible", &old);
    let text = replace_metrics(
        &text,
        "Queues: age of the oldest message, seconds",
        "ApproximateAgeOfOldestMessage",
        &old,
    );
    let text = replace_shown(&text, "consuming", &consumers_only(&old));
    let text = replace_shown(&text, "dead-letters", &dead);
    replace_shown(&text, "age", &old)
}

fn consumers_only(alarms: &[Alarm]) -> Vec<&Alarm> {
    alarms.iter().filter(|alarm| alarm.is_consumers).collect()
}

fn dead_letters() -> Vec<Alarm> {
    let of_queues = Queue::ALL.iter().map(|queue| {
        let (meaning, section) = match queue.reader() {
            Reader::Processor => {
                ("Webhooks that the processor set aside or did not come back from".to_owned(), "intake")
            }
            Reader::Archival => ("Rows that could not be archived".to_owned(), "archive"),
            Reader::Consumer(category) => {
                let (first, rest) = category.as_str().split_at(1);
                let first = first.to_uppercase();
                (format!("{first}{rest} events that their consumer failed on three times"), "consumers")
            }
        };
        Alarm {
            logical: queue.logical().to_owned(),
            queue: (format!("{}-dlq", queue.stem()), queue.ending()),
            meaning: (meaning, format!("dead-letters-{section}")),
            is_consumers: matches!(queue.reader(), Reader::Consumer(_)),
        }
    });
    let others = OTHER_DEAD_LETTERS.into_iter().map(|(logical, queue, meaning, section)| Alarm {
        logical: logical.to_owned(),
        queue: (queue.to_owned(), ""),
        meaning: (meaning.to_owned(), format!("dead-letters-{section}")),
        is_consumers: false,
    });
    of_queues.chain(others).collect()
}

fn old_messages() -> Vec<Alarm> {
    let alarm = |queue: &Queue| {
        let reader = match queue.reader() {
            Reader::Processor => "The processor".to_owned(),
            Reader::Archival => "The archival function".to_owned(),
            Reader::Consumer(_) => format!("The consumer of the {}", queue.stem()),
        };
        Alarm {
            logical: queue.logical().to_owned(),
            queue: (queue.stem().to_owned(), queue.ending()),
            meaning: (format!("{reader} falls behind"), "old-messages".to_owned()),
            is_consumers: matches!(queue.reader(), Reader::Consumer(_)),
        }
    };
    Queue::ALL.iter().map(alarm).collect()
}

fn dead_letters_alarm(alarm: &Alarm) -> String {
    block(alarm, ("Dlq", "dead-letters"), "ApproximateNumberOfMessagesVisible", (1, "0"))
}

fn old_messages_alarm(alarm: &Alarm) -> String {
    block(alarm, ("Age", "age"), "ApproximateAgeOfOldestMessage", (3, "!Ref MessageAgeSeconds"))
}

/// What a consumer is told, by an alarm of its own: a queue that nobody reads would stay red and hide the others.
fn consumers_alarm(alarm: &&Alarm) -> String {
    let Alarm { logical, queue: (stem, _), .. } = alarm;
    let topic =
        "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:tollgate-alarms-${EnvironmentSuffix}";
    format!(
        r#"
  {logical}ConsumingAlarm:
    Type: AWS::CloudWatch::CompositeAlarm
    Condition: HasComputed
    Properties:
      AlarmName: !Sub tollgate-consuming-{stem}-${{EnvironmentSuffix}}
      AlarmDescription: The consumer of the {stem} fails or falls behind. See docs/runbook.md#consuming
      AlarmRule: !Sub ALARM("${{{logical}AgeAlarm}}") OR ALARM("${{{logical}DlqAlarm}}")
      ActionsEnabled: !Ref {logical}Consumed
      AlarmActions: [!Sub "{topic}"]
      OKActions: [!Sub "{topic}"]
"#
    )
}

fn block(alarm: &Alarm, kind: (&str, &str), metric: &str, (periods, threshold): (u32, &str)) -> String {
    let Alarm { logical, queue: (stem, ending), meaning: (meaning, section), .. } = alarm;
    let (ends, begins) = kind;
    format!(
        r#"
  {logical}{ends}Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub tollgate-{begins}-{stem}-${{EnvironmentSuffix}}
      AlarmDescription: {meaning}. See docs/runbook.md#{section}
      Namespace: AWS/SQS
      MetricName: {metric}
      Dimensions: [{{ Name: QueueName, Value: !Sub "{stem}-${{EnvironmentSuffix}}{ending}" }}]
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: {periods}
      ComparisonOperator: GreaterThanThreshold
      Threshold: {threshold}
      TreatMissingData: notBreaching
"#
    )
}

/// Writes the alarms between a section's title and the next section.
fn replace_section<A>(text: &str, title: &str, alarms: &[A], write: fn(&A) -> String) -> String {
    let (before, section) = text.split_once(title).unwrap_or_else(|| panic!("no section {title:?}"));
    let (line, rest) = section.split_once('\n').unwrap();
    let at = rest.find(SECTION).unwrap_or_else(|| panic!("no section follows {title:?}"));
    let alarms: String = alarms.iter().map(write).collect();
    format!("{before}{title}{line}\n{alarms}{}", &rest[at..])
}

/// Writes the alarms of a kind, but those of consumers' queues, into the rule of the composite alarm that has them first.
fn replace_rules(text: &str, kind: &str, alarms: &[Alarm]) -> String {
    let alarms: Vec<&Alarm> = alarms.iter().filter(|alarm| !alarm.is_consumers).collect();
    let is_rule = |line: &str| {
        let line = line.trim_start();
        line.strip_prefix("OR ").unwrap_or(line).starts_with("ALARM(\"${")
            && line.ends_with(&format!("{kind}}}\")"))
    };
    replace_lines(text, is_rule, |index| {
        let or = if index == 0 { "" } else { "OR " };
        Some(format!("        {or}ALARM(\"${{{}{kind}}}\")", alarms.get(index)?.logical))
    })
}

/// Writes the metrics of a widget of the dashboard.
fn replace_metrics(text: &str, widget: &str, metric: &str, alarms: &[Alarm]) -> String {
    let title = format!("\"title\": \"{widget}\"");
    let (before, after) = text.split_once(&title).unwrap_or_else(|| panic!("no widget {widget:?}"));
    let is_metric = |line: &str| line.trim_start().starts_with("[\"AWS/SQS\", ");
    let (widget, rest) = after.split_once("]\n            }").unwrap();
    let widget = replace_lines(widget, is_metric, |index| {
        let (stem, ending) = &alarms.get(index)?.queue;
        let comma = if index + 1 < alarms.len() { "," } else { "" };
        Some(format!(
            "                [\"AWS/SQS\", \"{metric}\", \"QueueName\", \"{stem}-${{EnvironmentSuffix}}{ending}\"]{comma}"
        ))
    });
    format!("{before}{title}{widget}]\n            }}{rest}")
}

/// Writes the alarms of a kind into the dashboard's list of alarms.
fn replace_shown<A: Borrow<Alarm>>(text: &str, kind: &str, alarms: &[A]) -> String {
    let arn = "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm";
    let begin = format!("                \"{arn}:tollgate-{kind}-");
    replace_lines(
        text,
        |line| line.starts_with(&begin),
        |index| Some(format!("{begin}{}-${{EnvironmentSuffix}}\",", alarms.get(index)?.borrow().queue.0)),
    )
}

/// Puts the lines that `write` makes, from index 0 until there is none, in the place of those that are such lines.
fn replace_lines(
    text: &str,
    is_such: impl Fn(&str) -> bool,
    write: impl Fn(usize) -> Option<String>,
) -> String {
    let first = text.lines().position(&is_such).expect("the template has such lines");
    let written = (0..).map_while(write);
    let kept = |line: &&str| !is_such(line);
    let lines: Vec<String> = (text.lines().take(first).map(str::to_owned))
        .chain(written)
        .chain(text.lines().skip(first).filter(kept).map(str::to_owned))
        .collect();
    let end = if text.ends_with('\n') { "\n" } else { "" };
    lines.join("\n") + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_in_the_template() {
        let template = crate::read("infra/monitoring.yaml");
        assert!(
            monitoring(&template) == template,
            "the queues in infra/monitoring.yaml: cargo run -p tollgate-infra"
        );
    }

    #[test]
    fn what_is_missing_is_written() {
        let template = crate::read("infra/monitoring.yaml");
        let last = Queue::ALL.last().unwrap().stem();
        let consumed =
            Queue::ALL.iter().rfind(|queue| matches!(queue.reader(), Reader::Consumer(_))).unwrap().stem();
        for (kind, queue) in [("age", last), ("dead-letters", last), ("consuming", consumed)] {
            let gone = format!("tollgate-{kind}-{queue}");
            let without: String =
                template.lines().filter(|line| !line.contains(&gone)).flat_map(|line| [line, "\n"]).collect();
            assert!(without != template);
            assert!(monitoring(&without) == template, "{gone}");
        }
    }
}
