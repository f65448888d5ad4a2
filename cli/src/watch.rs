//! `watch`: follows a job until it ends.
//!
//! Progress goes to standard error (one moving line on a terminal, plain lines
//! elsewhere), the result to standard output.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use firstbad_api::attempt::Attempt;
use firstbad_api::job::{Candidate, Job};
use rustix::termios;

use crate::args::{Common, JobArgs};
use crate::client::{self, Client};
use crate::fail::{self, Done};
use crate::{show, text};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The command.
pub async fn run(common: &Common, args: &JobArgs) -> Done {
    let client = Client::new(common, Some(&args.job))?;
    follow(&client, client::id(&args.job, "jobs")?, args.json).await
}

/// Follows a job; the exit code is that of its outcome.
pub async fn follow(client: &Client, id: i64, json: bool) -> Done {
    let mut screen = Screen::new();
    let mut seen = Seen::default();
    loop {
        let path = format!("/api/v1/jobs/{id}");
        let job: Job = client
            .patiently(async || client.get(&path).await, |s| screen.keep(s))
            .await
            .inspect_err(|_| screen.clear())?;
        for line in seen.news(&job) {
            screen.keep(&line);
        }
        if ended(&job) {
            screen.clear();
            if json {
                show::json(&job)?;
            } else {
                let page = client.page(&format!("/jobs/{id}"));
                println!("{}", show::job(&job, &page));
            }
            return Ok(match job.retracted {
                None => fail::outcome_code(job.outcome.as_ref()),
                Some(_) => fail::outcome_code(None),
            });
        }
        let doing = doing(client, &job).await;
        screen.status(&status(&job, &doing), &seen.since(&doing), job.eta_s);
        tokio::time::sleep(LOOK).await;
    }
}

fn ended(job: &Job) -> bool {
    job.outcome.is_some() || matches!(job.state.as_str(), "done" | "cancelled")
}

/// What runs now, such as `build 1a2b3c4d5e6f (configure)`.
async fn doing(client: &Client, job: &Job) -> Vec<String> {
    let mut out = Vec::new();
    for candidate in &job.candidates {
        let rev = text::short(&candidate.rev);
        for (attempt, what) in running(candidate) {
            let path = format!("/api/v1/attempts/{attempt}");
            let stage = client
                .get::<Attempt>(&path)
                .await
                .ok()
                .and_then(|a| a.stage);
            out.push(match stage {
                Some(stage) => format!("{what} {rev} ({})", text::line(&stage)),
                None => format!("{what} {rev}"),
            });
        }
    }
    out
}

/// The leased attempts of a candidate.
fn running(candidate: &Candidate) -> Vec<(i64, &'static str)> {
    let mut out = Vec::new();
    if candidate.build_state == "leased"
        && let Some(build) = candidate.build
    {
        out.push((build, "build"));
    }
    for test in candidate.tests.iter().filter(|t| t.state == "leased") {
        out.push((test.attempt, "test"));
    }
    out
}

/// The line without times: it changes only when something happened.
fn status(job: &Job, doing: &[String]) -> String {
    let mut out = format!(
        "step {} of ~{}, {} of {} left",
        job.step, job.steps, job.left, job.range.revisions
    );
    if doing.is_empty() {
        out.push_str(&format!(": {}", text::line(&job.sentence)));
    } else {
        out.push_str(&format!(": {}", doing.join(", ")));
    }
    out
}

/// What was already said.
#[derive(Default)]
struct Seen {
    range: String,
    verdicts: HashMap<String, String>,
    doing: Vec<String>,
    since: Option<Instant>,
}

impl Seen {
    /// Lines for what is new in `job`.
    fn news(&mut self, job: &Job) -> Vec<String> {
        let mut out = Vec::new();
        // A walk back over releases ends with a range.
        let range = show::range(&job.range);
        if self.range != range {
            out.push(format!("{}: {range}", text::line(&job.title)));
            self.range = range;
        }
        for candidate in &job.candidates {
            let verdict = candidate.verdict.as_str();
            if !matches!(verdict, "good" | "bad" | "skip") {
                continue;
            }
            let known = self.verdicts.insert(candidate.rev.clone(), verdict.into());
            if known.as_deref() != Some(verdict) {
                out.push(verdict_line(candidate));
            }
        }
        out
    }

    /// For how long the same thing has been done.
    fn since(&mut self, doing: &[String]) -> String {
        if self.doing != doing || self.since.is_none() {
            self.doing = doing.to_vec();
            self.since = Some(Instant::now());
        }
        let elapsed = self.since.map_or(0, |s| s.elapsed().as_secs());
        text::seconds(elapsed)
    }
}

fn verdict_line(candidate: &Candidate) -> String {
    let mut line = format!(
        "{:4}  {}  {}",
        candidate.verdict,
        text::short(&candidate.rev),
        text::cut(&text::line(&candidate.subject), 60)
    );
    if !candidate.why.is_empty() {
        line.push_str(&format!(
            "  ({})",
            text::cut(&text::line(&candidate.why), 120)
        ));
    }
    line
}

/// Standard error: a terminal, or a file.
struct Screen {
    terminal: bool,
    last: String,
}

impl Screen {
    fn new() -> Screen {
        Screen {
            terminal: termios::isatty(rustix::stdio::stderr()),
            last: String::new(),
        }
    }

    /// A line that stays.
    fn keep(&mut self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// The moving line; elsewhere a plain line when it changed.
    fn status(&mut self, line: &str, since: &str, eta: Option<u64>) {
        let eta = eta.map_or(String::new(), |s| {
            format!(", about {} to go", text::seconds(s))
        });
        if self.terminal {
            let width = termios::tcgetwinsize(rustix::stdio::stderr())
                .map_or(80, |size| usize::from(size.ws_col))
                .max(20);
            let line = text::cut(&format!("{line}, {since}{eta}"), width - 1);
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else if self.last != line {
            eprintln!("{line}{eta}");
        }
        self.last = line.to_string();
    }

    fn clear(&mut self) {
        if self.terminal && !self.last.is_empty() {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}
