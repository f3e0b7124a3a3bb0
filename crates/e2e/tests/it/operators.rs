//! Several people change the endpoints of one environment with the operator's tool.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tollgate_e2e::Platform;

use crate::tool;

/// `tollgate`, of an environment whose names end in `suffix`.
fn tollgate(platform: &Platform, suffix: &str, arguments: &[&str]) -> Command {
    let mut command = tool::tollgate(arguments);
    let file = platform.setting("log_dir").replace("/logs", "/platform.json");
    command.env("TOLLGATE_PLATFORM", file).args(["--suffix", suffix]);
    command
}

fn done(mut command: Command) -> Output {
    command.output().expect("the tool is built")
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the tool is built")
}

fn all_done(commands: Vec<Command>) {
    let children: Vec<Child> = commands.into_iter().map(started).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// An endpoints file of one endpoint.
fn file(id: &str, more: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    let secret = "secretsmanager:tollgate/{suffix}/shared";
    let text = format!("[[endpoints]]\nid = \"{id}\"\nscheme = \"stripe\"\nsecret = \"{secret}\"\n{more}");
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// The endpoints whose name begins with `mark`, by name.
fn listed(platform: &Platform, suffix: &str, mark: &str) -> Vec<Value> {
    let output = done(tollgate(platform, suffix, &["endpoints", "list", "--json"]));
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let endpoints = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    endpoints.filter(|endpoint| endpoint["id"].as_str().unwrap().starts_with(mark)).collect()
}

#[tokio::test]
async fn two_operators_at_once_lose_nothing() {
    const ENDPOINTS: usize = 8;
    let platform = Platform::open().await;
    let (suffix, mark) = (platform.suffix(), platform.unique("operator"));
    let ids: Vec<String> = (0..ENDPOINTS).map(|number| format!("{mark}-{number}")).collect();
    let apply = |file: &NamedTempFile| {
        tollgate(&platform, suffix, &["endpoints", "apply", file.path().to_str().unwrap()])
    };
    let files: Vec<NamedTempFile> = ids.iter().map(|id| file(id, "")).collect();
    all_done(files.iter().map(apply).collect());
    let found = listed(&platform, suffix, &mark);
    assert_eq!(found.iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);

    // One removes half of them while another changes the other half.
    let files: Vec<NamedTempFile> = ids.iter().map(|id| file(id, "tolerance_seconds = 60\n")).collect();
    let commands = ids.iter().zip(&files).enumerate().map(|(number, (id, file))| match number % 2 {
        0 => tollgate(&platform, suffix, &["endpoints", "remove", id]),
        _ => apply(file),
    });
    all_done(commands.collect());
    let found = listed(&platform, suffix, &mark);
    assert_eq!(found.len(), ENDPOINTS / 2);
    assert!(found.iter().all(|endpoint| endpoint["tolerance_seconds"] == 60), "{found:?}");

    let gone = done(tollgate(&platform, suffix, &["endpoints", "remove", &ids[0]]));
    assert!(!gone.status.success(), "it was removed: {gone:?}");
    let rest = ids.iter().skip(1).step_by(2);
    all_done(rest.map(|id| tollgate(&platform, suffix, &["endpoints", "remove", id])).collect());
    assert_eq!(listed(&platform, suffix, &mark), [] as [Value; 0]);
}

/// An environment of another suffix, whose bucket is made while the tool waits for it.
#[tokio::test]
async fn endpoints_that_were_parameters_are_in_the_document_as_soon_as_there_is_a_bucket() {
    let platform = Platform::open().await;
    let unique = platform.unique("");
    let suffix = format!("m{}", &unique[unique.len() - 12..]);
    let ssm = aws_sdk_ssm::Client::new(platform.config());
    let put = async |id: &str, value: String| {
        let name = format!("/tollgate/{suffix}/endpoints/{id}");
        let kind = aws_sdk_ssm::types::ParameterType::String;
        ssm.put_parameter().name(name).value(value).r#type(kind).overwrite(true).send().await.unwrap();
    };
    let of = |id: &str| {
        json!({"id": id, "scheme": "stripe", "secret": format!("secretsmanager:tollgate/{suffix}/{id}")})
            .to_string()
    };
    for number in 0..12 {
        let id = format!("merchant-{number:02}");
        put(&id, of(&id)).await;
    }
    put("broken", "whsec_pasted".to_owned()).await;
    let refused = done(tollgate(&platform, &suffix, &["endpoints", "migrate"]));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("broken") && !said.contains("whsec"), "{said}");
    put("broken", of("broken")).await;

    let mut migrating = started(tollgate(&platform, &suffix, &["endpoints", "migrate"]));
    let mut lines = BufReader::new(migrating.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("waiting for the bucket"), "{first}");
    // Somebody changes and adds endpoints, with the version before, while it waits.
    put("merchant-11", of("merchant-11").replace('}', r#","tolerance_seconds":77}"#)).await;
    put("merchant-12", of("merchant-12")).await;
    let bucket = format!("tollgate-endpoints-{}-{suffix}", platform.setting("account_id"));
    platform.s3().create_bucket().bucket(&bucket).send().await.unwrap();
    let last = lines.next().unwrap().unwrap();
    assert!(migrating.wait().unwrap().success() && last.starts_with("14 of 14 "), "{last}");
    assert_eq!(listed(&platform, &suffix, "").len(), 14);
    assert_eq!(listed(&platform, &suffix, "merchant-11")[0]["tolerance_seconds"], 77);

    // Whoever has changed one since is not overruled.
    let file = file("merchant-00", "tolerance_seconds = 60\n");
    let apply = ["endpoints", "apply", file.path().to_str().unwrap()];
    assert!(done(tollgate(&platform, &suffix, &apply)).status.success());
    let again = done(tollgate(&platform, &suffix, &["endpoints", "migrate"]));
    assert!(again.stdout.starts_with(b"0 of 14 "), "{again:?}");
    assert_eq!(listed(&platform, &suffix, "merchant-00")[0]["tolerance_seconds"], 60);
}

/// A document of one endpoint would make the functions forget the others.
#[tokio::test]
async fn a_document_is_made_of_a_file_only_where_there_were_no_endpoints() {
    let platform = Platform::open().await;
    let unique = platform.unique("");
    let suffix = format!("n{}", &unique[unique.len() - 12..]);
    let bucket = format!("tollgate-endpoints-{}-{suffix}", platform.setting("account_id"));
    platform.s3().create_bucket().bucket(&bucket).send().await.unwrap();
    let ssm = aws_sdk_ssm::Client::new(platform.config());
    let former = format!("/tollgate/{suffix}/endpoints/before");
    let kind = aws_sdk_ssm::types::ParameterType::String;
    ssm.put_parameter().name(&former).value("{}").r#type(kind).send().await.unwrap();
    let (one, other) = (file("one", ""), file("other", ""));
    let apply = |file: &NamedTempFile, more: &[&str]| {
        let mut command =
            tollgate(&platform, &suffix, &["endpoints", "apply", file.path().to_str().unwrap()]);
        command.args(more);
        done(command)
    };
    let is_refused = async |output: Output, says: &str| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{output:?}");
        let there = platform.s3().list_objects_v2().bucket(&bucket).send().await.unwrap();
        assert_eq!(there.contents().len(), 0, "nothing is written");
    };
    is_refused(apply(&one, &["--new"]), "1 endpoints are SSM parameters").await;
    ssm.delete_parameter().name(&former).send().await.unwrap();
    is_refused(apply(&one, &[]), "say --new").await;
    is_refused(done(tollgate(&platform, &suffix, &["endpoints", "remove", "one"])), "no endpoints").await;

    assert!(apply(&one, &["--new"]).status.success());
    assert!(apply(&other, &[]).status.success());
    assert_eq!(listed(&platform, &suffix, "").len(), 2);
}

/// Whoever deleted it may have had a reason: somebody else has it.
#[tokio::test]
async fn a_key_of_what_is_retrieved_that_was_deleted_is_good_for_nothing_again() {
    let platform = Platform::open().await;
    let unique = platform.unique("");
    let suffix = format!("k{}", &unique[unique.len() - 12..]);
    let bucket = format!("tollgate-endpoints-{}-{suffix}", platform.setting("account_id"));
    platform.s3().create_bucket().bucket(&bucket).send().await.unwrap();
    let file = file("shop", "");
    let apply = ["endpoints", "apply", "--new", file.path().to_str().unwrap()];
    assert!(done(tollgate(&platform, &suffix, &apply)).status.success());
    let mut api_key = NamedTempFile::new().unwrap();
    api_key.write_all(b"rk_test_retrieved").unwrap();
    let api_key = api_key.path().to_str().unwrap();
    let store = || {
        let output =
            done(tollgate(&platform, &suffix, &["endpoints", "api-key", "shop", "--secret-file", api_key]));
        assert!(output.status.success(), "{output:?}");
        tool::said(&output)
    };
    let name = tollgate_pipeline::retrieved::key_name(&suffix);
    let manager = aws_sdk_secretsmanager::Client::new(platform.config());
    let value = async |stage: &str| {
        let value = manager.get_secret_value().secret_id(&name).version_stage(stage).send().await;
        value.unwrap().secret_string.unwrap()
    };

    assert!(store().contains(&format!("{name}: made\n")));
    let leaked = value("AWSCURRENT").await;
    assert!(!store().contains(&name), "it is there");
    assert_eq!(value("AWSCURRENT").await, leaked);
    manager.delete_secret().secret_id(&name).recovery_window_in_days(7).send().await.unwrap();
    let said = store();
    assert!(said.contains("made anew") && !said.contains(&leaked), "{said}");
    let now = value("AWSCURRENT").await;
    assert_ne!(now, leaked);
    assert_eq!(value("AWSPREVIOUS").await, now, "the one before verifies, too");
}
