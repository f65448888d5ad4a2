//! `export`: what a job found, in the form of another program, on standard output.

use std::io::{IsTerminal, Write};
use std::process::Command;

use clap::{Args, ValueEnum};
use firstbad_api::limits::ARTEFACT_BYTES;

use crate::args::Common;
use crate::client::{self, Client};
use crate::fail::{Done, Fail};
use crate::text;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Number or page address of the job.
    pub job: String,
    #[arg(long, value_enum)]
    pub format: Format,
    /// Whose mail it will be, for report and eml [default: what git knows of you].
    #[arg(long, value_name = "NAME <ADDRESS>")]
    pub from: Option<String>,
    /// What KCIDB calls who sends, for kcidb.
    #[arg(long, value_name = "NAME", default_value = "firstbad")]
    pub origin: String,
    /// Which metric, for metrics-csv [default: the one that the job looks at].
    #[arg(long, value_name = "NAME", default_value = "")]
    pub metric: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The mail as a text.
    Report,
    /// The mail as a file for a mail program, or `git send-email`.
    Eml,
    /// What `git bisect replay` takes.
    BisectLog,
    /// KCIDB's JSON, schema 5.3.
    Kcidb,
    /// JUnit's XML.
    Junit,
    /// One metric, a line a run.
    MetricsCsv,
}

pub async fn run(common: &Common, args: &ExportArgs) -> Done {
    let client = Client::new(common, Some(&args.job))?;
    let id = client::id(&args.job, "jobs")?;
    let bytes = client.bytes(&path(args, id), ARTEFACT_BYTES).await?;
    let mut out = std::io::stdout().lock();
    let written = match out.is_terminal() {
        // A terminal obeys some bytes.
        true => {
            let said = String::from_utf8_lossy(&bytes);
            writeln!(out, "{}", text::lines(&said).trim_end())
        }
        false => out.write_all(&bytes).and_then(|()| out.flush()),
    };
    written.map_err(|e| Fail::Infrastructure(format!("cannot write: {e}")))?;
    Ok(0)
}

fn path(args: &ExportArgs, id: i64) -> String {
    let from = || {
        let from = args.from.clone().or_else(known_to_git).unwrap_or_default();
        client::segment(&from)
    };
    let what = match args.format {
        Format::Report => format!("report?from={}", from()),
        Format::Eml => format!("report.eml?from={}", from()),
        Format::BisectLog => "bisect-log".to_owned(),
        Format::Kcidb => format!("kcidb?origin={}", client::segment(&args.origin)),
        Format::Junit => "junit".to_owned(),
        Format::MetricsCsv => format!("metric/csv?name={}", client::segment(&args.metric)),
    };
    format!("/api/v1/jobs/{id}/{what}")
}

/// Name and address as git puts them into commits.
fn known_to_git() -> Option<String> {
    let value = |key: &str| {
        let said = Command::new("git").args(["config", "--get", key]).output();
        let said = String::from_utf8(said.ok()?.stdout).ok()?;
        Some(said.trim().to_owned()).filter(|s| !s.is_empty())
    };
    Some(format!(
        "{} <{}>",
        value("user.name")?,
        value("user.email")?
    ))
}
