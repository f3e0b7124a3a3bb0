//! What a new operator and a new sender do first, as the documentation says it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tollgate_core::{EndpointId, LedgerKey};
use tollgate_e2e::Platform;
use tollgate_providers::{Headers, SignedWebhook};

use crate::tool::{self, program, said};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn platform_file(platform: &Platform) -> String {
    platform.setting("log_dir").replace("/logs", "/platform.json")
}

fn tollgate(platform: &Platform, arguments: &[&str]) -> Output {
    tool::tollgate(arguments).env("TOLLGATE_PLATFORM", platform_file(platform)).output().unwrap()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

/// The blocks of code of a page, each with its language.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut is_code = false;
    for line in page.lines() {
        match (line.strip_prefix("```"), is_code) {
            (Some(language), false) => {
                found.push((language.to_owned(), String::new()));
                is_code = true;
            }
            (Some(_), true) => is_code = false,
            (None, true) => {
                let block = &mut found.last_mut().unwrap().1;
                *block = format!("{block}{line}\n");
            }
            (None, false) => {}
        }
    }
    found
}

/// What a block prints, in a folder with what those before it wrote, and with their variables.
fn run(folder: &TempDir, language: &str, block: &str) -> String {
    let script = match language {
        "sh" => format!("set -e\n[ ! -f variables ] || . ./variables\n{block}\nexport -p > variables\n"),
        _ => format!(". ./variables\npython3 - <<'END_OF_BLOCK'\n{block}\nEND_OF_BLOCK\n"),
    };
    let output = Command::new("bash").arg("-c").arg(script).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{block}\n{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_page_for_senders_does_what_it_says() {
    let platform = Platform::open().await;
    let (endpoint, unique) = (platform.unique("shop"), platform.unique("order"));
    let page = std::fs::read_to_string(root().join("docs/senders.md")).unwrap();
    let replaced = |block: &str| {
        block
            .replace(".local/run/dev/platform.json", &platform_file(&platform))
            .replace("target/debug/tollgate", program("tollgate").to_str().unwrap())
            .replace("order-", &format!("{unique}-"))
            .replace("shop", &endpoint)
    };
    let blocks = blocks(&page);
    let of = |wanted: &str| -> Vec<String> {
        let blocks = blocks.iter().filter(|(language, _)| language == wanted);
        blocks.map(|(_, block)| replaced(block)).collect()
    };
    let (shell, python) = (of("sh"), of("python"));
    assert_eq!((shell.len(), python.len()), (2, 1), "a block that nobody runs");
    let folder = tempfile::tempdir().unwrap();
    let api = run(&folder, "sh", &shell[0]);
    assert!(api.trim_end().ends_with(platform.setting("api_url")), "{api}");
    let nothing = SignedWebhook { headers: Headers::new(), query: String::new(), body: Vec::new() };
    platform
        .until("the endpoint is known", async || {
            (platform.send(Some(&endpoint), &nothing).await.status == 401).then_some(())
        })
        .await;
    let ids = [1001, 1002].map(|number| format!("{unique}-{number}-paid"));
    for (block, language, id) in [(&shell[1], "sh", &ids[0]), (&python[0], "python", &ids[1])] {
        let first = run(&folder, language, block);
        assert!(
            first.contains("200") && first.contains("queued for processing") && first.contains(id.as_str()),
            "{first}"
        );
        if language == "python" {
            // A first try whose answer was lost.
            let again = run(&folder, language, &block.replace("int(time.time())", "int(time.time()) + 1"));
            assert!(again.contains("409") && again.contains("Duplicate event"), "{again}");
        }
    }
    // The file as it was: another one would hold another time.
    let again = run(&folder, "sh", shell[1].split_once("\nEND\n").unwrap().1);
    assert!(again.contains("409") && again.contains("Duplicate event"), "{again}");
    let keys = ids.map(|id| LedgerKey::new(&EndpointId::new(&endpoint).unwrap(), &id));
    platform.until_processed(&keys).await;
    for number in [1001, 1002] {
        let events = platform.recorded(&endpoint, &format!("{unique}-{number}")).await;
        let types: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(types, ["payment.succeeded"]);
    }
}

#[tokio::test]
async fn what_the_content_type_says_changes_no_answer() {
    let platform = Platform::open().await;
    let sender = platform.sender("acme").await;
    let types = [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "x/y",
        "",
    ];
    for (number, content_type) in types.into_iter().enumerate() {
        let id = platform.unique(&format!("type{number}"));
        let good = format!(
            r#"{{"event_id":"{id}","transaction_type":"payment","amount":1.5,"timestamp":"{}","note":"Zoë"}}"#,
            platform.now()
        );
        for (body, status) in [(good.as_str(), 200), ("{}", 400)] {
            let mut webhook = sender.sign("", body.as_bytes(), platform.now());
            webhook.headers.remove("Content-Type");
            if !content_type.is_empty() {
                webhook.headers.push("Content-Type", content_type);
            }
            let answer = platform.send(None, &webhook).await;
            assert_eq!(answer.status, status, "{content_type}: {body}");
        }
    }
}

#[tokio::test]
async fn every_mistake_is_told_and_what_is_hardly_meant_is_warned_of() {
    let platform = Platform::open().await;
    let (bad, odd) = (platform.unique("bad"), platform.unique("odd"));
    let custom = "[endpoints.scheme]\nname = \"relay\"\nsignature = { header = \"X-Relay\" }\nsigned = \"{body}\"\n\
                  algorithm = \"hmac-sha256\"\nencoding = \"hex\"\n";
    let wrong = file(&format!(
        "[[endpoints]]\nid = \"{bad}\"\nsecret = \"whsec_pasted\"\ndelivery = \"slow\"\nsetting = 1\nscheme = \"nobody\"\n"
    ));
    let output = tollgate(&platform, &["endpoints", "apply", path(&wrong)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for mistake in [": secret: ", ": delivery: ", ": setting: ", ": scheme: ", "4 mistakes"] {
        assert!(said(&output).contains(mistake), "{mistake}: {}", said(&output));
    }
    assert!(!said(&output).contains("whsec_"), "{}", said(&output));

    let row = |id: &str, more: &str| {
        format!(
            "[[endpoints]]\nid = \"{id}\"\nsecret = \"secretsmanager:tollgate/{{suffix}}/{id}\"\n{more}{custom}"
        )
    };
    let unread = file(&row(&odd, ""));
    let output = tollgate(&platform, &["endpoints", "apply", path(&unread), "--generate-secrets"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains(&format!("warning: endpoint {odd}: normaliser: nothing reads its bodies"))
    );
    let line = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find(|line| line.starts_with(&odd)).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let listed = line(&tollgate(&platform, &["endpoints", "list"]));
    assert!(listed.contains("warning: normaliser: "), "{listed}");

    // With one, the warning is gone, and the endpoint is still a provider's: its sender is told of no mistake.
    let read = file(&row(&odd, "normaliser = \"generic\"\n"));
    let output = tollgate(&platform, &["endpoints", "apply", path(&read)]);
    assert!(output.status.success() && !said(&output).contains("warning"), "{}", said(&output));
    assert!(line(&tollgate(&platform, &["endpoints", "list"])).ends_with(" ok"));
    let id = platform.unique("sent");
    let good = format!(
        r#"{{"event_id":"{id}","transaction_type":"payment","amount":1,"timestamp":"{}"}}"#,
        platform.now()
    );
    for (body, event) in [(good.as_str(), id.as_str()), ("{}", "sha256:")] {
        let body = file(body);
        let sent = platform
            .until("the endpoint is known", async || {
                let sent = tollgate(&platform, &["send", "--endpoint", &odd, "--body", path(&body)]);
                (!said(&sent).contains("404")).then_some(sent)
            })
            .await;
        assert!(said(&sent).starts_with("200  "), "{}", said(&sent));
        let wanted = if event == "sha256:" { "  event " } else { event };
        assert!(said(&sent).contains(wanted) && !said(&sent).contains("event -"), "{}", said(&sent));
    }
    assert!(tollgate(&platform, &["endpoints", "remove", &odd]).status.success());
}

#[tokio::test]
async fn a_row_that_was_asked_for_applies() {
    let platform = Platform::open().await;
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("endpoints.toml");
    let rows = rows.to_str().unwrap();
    let ids = ["flags", "asked"].map(|name| platform.unique(name));
    let new = ["endpoints", "new", &ids[0], "--file", rows, "--scheme", "custom"];
    let missing = tollgate(&platform, &new);
    assert_eq!(missing.status.code(), Some(1));
    assert!(said(&missing).contains("--signature-header must be given"), "{}", said(&missing));
    assert!(!Path::new(rows).exists(), "nothing is written");
    let options = ["--signature-header", "X-Shop", "--entry", "sha256={signature}"];
    let made = tollgate(&platform, &[&new[..], &options].concat());
    assert!(made.status.success(), "{}", said(&made));
    let again = tollgate(&platform, &[&new[..], &options].concat());
    assert!(again.status.code() == Some(1) && said(&again).contains("described twice"), "{}", said(&again));

    // On a terminal, which Python makes: a wrong answer, and then the usual ones.
    let answers = format!("No Name\\nstripe\\n{}\\n", ids[1]);
    let terminal = format!(
        "import os, pty, sys\n\
         child, terminal = pty.fork()\n\
         if child == 0:\n    os.execv(sys.argv[1], sys.argv[1:])\n\
         os.write(terminal, b\"{answers}\")\n\
         try:\n    while data := os.read(terminal, 4096): sys.stdout.buffer.write(data)\n\
         except OSError: pass\n\
         sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    );
    let asked = Command::new("python3")
        .args(["-c", &terminal])
        .arg(program("tollgate"))
        .args(["endpoints", "new", "--file", rows])
        .output()
        .unwrap();
    assert!(asked.status.success() && said(&asked).contains("Scheme: "), "{}", said(&asked));

    let applied = tollgate(&platform, &["endpoints", "apply", rows, "--generate-secrets"]);
    assert!(applied.status.success() && !said(&applied).contains("warning"), "{}", said(&applied));
    let listed = tollgate(&platform, &["endpoints", "list", "--json"]);
    let listed: Vec<Value> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |id: &str| listed.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    assert_eq!(of(&ids[0])["scheme"]["signature"]["entry"], "sha256={signature}");
    assert_eq!(of(&ids[0])["normaliser"], "generic");
    assert_eq!(of(&ids[1])["scheme"], "stripe");
    for id in &ids {
        assert!(tollgate(&platform, &["endpoints", "remove", id]).status.success());
    }
}
