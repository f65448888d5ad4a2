//! The pages of surveys: the list, and the matrix of one.

use askama::Template;
use axum::extract::{Path, Query, State};
use firstbad_api::survey::{Cell, Edge, Matrix, Row, Survey, What};
use serde::Deserialize;

use super::chip::Chip;
use super::error::{Page, PageError, page};
use super::format;
use crate::access::Principal;
use crate::scale::round;
use crate::state::App;
use crate::survey;

/// `surveys.html`.
#[derive(Template)]
#[template(path = "surveys.html")]
pub struct SurveysPage {
    pub surveys: Vec<Survey>,
}

/// `survey.html`.
#[derive(Template)]
#[template(path = "survey.html")]
pub struct SurveyPage {
    pub matrix: Matrix,
    /// Rows without a change are shown too.
    pub all: bool,
}

/// Query of a survey's page.
#[derive(Deserialize)]
pub struct Shown {
    #[serde(default)]
    all: Option<String>,
}

impl SurveyPage {
    fn running(&self) -> bool {
        self.matrix.survey.state == "running"
    }

    /// The rows of each suite that are shown, with their numbers.
    fn suites(&self) -> Vec<(&str, Vec<(usize, &Row)>)> {
        let mut suites: Vec<(&str, Vec<(usize, &Row)>)> = Vec::new();
        for (n, row) in self.matrix.rows.iter().enumerate() {
            if suites.last().is_none_or(|s| s.0 != row.suite) {
                suites.push((&row.suite, Vec::new()));
            }
            if let Some(last) = suites.last_mut()
                && (self.all || is_told(row))
            {
                last.1.push((n, row));
            }
        }
        suites
    }

    /// Rows that are not shown.
    fn hidden(&self) -> usize {
        match self.all {
            true => 0,
            false => self.matrix.rows.iter().filter(|r| !is_told(r)).count(),
        }
    }

    /// Significant changes with their rows and numbers, the largest of a kind first.
    fn changes(&self) -> Vec<(usize, &Row, &Edge)> {
        let rows = self.matrix.rows.iter().enumerate();
        let all = rows.flat_map(|(n, r)| r.edges.iter().map(move |e| (n, r, e)));
        let mut changes: Vec<_> = all.filter(|(_, _, e)| e.significant).collect();
        let size = |e: &Edge| e.change.map_or(f64::INFINITY, f64::abs);
        changes.sort_by(|a, b| size(b.2).total_cmp(&size(a.2)));
        changes
    }

    fn release(&self, column: usize) -> &str {
        let column = self.matrix.columns.get(column);
        column.map_or("", |c| short(&c.release))
    }

    /// Where a column is on the page of a metric.
    fn place(&self, column: usize) -> String {
        let column = self.matrix.columns.get(column);
        column.map_or_else(String::new, |c| format!("#r-{}", format::short(&c.rev)))
    }

    /// Whether a column's kernel comes from another compiler than the one before.
    fn other_compiler(&self, column: usize) -> bool {
        let of = |n: usize| self.matrix.columns.get(n)?.compiler.as_ref();
        let before = column.checked_sub(1).and_then(of);
        matches!((before, of(column)), (Some(a), Some(b)) if a != b)
    }

    /// What changed between the ends of a change besides the source.
    fn also(&self, edge: &Edge) -> String {
        let between = edge.from + 1..=edge.to;
        let compiler = between.clone().any(|n| self.other_compiler(n));
        let options = between.filter_map(|n| self.matrix.columns.get(n)?.options_changed);
        let options: usize = options.sum();
        let mut said = Vec::new();
        if compiler {
            said.push("the compiler".to_owned());
        }
        if options > 0 {
            said.push(format::count(options, "option"));
        }
        match said.is_empty() {
            true => "nothing known".to_owned(),
            false => said.join(", "),
        }
    }

    /// The command that looks into a change.
    fn command(&self, row: usize, edge: &Edge) -> String {
        let id = self.matrix.survey.id;
        format!(
            "firstbad survey bisect {id} --row {row} --column {}",
            edge.to
        )
    }
}

/// Cases always, metrics that moved.
fn is_told(row: &Row) -> bool {
    matches!(row.what, What::Case { .. }) || row.edges.iter().any(|e| e.significant)
}

/// `packaged/6.18.15` is `6.18.15` in the head of a column.
fn short(release: &str) -> &str {
    release.rsplit('/').next().unwrap_or(release)
}

/// `gcc (Debian 14.2.0-19) 14.2.0` is `14.2.0`.
fn version_of(compiler: &str) -> &str {
    compiler.rsplit(' ').next().unwrap_or(compiler)
}

fn name(what: &What) -> &str {
    match what {
        What::Case { case } => case,
        What::Metric { name, .. } => name,
    }
}

fn unit(what: &What) -> String {
    match what {
        What::Case { .. } => String::new(),
        What::Metric {
            unit,
            higher_is_better,
            ..
        } => {
            let better = if *higher_is_better { "higher" } else { "lower" };
            format!("{unit}, {better} is better")
        }
    }
}

/// The significant change that ends in a column.
fn edge_at(row: &Row, column: usize) -> Option<&Edge> {
    row.edges.iter().find(|e| e.to == column && e.significant)
}

fn mean(values: &[f64]) -> String {
    round(values.iter().sum::<f64>() / values.len().max(1) as f64)
}

/// Each value, for the title of a cell.
fn each(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|v| round(*v)).collect();
    format!("runs: {}", values.join(", "))
}

fn share(x: Option<f64>) -> String {
    x.map_or_else(|| "not known".to_owned(), |x| format!("{:.2} %", x * 100.0))
}

/// `GET /surveys`.
pub async fn list(State(app): State<App>, who: Principal) -> Page {
    let surveys = survey::list(&app, &who.sight()).await?;
    page(&SurveysPage { surveys })
}

/// `GET /surveys/{id}`.
pub async fn show(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Query(q): Query<Shown>,
) -> Page {
    let Some(matrix) = survey::load(&app, &who.sight(), id).await? else {
        return Err(PageError::missing(
            &format!("Survey {id}"),
            "All surveys are under Surveys.",
        ));
    };
    page(&SurveyPage {
        matrix,
        all: q.all.is_some(),
    })
}
