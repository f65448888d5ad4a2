//! `submit` on a history that the server writes first: a patch series, or the way between two
//! configurations.

use std::path::PathBuf;

use clap::Args;
use firstbad_api::job::NewJob;
use firstbad_api::lease::ConfigBase;
use firstbad_api::limits;
use firstbad_api::tree::{CONFIG_PATH, History, NewConfigs, NewSeries};

use crate::args::SubmitArgs;
use crate::client::{Client, segment};
use crate::fail::Fail;
use crate::{input, text};

/// What the server is to write; it gives the ends of the search.
#[derive(Debug, Args)]
pub struct Asked {
    /// Search a patch series (`git format-patch --stdout`; `-`: standard input) on top of `--at`.
    #[arg(long, value_name = "FILE", requires = "at",
          conflicts_with_all = ["good", "bad", "bisect_log", "config_good"])]
    pub series: Option<PathBuf>,
    /// All patches as one commit.
    // Named again: clap asks for nothing that conflicts with what is there.
    #[arg(long, requires = "series", conflicts_with_all = ["good", "bad", "bisect_log"])]
    pub squash: bool,
    /// Search the options between two whole configurations of `--at`: this one is without the problem.
    #[arg(long, value_name = "FILE", requires = "at", requires = "config_bad",
          conflicts_with_all = ["good", "bad", "bisect_log", "config", "base", "config_in_tree"])]
    pub config_good: Option<PathBuf>,
    /// And this one is with it.
    #[arg(long, value_name = "FILE", requires = "config_good",
          conflicts_with_all = ["good", "bad", "bisect_log", "series"])]
    pub config_bad: Option<PathBuf>,
    /// The revision that the series applies to, or that is configured.
    #[arg(long, value_name = "REV", conflicts_with_all = ["good", "bad", "bisect_log"])]
    pub at: Option<String>,
}

/// What the server wrote.
pub struct Written {
    history: History,
    base: Option<ConfigBase>,
    title: String,
}

/// Asks the server to write what the command line wants written; `test` is what will be run.
pub async fn write(
    client: &Client,
    args: &SubmitArgs,
    test: &str,
) -> Result<Option<Written>, Fail> {
    let asked = &args.written;
    // Each of the files requires it.
    let at = asked.at.clone().unwrap_or_default();
    let path = |what: &str| format!("/api/v1/trees/{}/{what}", segment(&args.tree));
    if let Some(file) = &asked.series {
        let body = NewSeries {
            base: at.clone(),
            mbox: match file.as_os_str() == "-" {
                true => input::standard(limits::PATCH_BYTES)?,
                false => input::text(file, limits::PATCH_BYTES)?,
            },
            squash: asked.squash,
        };
        let history: History = client.post(&path("series"), &body, &[]).await?;
        let last = history.commits.last().map_or("", |c| c.subject.as_str());
        let title = match history.commits.len() {
            1 => format!("{test} with \"{last}\" on {at}"),
            n => format!("{test} in {n} patches on {at}, up to \"{last}\""),
        };
        return Ok(Some(Written {
            history,
            base: None,
            title,
        }));
    }
    let (Some(good), Some(bad)) = (&asked.config_good, &asked.config_bad) else {
        return Ok(None);
    };
    let body = NewConfigs {
        rev: at.clone(),
        good: input::text(good, limits::CONFIG_BYTES)?,
        bad: input::text(bad, limits::CONFIG_BYTES)?,
    };
    let history: History = client.post(&path("configs"), &body, &[]).await?;
    let n = history.commits.len();
    Ok(Some(Written {
        history,
        base: Some(ConfigBase::Tree(CONFIG_PATH.to_owned())),
        title: format!("{test} between two configurations of {at}, {n} steps apart"),
    }))
}

impl Written {
    /// Makes it what the job searches.
    pub fn put_into(&self, job: &mut NewJob) {
        job.good = vec![self.history.base.clone()];
        job.bad.clone_from(&self.history.tip);
        if let Some(base) = &self.base {
            job.config.base = Some(base.clone());
        }
        job.title.get_or_insert_with(|| self.title.clone());
    }

    /// One line for each commit.
    pub fn lines(&self) -> String {
        let line = |c: &firstbad_api::job::RevSubject| {
            let short = c.rev.get(..12).unwrap_or(&c.rev);
            format!("{} {}", text::line(short), text::line(&c.subject))
        };
        let lines: Vec<String> = self.history.commits.iter().map(line).collect();
        lines.join("\n")
    }
}
