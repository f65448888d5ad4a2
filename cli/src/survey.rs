//! `survey`: suites on a row of releases, and what changed between them.

use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use firstbad_api::job::Created;
use firstbad_api::lease::RunMode;
use firstbad_api::survey::{
    BisectEdge, Cell, Edge, Matrix, MoreReleases, NewSurvey, Row, Survey, What,
};

use crate::args::{Common, Mode};
use crate::client::{self, Client};
use crate::fail::Done;
use crate::show;
use crate::text::line;

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Subcommand)]
pub enum SurveyCommand {
    /// Run suites on releases.
    Run(Box<RunArgs>),
    /// Add releases; what was run is not run again.
    Extend {
        /// Number or page address of the survey.
        survey: String,
        #[arg(required = true, value_name = "REV")]
        releases: Vec<String>,
    },
    /// Print the matrix of a survey, or list all.
    Show {
        /// Number or page address of the survey.
        survey: Option<String>,
        /// Metrics that did not change too.
        #[arg(long)]
        all: bool,
        /// Print what the server answers.
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// For a spreadsheet.
        #[arg(long, requires = "survey")]
        csv: bool,
    },
    /// Find the release, or commit, that made a change.
    Bisect {
        /// Number or page address of the survey.
        survey: String,
        /// Number of the row, as `survey show` prints it.
        #[arg(long)]
        row: usize,
        /// Number of the column after the change, counted from 0.
        #[arg(long)]
        column: usize,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[arg(long)]
    tree: String,
    /// Tags or commits, oldest first.
    #[arg(long, required = true, num_args = 1.., value_name = "REV")]
    releases: Vec<String>,
    /// May be given again.
    #[arg(long = "suite", required = true, value_name = "AREA/NAME")]
    suites: Vec<String>,
    #[arg(long, value_enum, default_value_t = Mode::Exact)]
    mode: Mode,
    #[arg(long, default_value_t = 1)]
    vcpus: u32,
    /// Runs of each suite on each release.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    #[command(flatten)]
    config: crate::config::ConfigArgs,
    /// Look into so many changes without being asked, the largest first.
    #[arg(long, default_value_t = 0, value_name = "N")]
    bisect: u32,
    /// Only you and operators see the survey and its jobs.
    #[arg(long)]
    private: bool,
    #[arg(long)]
    title: Option<String>,
    /// Wait for the last run and print the matrix.
    #[arg(long)]
    wait: bool,
    /// Print what the server answers.
    #[arg(long)]
    json: bool,
}

pub async fn run(common: &Common, command: &SurveyCommand) -> Done {
    match command {
        SurveyCommand::Run(args) => begin(common, args).await,
        SurveyCommand::Extend { survey, releases } => {
            let client = Client::new(common, Some(survey))?;
            let id = client::id(survey, "surveys")?;
            let body = MoreReleases {
                releases: releases.clone(),
            };
            let path = format!("/api/v1/surveys/{id}/releases");
            let created: Created = client.post(&path, &body, &[]).await?;
            println!("survey {id}: {}", client.page(&created.url));
            Ok(0)
        }
        SurveyCommand::Show {
            survey: None, json, ..
        } => {
            let surveys: Vec<Survey> = Client::new(common, None)?.get("/api/v1/surveys").await?;
            if *json {
                return show::json(&surveys);
            }
            for survey in surveys {
                println!("{}  {}  {}", survey.id, survey.state, line(&survey.title));
            }
            Ok(0)
        }
        SurveyCommand::Show {
            survey: Some(survey),
            all,
            json,
            csv,
        } => {
            let client = Client::new(common, Some(survey))?;
            let id = client::id(survey, "surveys")?;
            if *csv {
                let text = client.text(&format!("/api/v1/surveys/{id}/csv")).await?;
                print!("{}", crate::text::lines(&text));
                return Ok(0);
            }
            let matrix: Matrix = client.get(&format!("/api/v1/surveys/{id}")).await?;
            print(&client, &matrix, *all, *json)
        }
        SurveyCommand::Bisect {
            survey,
            row,
            column,
        } => {
            let client = Client::new(common, Some(survey))?;
            let id = client::id(survey, "surveys")?;
            let body = BisectEdge {
                row: *row,
                column: *column,
            };
            let path = format!("/api/v1/surveys/{id}/bisect");
            let created: Created = client.post(&path, &body, &[]).await?;
            println!("job {}: {}", created.id, client.page(&created.url));
            Ok(0)
        }
    }
}

async fn begin(common: &Common, args: &RunArgs) -> Done {
    let body = NewSurvey {
        tree: args.tree.clone(),
        releases: args.releases.clone(),
        suites: args.suites.clone(),
        config: args.config.read()?,
        mode: match args.mode {
            Mode::Exact => RunMode::Exact,
            Mode::Real => RunMode::Real,
        },
        vcpus: args.vcpus,
        runs: args.runs,
        bisect: args.bisect,
        private: args.private,
        title: args.title.clone(),
    };
    let client = Client::new(common, None)?;
    let created: Created = client.post("/api/v1/surveys", &body, &[]).await?;
    let page = client.page(&created.url);
    if !args.wait {
        if args.json {
            return show::json(&created);
        }
        println!("survey {}: {page}", created.id);
        return Ok(0);
    }
    eprintln!("survey {}: {page}", created.id);
    let path = format!("/api/v1/surveys/{}", created.id);
    let mut before = String::new();
    loop {
        let asked = client.patiently(async || client.get(&path).await, |s| eprintln!("{s}"));
        let matrix: Matrix = asked.await?;
        if matrix.survey.state == "done" {
            return print(&client, &matrix, false, args.json);
        }
        let now = progress(&matrix);
        if now != before {
            eprintln!("{now}");
            before = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn progress(matrix: &Matrix) -> String {
    let cases = matrix.rows.iter().filter(|r| is_case(r));
    let cells: Vec<&Cell> = cases.flat_map(|r| &r.cells).collect();
    let open = cells.iter().filter(|c| matches!(c, Cell::Open)).count();
    format!("{} of {} cells filled", cells.len() - open, cells.len())
}

fn print(client: &Client, matrix: &Matrix, all: bool, json: bool) -> Done {
    if json {
        return show::json(matrix);
    }
    print!("{}", table(matrix, all));
    println!("{}", client.page(&format!("/surveys/{}", matrix.survey.id)));
    Ok(0)
}

fn is_case(row: &Row) -> bool {
    matches!(row.what, What::Case { .. })
}

fn is_told(row: &Row) -> bool {
    is_case(row) || row.edges.iter().any(|e| e.significant)
}

fn name(row: &Row) -> String {
    match &row.what {
        What::Case { case } => line(case),
        What::Metric { name, unit, .. } => format!("{} ({})", line(name), line(unit)),
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Open => "…".to_owned(),
        Cell::Nothing { .. } => "-".to_owned(),
        Cell::Runs { failed: 0, .. } => "ok".to_owned(),
        Cell::Runs { passed, failed, .. } => format!("FAIL {failed}/{}", passed + failed),
        Cell::Values { values, .. } => {
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            format!("{mean:.1}")
        }
    }
}

/// The matrix as text, then its changes.
fn table(matrix: &Matrix, all: bool) -> String {
    let heads = matrix.columns.iter().map(|c| line(&c.release));
    let heads: Vec<String> = std::iter::once(String::new()).chain(heads).collect();
    let mut lines = vec![heads];
    let rows = matrix.rows.iter().enumerate();
    let rows: Vec<(usize, &Row)> = rows.filter(|(_, r)| all || is_told(r)).collect();
    for (n, row) in &rows {
        let head = format!("{n:>3} {} {}", line(&row.suite), name(row));
        lines.push(
            std::iter::once(head)
                .chain(row.cells.iter().map(cell))
                .collect(),
        );
    }
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|l| l.get(column));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=matrix.columns.len()).map(width).collect();
    let mut out = String::new();
    for cells in &lines {
        for (column, cell) in cells.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0);
            let _ = match column {
                0 => write!(out, "{cell:<width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    let hidden = matrix.rows.len() - rows.len();
    if hidden > 0 {
        let _ = writeln!(out, "{hidden} metrics did not change: --all shows them");
    }
    changes(matrix, &mut out);
    out
}

fn changes(matrix: &Matrix, out: &mut String) {
    let release = |n: usize| {
        matrix
            .columns
            .get(n)
            .map_or(String::new(), |c| line(&c.release))
    };
    let rows = matrix.rows.iter().enumerate();
    let all: Vec<(usize, &Row, &Edge)> = rows
        .flat_map(|(n, r)| r.edges.iter().map(move |e| (n, r, e)))
        .filter(|(_, _, e)| e.significant)
        .collect();
    let _ = writeln!(out, "\nchanges: {}", all.len());
    for (n, row, edge) in all {
        let word = if edge.worse { "worse" } else { "better" };
        let noise = edge
            .noise
            .map_or(String::new(), |x| format!(", noise {:.2} %", x * 100.0));
        let _ = writeln!(
            out,
            "  row {n} column {}: {} {}: {} → {}: {word}, {}{noise}",
            edge.to,
            line(&row.suite),
            name(row),
            release(edge.from),
            release(edge.to),
            edge.text
        );
        if let Some(job) = edge.job {
            let found = edge.found.as_deref().unwrap_or_default();
            let _ = writeln!(out, "    job {job}: {}", line(found));
        }
    }
}
