//! The list of jobs: what needs a person first; searched, narrowed and paged by its address alone.

use askama::Template;
use axum::extract::{Query, State};
use firstbad_api::list::{JobsQuery, Listed, OUTCOMES, SIGNALS, STATES, TEXT_CHARS};

use super::chart;
use super::chip::Chip;
use super::error::{Page, page};
use super::format;
use crate::access::Principal;
use crate::state::App;
use crate::view::Grouped;

/// Jobs of each group that are shown before one of them is asked for.
const EACH: usize = 20;

/// A heading with its jobs.
pub struct Group {
    pub title: &'static str,
    pub count: i64,
    pub jobs: Vec<Listed>,
    /// The address of more of them.
    pub more: Option<String>,
}

/// One box of the filters.
pub struct Select {
    pub name: &'static str,
    pub label: &'static str,
    /// Value, words, chosen.
    pub choices: Vec<(String, String, bool)>,
}

/// `jobs.html`.
#[derive(Template)]
#[template(path = "jobs.html")]
pub struct JobsPage {
    query: JobsQuery,
    selects: Vec<Select>,
    groups: Vec<Group>,
    /// Jobs that match.
    all: i64,
    busy: bool,
    signed_in: bool,
}

/// What the boxes offer: names that this server knows.
#[derive(Debug, Default)]
pub struct Known {
    pub trees: Vec<String>,
    pub suites: Vec<String>,
    pub signed_in: bool,
}

impl JobsPage {
    pub fn new(query: JobsQuery, found: Grouped, known: Known) -> JobsPage {
        let counts = found.counts;
        let groups = found.groups.into_iter().map(|(group, jobs, next)| Group {
            title: title(group),
            count: match group {
                "person" => counts.person,
                "now" => counts.now,
                _ => counts.answered,
            },
            more: next.map(|cursor| {
                let mut more = query.clone();
                more.group = group.to_owned();
                more.cursor = cursor;
                address(&more)
            }),
            jobs,
        });
        let groups: Vec<Group> = groups.collect();
        let busy = groups
            .iter()
            .flat_map(|g| &g.jobs)
            .any(|j| j.outcome.is_none());
        JobsPage {
            selects: selects(&query, &known),
            groups,
            all: counts.person + counts.now + counts.answered,
            busy,
            signed_in: known.signed_in,
            query,
        }
    }

    /// Whether anything is asked for besides everything.
    fn narrowed(&self) -> bool {
        !self.query.given().is_empty()
    }

    /// The same list from its beginning, with all groups.
    fn start(&self) -> Option<String> {
        let mut start = self.query.clone();
        (start.group, start.cursor) = Default::default();
        (start != self.query).then(|| address(&start))
    }
}

/// A group in words.
fn title(group: &str) -> &'static str {
    match group {
        "person" => "Needs a person",
        "now" => "Going on",
        _ => "Answered",
    }
}

/// The address of a list.
fn address(query: &JobsQuery) -> String {
    match query.encoded() {
        pairs if pairs.is_empty() => "/".to_owned(),
        pairs => format!("/?{pairs}"),
    }
}

fn selects(query: &JobsQuery, known: &Known) -> Vec<Select> {
    let words = |names: &[&str]| -> Vec<(String, String)> {
        let worded = names.iter().map(|name| (name.to_string(), worded(name)));
        worded.collect()
    };
    let same = |names: &[String]| names.iter().map(|n| (n.clone(), n.clone())).collect();
    let boxes = [
        ("state", "State", query.state.as_str(), words(&STATES)),
        ("outcome", "Outcome", &query.outcome, words(&OUTCOMES)),
        ("tree", "Tree", &query.tree, same(&known.trees)),
        ("suite", "Suite", &query.suite, same(&known.suites)),
        ("signal", "Signal", &query.signal, words(&SIGNALS)),
    ];
    let select = |(name, label, chosen, mut offered): (_, _, &str, Vec<(String, String)>)| {
        // What is asked for is offered, known or not.
        if !chosen.is_empty() && offered.iter().all(|(value, _)| value != chosen) {
            offered.push((chosen.to_owned(), chosen.to_owned()));
        }
        offered.insert(0, (String::new(), "any".to_owned()));
        let choice = |(value, word): (String, String)| {
            let is = value == chosen;
            (value, word, is)
        };
        Select {
            name,
            label,
            choices: offered.into_iter().map(choice).collect(),
        }
    };
    boxes.into_iter().map(select).collect()
}

/// A name of the wire in words.
fn worded(name: &str) -> String {
    match name {
        "done" => "ended".to_owned(),
        "culprit" => "culprit found".to_owned(),
        "range" => "range left".to_owned(),
        "differs" => "the ends differ".to_owned(),
        "failure" => "any failure".to_owned(),
        "cases" => "named cases".to_owned(),
        "no-good-end" => "no good release".to_owned(),
        other => other.replace('-', " "),
    }
}

/// `GET /`.
pub(super) async fn list(
    State(app): State<App>,
    who: Principal,
    Query(query): Query<JobsQuery>,
) -> Page {
    let found = crate::view::grouped(&app, &who, &query, EACH).await?;
    let trees = crate::view::trees(&app).await?;
    let suites = app.suites.names();
    let known = Known {
        trees: trees.into_iter().map(|tree| tree.name).collect(),
        suites: suites.map(str::to_owned).collect(),
        signed_in: !who.owner().is_empty(),
    };
    page(&JobsPage::new(query, found, known))
}
