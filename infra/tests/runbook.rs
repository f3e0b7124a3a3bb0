//! The filter patterns of docs/runbook.md and of metric filters, on lines of the gateway's access log.

use serde_json::{Value, json};
use tollgate_infra::{read, section};

/// A filter pattern, and whether it is for a status.
type Pattern = (String, fn(u16) -> bool);

fn patterns() -> Vec<Pattern> {
    let runbook = read("docs/runbook.md");
    let on_access_log = runbook.lines().filter(|line| line.contains("aws logs tail /aws/apigateway/"));
    let mut found: Vec<Pattern> = on_access_log
        .map(|line| {
            let pattern = line.split('\'').nth(1).unwrap_or_else(|| panic!("no pattern: {line}"));
            let wanted: fn(u16) -> bool = match pattern {
                _ if pattern.contains("\"5*\"") => |status| status >= 500,
                _ if pattern.contains("\"4*\"") => |status| (400..500).contains(&status),
                _ if pattern.contains("429") => |status| status == 429,
                _ => panic!("what is {pattern} for?"),
            };
            (pattern.to_owned(), wanted)
        })
        .collect();
    assert!(found.len() >= 3, "{} patterns in the runbook", found.len());
    for (name, filter) in section("infra/monitoring.yaml", "Resources") {
        if filter["Type"].as_str() == Some("AWS::Logs::MetricFilter") {
            assert_eq!(name, "ThrottledRequests");
            let pattern = filter["Properties"]["FilterPattern"].as_str().unwrap();
            found.push((pattern.to_owned(), |status| status == 429));
        }
    }
    found
}

/// API Gateway writes a variable as it is, and the quotes of the format around it: `$context.status` within quotes is a text. A
/// number without quotes would leave no JSON where there is none, as `-` for the integration's status.
#[test]
fn access_logs_are_found_by_their_status_whether_it_is_a_text_or_a_number() {
    let resources = section("infra/tollgate.yaml", "Resources");
    for (stage, log) in [("Stage", "AccessLogSetting"), ("HttpStage", "AccessLogSettings")] {
        let (_, found) = resources.iter().find(|(name, _)| name == stage).unwrap();
        let format = found["Properties"][log]["Format"].as_str().unwrap();
        assert!(format.contains(r#""status":"$context.status""#), "{stage}");
        for format in [format.to_owned(), format.replace(r#""$context.status""#, "$context.status")] {
            for (pattern, wanted) in patterns() {
                for status in [200, 302, 400, 401, 403, 429, 499, 500, 503, 504] {
                    let line = format.replace("$context.status", &status.to_string());
                    let line: Value = serde_json::from_str(&line).unwrap();
                    assert_eq!(matches(&pattern, &line), wanted(status), "{pattern} on {line}");
                }
            }
        }
    }
}

#[test]
fn a_pattern_of_numbers_finds_no_text() {
    assert!(matches("{ $.status >= 500 }", &json!({ "status": 503 })));
    assert!(!matches("{ $.status >= 500 }", &json!({ "status": "503" })));
    assert!(!matches("{ $.status = \"5*\" }", &json!({ "status": 503 })));
    assert!(!matches("{ $.status = \"5*\" }", &json!({ "status": "450" })));
}

/// Whether CloudWatch Logs finds the line: a text only by a text, in which `*` is anything, and a number only by a number
/// (CloudWatch Logs user guide, "Using filter patterns to match terms in JSON log events").
fn matches(pattern: &str, line: &Value) -> bool {
    let inside = pattern.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inside = inside.unwrap_or_else(|| panic!("no pattern for JSON: {pattern}"));
    // No pattern here nests more than one level.
    inside.split("||").any(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        part.split("&&").all(|condition| holds(condition.trim(), line))
    })
}

fn holds(condition: &str, line: &Value) -> bool {
    let words: Vec<&str> = condition.splitn(3, ' ').collect();
    let [selector, operator, wanted] = words[..] else { panic!("not a condition: {condition}") };
    let found = &line[selector.strip_prefix("$.").unwrap()];
    if let Some(text) = wanted.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        assert_eq!(operator, "=", "{condition}");
        return found.as_str().is_some_and(|found| match text.strip_suffix('*') {
            Some(beginning) => found.starts_with(beginning),
            None => found == text,
        });
    }
    let wanted: f64 = wanted.parse().unwrap();
    found.as_f64().is_some_and(|found| match operator {
        "=" => found == wanted,
        ">=" => found >= wanted,
        "<" => found < wanted,
        _ => panic!("unknown operator: {condition}"),
    })
}
