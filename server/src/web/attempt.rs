//! The page of one attempt: what a worker did and what it saw.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::attempt::Attempt;
use firstbad_api::observation::{
    BootOutcome, BuildObservation, CaseResult, CaseStatus, CrashKind, RunEnd, RunInputs,
    TestObservation,
};
use firstbad_api::qemu;
use serde::Deserialize;

use super::chip::Chip;
use super::error::{Page, PageError, id, page};
use super::format::{self, shell};
use crate::db;
use crate::error::AppError;
use crate::picture::REVERTS;
use crate::state::App;

/// What the attempt saw, typed where it can be read.
enum Saw {
    Nothing,
    Build(BuildObservation),
    Test(Box<TestObservation>),
    /// An observation of another version, as JSON.
    Unknown(String),
}

impl Saw {
    fn read(attempt: &Attempt) -> Saw {
        let Some(value) = attempt.observation.clone() else {
            return Saw::Nothing;
        };
        let typed = match attempt.kind.as_str() {
            "build" => serde_json::from_value(value.clone()).map(Saw::Build),
            _ => serde_json::from_value(value.clone()).map(|t| Saw::Test(Box::new(t))),
        };
        typed.unwrap_or_else(|_| {
            Saw::Unknown(serde_json::to_string_pretty(&value).unwrap_or_default())
        })
    }
}

/// `attempt.html`.
#[derive(Template)]
#[template(path = "attempt.html")]
pub struct AttemptPage<'a> {
    attempt: &'a Attempt,
    /// Subject of the revision, when its tree is readable.
    subject: Option<String>,
    /// The job this page was opened from.
    job: Option<i64>,
    busy: bool,
    saw: Saw,
    /// Address of this server, as the reader reaches it.
    server: String,
    /// The commit that was taken back in this kernel.
    without: Option<String>,
}

impl<'a> AttemptPage<'a> {
    /// `job` only leads back to where the reader came from.
    pub fn new(attempt: &'a Attempt, subject: Option<String>, job: Option<i64>) -> AttemptPage<'a> {
        AttemptPage {
            busy: matches!(attempt.state.as_str(), "ready" | "leased"),
            saw: Saw::read(attempt),
            attempt,
            subject,
            job,
            server: String::new(),
            without: None,
        }
    }

    /// With the address under which the reader reaches the server.
    pub fn at(self, server: String) -> AttemptPage<'a> {
        AttemptPage { server, ..self }
    }

    /// Appended to links, so that the way back to the job stays.
    fn job_query(&self) -> String {
        let job = self.job.map(|job| format!("&job={job}"));
        job.unwrap_or_default()
    }

    fn is_failure(&self, status: &CaseStatus) -> bool {
        !matches!(status, CaseStatus::Pass | CaseStatus::Skip)
    }

    /// Why a case says nothing about the kernel.
    fn no_answer(&self, case: &CaseResult) -> Option<String> {
        let says_nothing = matches!(case.status, CaseStatus::Skip | CaseStatus::Broken);
        says_nothing.then(|| crate::judge::no_answer(case))
    }

    fn longest_ms(&self) -> i64 {
        let all = self.attempt.stages.iter().map(|s| s.duration_ms);
        all.max().unwrap_or(0).max(1)
    }

    fn share(&self, ms: &i64) -> i64 {
        (ms.max(&0) * 100 / self.longest_ms()).clamp(0, 100)
    }

    fn boot(&self, boot: &BootOutcome) -> &'static str {
        match boot {
            BootOutcome::Up => "It came up: the first process said hello.",
            BootOutcome::Crashed => "It crashed before the first process said hello.",
            BootOutcome::Silent => "It stayed silent until the boot deadline; no crash was seen.",
        }
    }

    fn boot_chip(&self, boot: &BootOutcome) -> Chip {
        match boot {
            BootOutcome::Up => Chip {
                class: "good",
                glyph: "✔",
                word: "up",
            },
            BootOutcome::Crashed => Chip {
                class: "bad",
                glyph: "✖",
                word: "crashed",
            },
            BootOutcome::Silent => Chip {
                class: "bad",
                glyph: "✖",
                word: "silent",
            },
        }
    }

    fn end(&self, end: &RunEnd) -> &'static str {
        match end {
            RunEnd::PowerOff => "Powered off in order after the last case.",
            RunEnd::SilentReboot => "Rebooted or powered off without a word.",
            RunEnd::Stopped => {
                "A program in the machine rebooted it or switched it off before the last case ended."
            }
            RunEnd::Panic => "Panicked.",
            RunEnd::Hang => "Hung: no byte on either port for the silence limit.",
            RunEnd::Deadline => "Still running at the deadline; stopped from outside.",
        }
    }

    fn crash_kind(&self, kind: &CrashKind) -> &'static str {
        match kind {
            CrashKind::Panic => "panic",
            CrashKind::Oops => "oops",
            CrashKind::Bug => "BUG",
            CrashKind::Warning => "WARNING",
            CrashKind::Kasan => "KASAN",
            CrashKind::HungTask => "hung task",
            CrashKind::Lockdep => "lockdep",
            CrashKind::Vfs => "VFS",
            CrashKind::Stall => "stall",
            CrashKind::Other => "other",
        }
    }

    /// Its files are stored, so that it can be had as an archive.
    fn reproducible(&self) -> bool {
        let has = |name: &str| self.attempt.artefacts.iter().any(|a| a.name == name);
        has(INITRAMFS_BASE) && has(INITRAMFS_RUN)
    }

    /// Fetches and runs it, for a shell.
    fn one_command(&self) -> String {
        let (id, server) = (self.attempt.id, &self.server);
        format!(
            "curl -sSf {server}/api/v1/attempts/{id}/reproduce.tar | tar x && firstbad-attempt-{id}/run.sh"
        )
    }

    fn replay(&self, run: &RunInputs) -> String {
        let words: Vec<String> = run.argv.iter().map(|word| shell(word)).collect();
        words.join(" ")
    }
}

/// Query of the page.
#[derive(Debug, Deserialize)]
pub(super) struct FromJob {
    job: Option<i64>,
}

/// Loads an attempt or says that there is none.
pub(super) async fn load(app: &App, text: &str) -> Result<Attempt, PageError> {
    let number = id(text, "Attempt")?;
    crate::view::attempt(app, number).await?.ok_or_else(|| {
        PageError::missing(
            &format!("Attempt {number}"),
            "Open it from the job it belongs to.",
        )
    })
}

/// `GET /attempts/{id}`.
pub(super) async fn show(
    State(app): State<App>,
    Path(text): Path<String>,
    Query(from): Query<FromJob>,
    headers: HeaderMap,
) -> Page {
    let attempt = load(&app, &text).await?;
    let subject = crate::view::subject(&app, &attempt.tree, &attempt.rev).await;
    let told = AttemptPage {
        without: without(&app, attempt.id, from.job).await?,
        ..AttemptPage::new(&attempt, subject, from.job)
    };
    let server = app.gate.url.clone();
    page(&told.at(server.unwrap_or_else(|| asked_at(&headers))))
}

async fn without(app: &App, attempt: i64, job: Option<i64>) -> Result<Option<String>, AppError> {
    let mut conn = app.pool.acquire().await?;
    Ok(db::attempt::without(&mut conn, attempt, job, REVERTS).await?)
}

/// The address that a request was sent to, as far as it says so: without a proxy there is no other.
fn asked_at(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let host = host.filter(|host| !host.is_empty() && host.chars().all(plain));
    format!("http://{}", host.unwrap_or("SERVER"))
}
