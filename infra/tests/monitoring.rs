//! infra/monitoring.yaml against what it watches, against the metrics that the code emits, and against the runbook.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tollgate_core::{Queue, Reader};
use tollgate_infra::{read, root, section};
use tollgate_operate::reconcile::daily;
use tollgate_pipeline::silence::is_task;
use yaml_rust2::Yaml;

/// A metric of ours: its function, its name, and the names of its dimensions beside environment and function.
type Metric = (String, String, BTreeSet<String>);
/// A dimension's name and value.
type Dimension = (String, String);

/// Alarms that tell people themselves: of what somebody changed, of silence, each endpoint for itself, and of what never came.
const TELLING: [&str; 6] = [
    "KeyAlarm",
    "SettingsAlarm",
    "SilenceAlarm",
    "SilenceUncheckedAlarm",
    "ReconciliationMissingAlarm",
    "ReconciliationUnfinishedAlarm",
];
/// Of our metrics.
const NAMESPACE: &str = "Tollgate";
/// Of those that are wrong where nothing is reported.
const BREACHING: [&str; 1] = ["SilenceUncheckedAlarm"];
/// That is wrong where nothing is reported and there is a schedule.
const BREACHING_WHERE_SCHEDULED: &str = "ReconciliationUnfinishedAlarm";

fn resources(template: &str) -> Vec<(String, Yaml)> {
    section(template, "Resources")
}

fn of_type(resources: &[(String, Yaml)], kind: &str) -> Vec<(String, Yaml)> {
    let is = |resource: &Yaml| resource["Type"].as_str() == Some(kind);
    resources.iter().filter(|(_, resource)| is(resource)).cloned().collect()
}

fn alarms() -> Vec<(String, Yaml)> {
    of_type(&resources("infra/monitoring.yaml"), "AWS::CloudWatch::Alarm")
}

/// The metrics of an alarm: namespace, name, dimensions.
fn watched(alarm: &Yaml) -> Vec<(String, String, Vec<Dimension>)> {
    let properties = &alarm["Properties"];
    let metrics = match properties["Metrics"].as_vec() {
        Some(metrics) => metrics.iter().map(|one| one["MetricStat"]["Metric"].clone()).collect(),
        None => vec![properties.clone()],
    };
    let text = |value: &Yaml| match value.as_vec() {
        // What depends on the ingress, by its row in the mapping.
        Some(row) => row.last().unwrap().as_str().unwrap().to_owned(),
        None => value.as_str().unwrap().to_owned(),
    };
    metrics
        .iter()
        .filter(|metric| !metric["MetricName"].is_badvalue())
        .map(|metric| {
            // A metric of the whole account has none.
            let dimensions = metric["Dimensions"].as_vec().map_or(&[][..], Vec::as_slice);
            let dimensions = dimensions.get(1).and_then(Yaml::as_vec).map_or(dimensions, Vec::as_slice); // of an If, the REST API's
            let dimensions = dimensions.iter().map(|one| (text(&one["Name"]), text(&one["Value"]))).collect();
            (text(&metric["Namespace"]), text(&metric["MetricName"]), dimensions)
        })
        .collect()
}

/// The values of a dimension for which an alarm on the metric exists.
fn with_alarm(metric: &str, dimension: &str) -> BTreeSet<String> {
    let all = alarms();
    let metrics = all.iter().flat_map(|(_, alarm)| watched(alarm));
    metrics
        .filter(|(_, name, _)| name == metric)
        .flat_map(|(_, _, dimensions)| dimensions)
        .filter(|(name, _)| name == dimension)
        .map(|(_, value)| value)
        .collect()
}

fn names(resources: &[(String, Yaml)], property: &str) -> BTreeSet<String> {
    resources.iter().map(|(_, one)| one["Properties"][property].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_queue_function_and_table_has_its_alarms() {
    let platform = resources("infra/tollgate.yaml");
    let queues = of_type(&platform, "AWS::SQS::Queue");
    let (redriven, others): (Vec<_>, Vec<_>) = queues
        .into_iter()
        .filter(|(name, _)| name != "AlertsTapQueue")
        .partition(|(_, queue)| !queue["Properties"]["RedrivePolicy"].is_badvalue());
    assert_eq!(with_alarm("ApproximateAgeOfOldestMessage", "QueueName"), names(&redriven, "QueueName"));
    assert_eq!(with_alarm("ApproximateNumberOfMessagesVisible", "QueueName"), names(&others, "QueueName"));
    let functions = names(&of_type(&platform, "AWS::Lambda::Function"), "FunctionName");
    for metric in ["Errors", "Invocations"] {
        assert_eq!(with_alarm(metric, "FunctionName"), functions, "{metric}");
    }
    // A schedule that calls twice is throttled, which refuses no webhook; a run that does not happen has an alarm of its own.
    let mut throttled = with_alarm("Throttles", "FunctionName");
    assert!(throttled.insert("reconciler-${EnvironmentSuffix}".to_owned()));
    assert_eq!(throttled, functions);
    let tables = names(&of_type(&platform, "AWS::DynamoDB::Table"), "TableName");
    for metric in ["ReadThrottleEvents", "WriteThrottleEvents"] {
        assert_eq!(with_alarm(metric, "TableName"), tables, "{metric}");
    }
    let api = names(&of_type(&platform, "AWS::ApiGateway::RestApi"), "Name");
    for metric in ["Failed", "Refused", "Latency"] {
        assert_eq!(with_alarm(metric, "ApiName"), api, "{metric}");
    }
}

/// What is lost, refused or changed without an error of a function.
#[test]
fn what_no_function_notices_has_its_alarm() {
    let platform = resources("infra/tollgate.yaml");
    let functions = names(&of_type(&platform, "AWS::Lambda::Function"), "FunctionName");
    assert_eq!(with_alarm("DestinationDeliveryFailures", "FunctionName"), functions);
    let topics = names(&of_type(&platform, "AWS::SNS::Topic"), "TopicName");
    for metric in ["NumberOfNotificationsFailed", "NumberOfNotificationsFailedToRedriveToDlq"] {
        assert_eq!(with_alarm(metric, "TopicName"), topics, "{metric}");
    }
    let monitoring = resources("infra/monitoring.yaml");
    let rules = names(&of_type(&monitoring, "AWS::Events::Rule"), "Name");
    assert_eq!(with_alarm("TriggeredRules", "RuleName"), rules);
    assert_eq!(rules.len(), 2, "of the key and of the parameters");
    let buses = names(&of_type(&platform, "AWS::Events::EventBus"), "Name");
    let all = alarms();
    let queries: BTreeSet<String> = all
        .iter()
        .filter_map(|(_, alarm)| alarm["Properties"]["Metrics"][0]["Expression"].as_str())
        .filter(|text| text.starts_with("SELECT SUM(InvocationsFailedToBeSentToDlq)"))
        .map(|text| text.split('\'').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(queries, buses);
    let watched: Vec<_> = all.iter().flat_map(|(_, alarm)| watched(alarm)).collect();
    let claimed = watched.iter().find(|(_, name, _)| name == "ClaimedAccountConcurrency").unwrap();
    assert_eq!((claimed.0.as_str(), claimed.2.len()), ("AWS/Lambda", 0), "of the whole account");
    // What a filter of the access log counts.
    let filters = of_type(&monitoring, "AWS::Logs::MetricFilter");
    let counted: BTreeSet<(String, String)> = filters
        .iter()
        .map(|(_, filter)| {
            let made = &filter["Properties"]["MetricTransformations"][0];
            let text = |name: &str| made[name].as_str().unwrap().to_owned();
            (text("MetricNamespace"), text("MetricName"))
        })
        .collect();
    let of_filters = watched
        .iter()
        .filter(|(namespace, ..)| namespace.starts_with("Tollgate/"))
        .map(|(namespace, name, _)| (namespace.clone(), name.clone()));
    assert_eq!(of_filters.collect::<BTreeSet<_>>(), counted);
    assert_eq!(counted.len(), 1);
}

/// The local peer knows neither composite alarms nor alarms on several metrics. Everything else is deployed to it.
#[test]
fn only_what_the_local_peer_cannot_take_is_left_out_there() {
    for (name, resource) in resources("infra/monitoring.yaml") {
        let computed = resource["Type"].as_str() == Some("AWS::CloudWatch::CompositeAlarm")
            || !resource["Properties"]["Metrics"].is_badvalue();
        let wanted = match name.as_str() {
            "ThrottledRequests" => Some("UsesGateway"),
            "KeyRule" => Some("WatchesKey"),
            _ => computed.then_some("HasComputed"),
        };
        assert_eq!(resource["Condition"].as_str(), wanted, "{name}");
    }
    let local: Value = serde_json::from_str(&read("infra/params/local.json")).unwrap();
    assert_eq!(local["Parameters"]["ComputedAlarms"], "false");
}

#[test]
fn every_alarm_tells_people_what_to_do_and_is_chosen_for_missing_data() {
    let composites = of_type(&resources("infra/monitoring.yaml"), "AWS::CloudWatch::CompositeAlarm");
    let rules: String = composites
        .iter()
        .map(|(_, one)| one["Properties"]["AlarmRule"].as_str().unwrap().to_owned())
        .collect();
    let runbook = read("docs/runbook.md");
    let sections: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    for (name, alarm) in alarms() {
        let composites = rules.matches(&format!("ALARM(\"${{{name}}}\")")).count();
        let missing = if BREACHING.contains(&name.as_str()) { "breaching" } else { "notBreaching" };
        let treated = &alarm["Properties"]["TreatMissingData"];
        if name == BREACHING_WHERE_SCHEDULED {
            let treated: Vec<&str> = treated.as_vec().unwrap().iter().filter_map(Yaml::as_str).collect();
            assert_eq!(treated, ["Reconciles", "breaching", "notBreaching"], "{name}");
        } else {
            assert_eq!(treated.as_str(), Some(missing), "{name}");
        }
        let actions = &alarm["Properties"]["AlarmActions"];
        if TELLING.contains(&name.as_str()) {
            assert_eq!(composites, 0, "{name}: a composite that is red would hide it");
            assert!(
                actions[0].as_str().unwrap().ends_with(":tollgate-alarms-${EnvironmentSuffix}"),
                "{name}"
            );
        } else {
            assert_eq!(composites, 1, "{name} in one composite");
            assert!(actions.is_badvalue(), "{name}: the composites tell people");
        }
    }
    for (name, composite) in &composites {
        for actions in ["AlarmActions", "OKActions"] {
            let topic = composite["Properties"][actions][0].as_str().unwrap();
            assert!(topic.ends_with(":tollgate-alarms-${EnvironmentSuffix}"), "{name}: {topic}");
        }
    }
    for (name, alarm) in alarms().iter().chain(&composites) {
        let description = alarm["Properties"]["AlarmDescription"].as_str().unwrap();
        let (_, section) = description.split_once(" See docs/runbook.md#").unwrap();
        assert!(sections.contains(section), "{name}: docs/runbook.md has no section {section}");
    }
}

/// An endpoint that has gone silent tells of itself by name, and so does the search for it where it does not happen.
#[test]
fn a_silent_endpoint_is_told_by_name_and_nobody_has_to_look() {
    let platform = resources("infra/tollgate.yaml");
    let find = |name: &str| platform.iter().find(|(one, _)| one == name).unwrap().1["Properties"].clone();
    let rule = find("SilenceRule");
    assert_eq!(rule["ScheduleExpression"].as_str(), Some("cron(20 * * * ? *)"), "after an hour has settled");
    let target = &rule["Targets"][0];
    assert_eq!(target["Arn"].as_str(), Some("ProcessorAlias"));
    assert!(is_task(target["Input"].as_str().unwrap().as_bytes()), "the processor looks for silence");
    let permission = find("SilenceRuleInvokesProcessor");
    assert_eq!(permission["FunctionName"].as_str(), Some("ProcessorAlias"));
    assert_eq!(permission["Principal"].as_str(), Some("events.amazonaws.com"));
    assert_eq!(permission["SourceArn"].as_str(), Some("SilenceRule.Arn"));

    let all = alarms();
    let alarm = |name: &str| all.iter().find(|(one, _)| one == name).unwrap().1["Properties"].clone();
    let silence = alarm("SilenceAlarm");
    let query = silence["Metrics"][0]["Expression"].as_str().unwrap();
    assert!(query.ends_with("WHERE environment = '${EnvironmentSuffix}' GROUP BY endpoint"), "{query}");
    let unchecked = alarm("SilenceUncheckedAlarm");
    assert_eq!(unchecked["Statistic"].as_str(), Some("SampleCount"));
    assert_eq!(unchecked["ComparisonOperator"].as_str(), Some("LessThanThreshold"));
    for alarm in [silence, unchecked] {
        let number = |name: &str| alarm[name].as_i64().unwrap();
        let period = alarm["Period"].as_i64().or(alarm["Metrics"][0]["Period"].as_i64()).unwrap();
        assert_eq!(period, 3_600, "a run an hour");
        assert!((2..=3).contains(&number("EvaluationPeriods")), "a late run is no gap; three hours at most");
        assert!(alarm["OKActions"][0].as_str().unwrap().ends_with(":tollgate-alarms-${EnvironmentSuffix}"));
    }
}

/// What is missing is told for a day, and so is where nobody has looked.
#[test]
fn what_is_reconciled_once_a_day_is_told_until_the_next_run() {
    let platform = resources("infra/tollgate.yaml");
    let find = |name: &str| platform.iter().find(|(one, _)| one == name).unwrap().1.clone();
    let rule = find("ReconcileRule");
    assert_eq!(rule["Condition"].as_str(), Some("Reconciles"), "nobody is asked unless somebody wants it");
    let expression = rule["Properties"]["ScheduleExpression"].as_str();
    assert_eq!(expression, Some("cron(17 ${ReconcileHour} * * ? *)"), "once a day");
    let target = &rule["Properties"]["Targets"][0];
    assert_eq!(target["Arn"].as_str(), Some("ReconcilerAlias"));
    assert_eq!(daily::task(target["Input"].as_str().unwrap()).unwrap(), None, "the providers themselves");
    let permission = find("ReconcileRuleInvokesReconciler");
    assert_eq!(permission["Condition"].as_str(), Some("Reconciles"));
    assert_eq!(permission["Properties"]["FunctionName"].as_str(), Some("ReconcilerAlias"));
    assert_eq!(permission["Properties"]["SourceArn"].as_str(), Some("ReconcileRule.Arn"));
    for template in ["infra/tollgate.yaml", "infra/monitoring.yaml"] {
        let parameters = section(template, "Parameters");
        let (_, hour) = parameters.iter().find(|(name, _)| name == "ReconcileHour").unwrap();
        assert_eq!(hour["Default"].as_str(), Some(""), "{template}: off unless somebody wants it");
    }

    let all = alarms();
    for (name, metric, comparison, hours, needed) in [
        ("ReconciliationMissingAlarm", "missing", "GreaterThanThreshold", 24, 1),
        ("ReconciliationUnfinishedAlarm", "finished", "LessThanThreshold", 26, 26),
    ] {
        let alarm = &all.iter().find(|(one, _)| one == name).unwrap().1["Properties"];
        let number = |name: &str| alarm[name].as_i64().unwrap();
        assert_eq!(alarm["MetricName"].as_str(), Some(metric));
        assert_eq!(alarm["ComparisonOperator"].as_str(), Some(comparison));
        assert_eq!(alarm["Statistic"].as_str(), Some("Maximum"));
        assert_eq!(number("Period") * number("EvaluationPeriods"), hours * 3_600, "{name}");
        assert_eq!(number("DatapointsToAlarm"), needed, "{name}");
        assert!(alarm["OKActions"][0].as_str().unwrap().ends_with(":tollgate-alarms-${EnvironmentSuffix}"));
    }
}

/// The processor reads what the validator writes.
#[test]
fn silence_is_found_in_the_metric_of_accepted_webhooks() {
    let by = ["endpoint", "outcome", "reason"].map(str::to_owned).into();
    assert!(emitted("validator").contains(&("webhooks".to_owned(), by)));
    let (writer, reader) = (read("crates/validator/src/handler.rs"), read("crates/aws/src/hearing.rs"));
    assert!(reader.contains(r#"const METRIC: &str = "webhooks";"#));
    assert!(reader.contains(r#"const OUTCOMES: [&str; 2] = ["accepted", "duplicate"];"#));
    for genuine in [r#"=> ("duplicate", "none")"#, r#"=> ("accepted", "none")"#] {
        assert!(writer.contains(genuine), "{genuine}");
    }
    let namespace = format!("const NAMESPACE: &str = \"{NAMESPACE}\";");
    assert!(reader.contains(&namespace) && read("crates/lambda/src/metrics.rs").contains(&namespace));
}

/// A queue that nobody reads grows old. It must not hide what else is red, and nobody is told before a consumer is there.
#[test]
fn a_queue_without_a_consumer_hides_nothing_and_tells_nobody() {
    let composites = of_type(&resources("infra/monitoring.yaml"), "AWS::CloudWatch::CompositeAlarm");
    let parameters = section("infra/monitoring.yaml", "Parameters");
    let consumed = Queue::ALL.iter().filter(|queue| matches!(queue.reader(), Reader::Consumer(_)));
    let mut found = 0;
    for queue in consumed {
        let logical = queue.logical();
        let own: Vec<_> = composites
            .iter()
            .filter(|(_, one)| {
                let rule = one["Properties"]["AlarmRule"].as_str().unwrap();
                ["Age", "Dlq"].iter().any(|kind| rule.contains(&format!("${{{logical}{kind}Alarm}}")))
            })
            .collect();
        assert_eq!(own.len(), 1, "{logical}");
        let properties = &own[0].1["Properties"];
        let rule = format!("ALARM(\"${{{logical}AgeAlarm}}\") OR ALARM(\"${{{logical}DlqAlarm}}\")");
        assert_eq!(properties["AlarmRule"].as_str(), Some(rule.as_str()));
        let parameter = format!("{logical}Consumed");
        assert_eq!(properties["ActionsEnabled"].as_str(), Some(parameter.as_str()));
        let (_, parameter) = parameters.iter().find(|(name, _)| *name == parameter).unwrap();
        assert_eq!(parameter["Default"].as_str(), Some("false"), "{logical}");
        found += 1;
    }
    assert!(found > 0);
    let always: Vec<_> =
        composites.iter().filter(|(_, one)| one["Properties"]["ActionsEnabled"].is_badvalue()).collect();
    assert_eq!(always.len() + found, composites.len(), "no other composite can be switched off");
}

/// Whatever the processor quarantines says why, and what to do then is in the runbook.
#[test]
fn every_reason_for_a_quarantine_is_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let sources: Vec<String> = ["crates/pipeline/src/process", "crates/pipeline/src/process/steps"]
        .into_iter()
        .flat_map(|folder| {
            let files = fs::read_dir(root().join(folder)).unwrap();
            let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            let source = move |name: String| read(&format!("{folder}/{name}"));
            // Not the reasons that unit tests make up.
            let code = |source: String| source.split("#[cfg(test)]").next().unwrap().to_owned();
            names.filter(|name| name.ends_with(".rs")).map(source).map(code)
        })
        .collect();
    let mut found = 0;
    let beginnings =
        ["oison(\"", "retry(\"", "Retry(\"", "_unavailable\", \"", "REFUSED: &str = \"", "Reason = \""];
    for before in beginnings {
        for after in sources.iter().flat_map(|source| source.split(before).skip(1)) {
            let (reason, _) = after.split_once('"').unwrap();
            assert!(runbook.contains(&format!("`{reason}`")), "{reason}");
            found += 1;
        }
    }
    assert!(found >= 10, "the sources are read as they are written: {found}");
}

/// CloudWatch may publish to the alarms' topic, which needs no key: an alarm of the key must arrive.
#[test]
fn alarms_reach_their_topic() {
    let platform = resources("infra/tollgate.yaml");
    let find = |name: &str| platform.iter().find(|(one, _)| one == name).unwrap().1["Properties"].clone();
    let may = |policy: &Yaml, action: &str| {
        policy["Statement"].as_vec().unwrap().iter().any(|statement| {
            let actions = &statement["Action"];
            let is = |one: &Yaml| one.as_str() == Some(action);
            statement["Effect"].as_str() == Some("Allow")
                && statement["Principal"]["Service"].as_str() == Some("cloudwatch.amazonaws.com")
                && (is(actions) || actions.as_vec().is_some_and(|all| all.iter().any(is)))
        })
    };
    assert!(may(&find("AlarmsPolicy")["PolicyDocument"], "sns:Publish"));
    assert!(find("Alarms")["KmsMasterKeyId"].is_badvalue());
    assert!(!may(&find("AlertsPolicy")["PolicyDocument"], "sns:Publish"), "alarms have a topic of their own");
}

#[test]
fn alarms_and_dashboard_name_metrics_that_the_code_emits() {
    let emitted: BTreeSet<Metric> = ["validator", "processor", "archival", "fraud-detector", "reconciler"]
        .into_iter()
        .flat_map(|function| {
            emitted(function).into_iter().map(move |(name, by)| (function.to_owned(), name, by))
        })
        .collect();
    let mut used: Vec<Metric> = Vec::new();
    let mut queries: Vec<(&str, String)> = Vec::new();
    for (name, alarm) in alarms() {
        for (namespace, name, dimensions) in watched(&alarm) {
            if namespace == NAMESPACE {
                used.push(metric(name, dimensions));
            }
        }
        let query = alarm["Properties"]["Metrics"][0]["Expression"].as_str();
        if let Some(query) = query.and_then(|text| text.strip_prefix("SELECT MAX(")) {
            assert_eq!(name, "SilenceAlarm");
            queries.push(("processor", query.to_owned()));
        }
    }
    let widgets = dashboard();
    for line in
        widgets.iter().flat_map(|widget| widget["properties"]["metrics"].as_array().into_iter().flatten())
    {
        let words: Vec<String> =
            line.as_array().unwrap().iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        if words.first().is_some_and(|namespace| namespace == "Tollgate") {
            let dimensions = words[2..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            used.push(metric(words[1].clone(), dimensions));
        } else if let Some(query) =
            line[0]["expression"].as_str().and_then(|text| text.strip_prefix("SELECT SUM("))
        {
            queries.push(("validator", query.to_owned()));
        }
    }
    assert!(queries.len() > 1, "{queries:?}");
    for (function, query) in queries {
        let (name, rest) = query.split_once(')').unwrap();
        let (_, schema) = rest.split_once("SCHEMA(\"Tollgate\", ").unwrap();
        let names = schema.split_once(')').unwrap().0.split(", ").map(|name| name.trim_matches('"'));
        let by = names.filter(|one| !["environment", "function"].contains(one)).map(str::to_owned).collect();
        used.push((function.to_owned(), name.to_owned(), by));
    }
    assert!(used.len() > 20, "{} uses found", used.len());
    for one in used {
        assert!(emitted.contains(&one), "nobody emits {one:?}; what is: {emitted:#?}");
    }
}

fn metric(name: String, dimensions: Vec<Dimension>) -> Metric {
    assert_eq!(dimensions[0].0, "environment");
    assert_eq!(dimensions[1].0, "function");
    let function = dimensions[1].1.clone();
    let source = read(&format!("crates/{function}/src/handler.rs"));
    for (name, value) in &dimensions[2..] {
        assert!(source.contains(&format!("\"{value}\"")), "{function} knows no {name} {value}");
    }
    (function, name, dimensions[2..].iter().map(|(name, _)| name.clone()).collect())
}

#[test]
fn the_dashboard_shows_each_of_its_subjects() {
    let widgets = dashboard();
    assert!(widgets.len() >= 8, "{} widgets", widgets.len());
    let text = serde_json::to_string(&widgets).unwrap();
    for subject in [
        "\"Invocations\"",
        "\"Duration\"",
        "\"Errors\"",
        "\"ConsumedWriteCapacityUnits\"",
        "\"ReadThrottleEvents\"",
        "\"ExecutionsStarted\"",
        "HttpRequests",
        "HttpRefused",
        "HttpFailed",
        "HttpLatency",
        "MetricName=\\\"Invocations",
        "MetricName=\\\"FailedInvocations",
        "\"NumberOfMessagesPublished\"",
        "\"ApproximateNumberOfMessagesVisible\"",
        "\"ApproximateAgeOfOldestMessage\"",
        "GROUP BY outcome",
        "GROUP BY reason",
        "\"cold_starts\"",
    ] {
        assert!(text.contains(subject), "{subject}");
    }
    let mut places = BTreeSet::new();
    for widget in &widgets {
        assert!(places.insert((widget["x"].as_u64().unwrap(), widget["y"].as_u64().unwrap())), "{widget}");
    }
    let status = widgets.iter().find(|widget| widget["type"] == "alarm").unwrap();
    let shown = status["properties"]["alarms"].as_array().unwrap();
    let shown: BTreeSet<String> =
        shown.iter().map(|arn| arn.as_str().unwrap().rsplit(':').next().unwrap().to_owned()).collect();
    let composites = of_type(&resources("infra/monitoring.yaml"), "AWS::CloudWatch::CompositeAlarm");
    let all = names(&alarms(), "AlarmName").into_iter().chain(names(&composites, "AlarmName")).collect();
    assert_eq!(shown, all);
}

fn dashboard() -> Vec<Value> {
    let all = resources("infra/monitoring.yaml");
    let boards = of_type(&all, "AWS::CloudWatch::Dashboard");
    let properties = &boards[0].1["Properties"];
    assert_eq!(properties["DashboardName"].as_str(), Some("transaction-metrics-${EnvironmentSuffix}"));
    let body = properties["DashboardBody"][0].as_str().unwrap();
    let body: Value = serde_json::from_str(&body.replace("${HttpDimensions}", "\"ApiName\", \"x\"")).unwrap();
    body["widgets"].as_array().unwrap().clone()
}

/// What a function's handler hands to `Metrics::emit`, read from its source: each metric with its further dimensions.
fn emitted(function: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let source = read(&format!("crates/{function}/src/handler.rs"));
    assert!(read("crates/lambda/src/metrics.rs").contains(r#"&[(&[], &[("cold_starts", Unit::Count, 1)])]"#));
    let mut found = BTreeSet::from([("cold_starts".to_owned(), BTreeSet::new())]);
    let calls: Vec<&str> = source.split("metrics.emit(").skip(1).collect();
    assert!(!calls.is_empty(), "{function}");
    for call in calls {
        found.extend(emitted_by(&call.split_once(");").unwrap().0.split_whitespace().collect::<String>()));
    }
    found
}

/// The same of one call, without its white space.
fn emitted_by(call: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let mut found = BTreeSet::new();
    let mut dimensions = BTreeSet::new();
    let mut in_metrics = false;
    for (index, _) in call.match_indices(['"', '&']) {
        let (before, rest) = call.split_at(index);
        if rest.starts_with("&[],") {
            dimensions.clear();
            in_metrics = false;
        } else if let Some((name, after)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            if !before.ends_with('(') {
                continue;
            }
            if before.ends_with("count(") || after.starts_with(",Unit::") {
                found.insert((name.to_owned(), dimensions.clone()));
                in_metrics = true;
            } else {
                if in_metrics {
                    dimensions.clear();
                    in_metrics = false;
                }
                dimensions.insert(name.to_owned());
            }
        }
    }
    found
}
