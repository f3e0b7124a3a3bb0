//! `tollgate completions` and `tollgate man`: written from the command line's own description, so that neither can be out of date.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that reads it
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Where tollgate.1 and a page of each command are written; made where it is not there
    folder: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, tool: Command) -> anyhow::Result<ExitCode> {
    show!("{}", script(args.shell, tool)?);
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell, mut tool: Command) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tool, "tollgate", &mut script);
    String::from_utf8(script).context("the script is no text")
}

pub(crate) fn man(args: &ManArgs, tool: Command) -> anyhow::Result<ExitCode> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("making {folder}"))?;
    clap_mangen::generate_to(tool, &args.folder).with_context(|| format!("writing to {folder}"))?;
    say!("tollgate.1 and a page of each command are in {folder}: man -l {folder}/tollgate.1");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Command};

    use clap::{CommandFactory, ValueEnum};

    use super::*;

    /// Every command with its parents' names before its own, and its options.
    fn commands() -> Vec<(Vec<String>, Vec<String>)> {
        fn collect(command: &clap::Command, parents: &[String], found: &mut Vec<(Vec<String>, Vec<String>)>) {
            let path = [parents, &[command.get_name().to_owned()]].concat();
            let options = command.get_arguments().filter(|one| !one.is_hide_set());
            found.push((path.clone(), options.filter_map(|one| one.get_long()).map(str::to_owned).collect()));
            command.get_subcommands().for_each(|one| collect(one, &path, found));
        }
        let mut found = Vec::new();
        collect(&crate::Cli::command(), &[], &mut found);
        found
    }

    #[test]
    fn every_shell_completes_every_command_and_option() {
        for shell in Shell::value_variants() {
            let script = script(*shell, crate::Cli::command()).unwrap();
            for (path, options) in commands() {
                for word in path.iter().chain(&options) {
                    assert!(script.contains(word), "{shell}: {path:?} {word}");
                }
            }
        }
    }

    #[test]
    fn a_shell_reads_its_script() {
        let ask = "COMP_WORDS=(tollgate endpoints app); COMP_CWORD=2; _tollgate tollgate app endpoints; echo ${COMPREPLY[@]}";
        // By a file: Linux takes no argument of 128 KiB (execve(2)).
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all((script(Shell::Bash, crate::Cli::command()).unwrap() + ask).as_bytes()).unwrap();
        let output = Command::new("bash").arg(file.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "apply\n", "{output:?}");
    }

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        man(&ManArgs { folder: folder.path().join("man1") }, crate::Cli::command()).unwrap();
        for (path, options) in commands() {
            let page = std::fs::read_to_string(folder.path().join(format!("man1/{}.1", path.join("-"))));
            let page = page.unwrap_or_else(|problem| panic!("{path:?}: {problem}"));
            for option in options {
                let written = option.replace('-', "\\-");
                assert!(page.contains(&format!("\\-\\-{written}")), "{path:?}: --{option}");
            }
        }
    }
}
