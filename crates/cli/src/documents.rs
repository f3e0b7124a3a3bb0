//! Every command that a document gives of this tool, read by the tool itself.

use std::{fs, path::Path};

use clap::{CommandFactory, Parser};

use crate::Cli;

/// Blocks of code and code within text, with the lines that a backslash or brackets continue put together.
fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            found.extend(words(line));
        } else {
            found.extend(line.split('`').skip(1).step_by(2).filter_map(words));
        }
    }
    found
}

/// The words behind the tool's name. Of a synopsis, what is in brackets counts, and of a choice its first.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let rest = ["tollgate ", "target/debug/tollgate ", "target/release/tollgate "]
        .iter()
        .find_map(|name| line.strip_prefix(name))?;
    let rest = rest.split(" #").next()?.replace(" - ", " stdin ").replace("$S", "dev");
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut skipped, mut depth) = (false, false, 0_usize);
    for c in rest.chars() {
        match c {
            '\'' => quoted = !quoted,
            c if quoted => word.push(c),
            '[' => depth += 1,
            ']' => (depth, skipped) = (depth.saturating_sub(1), false),
            '|' if depth > 0 => skipped = true,
            '|' | '>' | '<' | ';' | '&' => break,
            ' ' => words.push(std::mem::take(&mut word)),
            c if !skipped => word.push(c),
            _ => {}
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    // A page speaks of a command by its name, too.
    let is_whole = words.iter().any(|word| word.starts_with("--")) || words.len() > 2;
    is_whole.then_some(words)
}

#[test]
fn every_command_of_a_document_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files: Vec<_> = ["docs", "infra", "."]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        // What was a command once is in its history.
        .filter(|path| !path.ends_with("CHANGELOG.md"))
        .collect();
    files.sort();
    let mut read = 0;
    for file in files {
        for words in commands(&fs::read_to_string(&file).unwrap()) {
            let given = std::iter::once("tollgate".to_owned()).chain(words.clone());
            if let Err(problem) = Cli::try_parse_from(given) {
                panic!("{}: tollgate {}: {problem}", file.display(), words.join(" "));
            }
            read += 1;
        }
    }
    assert!(read > 25, "only {read} commands were found");
}

/// The names of all commands that take an argument.
fn with(argument: &str, command: &clap::Command, before: &str) -> Vec<String> {
    let mut found = Vec::new();
    for one in command.get_subcommands() {
        let name = format!("{before}{}", one.get_name());
        found.extend(with(argument, one, &format!("{name} ")));
        if one.get_arguments().any(|own| own.get_id() == argument) {
            found.push(name);
        }
    }
    found
}

/// Who looks for an act must know which commands leave one.
#[test]
fn the_page_names_the_commands_that_leave_records() {
    let recorded = with("reason", &Cli::command(), "");
    assert!(recorded.len() > 10, "{recorded:?}");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Who did what")).unwrap();
    let is_named = |name: &str| {
        let ends = ["`", " --"];
        ends.iter().any(|end| section.contains(&format!("`{name}{end}")))
    };
    for name in &recorded {
        assert!(is_named(name), "tollgate {name} takes a reason");
    }
    for name in ["endpoints apply", "endpoints rotate", "endpoints remove", "endpoints api-key"] {
        assert!(
            !is_named(name) && !recorded.iter().any(|one| one == name),
            "tollgate {name} leaves no record"
        );
    }
}

#[test]
fn a_command_that_is_none_is_noticed() {
    for (text, is_one) in [
        ("`tollgate dlq redrive --queue payments-queue-dlq --yes --reason mended`", true),
        ("```\n   tollgate dlq redrive [--all] [--rate 5 | --limit 3]\n```", true),
        ("```\ntarget/release/tollgate status --suffix $S | head\n```", true),
        ("`tollgate dlq redrive --rate 0`", false),
        ("`tollgate dlq redrive --yes`", false),
        ("```\ntollgate endpoints apply FILE \\\n  --no-such-option\n```", false),
    ] {
        let found = commands(text);
        assert_eq!(found.len(), 1, "{text}");
        let given = std::iter::once("tollgate".to_owned()).chain(found.into_iter().flatten());
        assert_eq!(Cli::try_parse_from(given).is_ok(), is_one, "{text}");
    }
}
