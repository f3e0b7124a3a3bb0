//! `tollgate doctor`: the checks of a platform, each with its remedy.

use std::{path::PathBuf, process::ExitCode};

use tollgate_operate::doctor::{self, CHECKS, Verdict};

use crate::{clock, endpoints, progress::progress, table::Table, target::Target};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also say how the environment's endpoints differ from those of this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also print what is well
    #[arg(long)]
    all: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let aws = args.target.connect().await?;
    let wanted = args.file.as_deref().map(|file| endpoints::of_file(file, aws.names.suffix())).transpose()?;
    let bar = progress(CHECKS as u64, "checks");
    let findings = doctor::examine(&aws, wanted.as_deref(), clock::now(), |_| bar.inc(1)).await;
    bar.finish_and_clear();
    if args.json {
        for finding in &findings {
            say!("{}", serde_json::to_string(finding)?);
        }
        return Ok(ExitCode::from(doctor::exit_code(&findings)));
    }
    let mut table = Table::new(["verdict", "check", "of", "found"]);
    let is_shown = |verdict| args.all || !matches!(verdict, Verdict::Ok | Verdict::LeftOut);
    for one in findings.iter().filter(|one| is_shown(one.verdict)) {
        let remedy = one.remedy.as_ref().map(|remedy| format!(" -> {remedy}")).unwrap_or_default();
        table.row([one.verdict.as_str(), one.check, one.of.as_str(), &format!("{}{remedy}", one.detail)]);
    }
    show!("{table}");
    let count = |verdict| findings.iter().filter(|one| one.verdict == verdict).count();
    say!(
        "\n{} ok, {} warnings, {} failures, {} could not be checked, {} left out",
        count(Verdict::Ok),
        count(Verdict::Warn),
        count(Verdict::Fail),
        count(Verdict::Unknown),
        count(Verdict::LeftOut)
    );
    Ok(ExitCode::from(doctor::exit_code(&findings)))
}
