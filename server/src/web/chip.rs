//! Chips: a state as colour, glyph and word together.
//!
//! Owns the vocabulary of states; the words are the ones of the help page.

use askama::Template;
use askama::filters::HtmlSafe;
use firstbad_api::attempt::Attempt;
use firstbad_api::job::{Candidate, CandidateTest, Check, Find, Job, Outcome};
use firstbad_api::list::Listed;
use firstbad_api::observation::CaseStatus;
use firstbad_api::survey::{Edge, Survey};

/// One state. `class` picks the colour, the glyph and the word say it without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Template)]
#[template(
    ext = "html",
    source = r#"<span class="chip {{ class }}"><span class="g" aria-hidden="true">{{ glyph }}</span> {{ word }}</span>"#
)]
pub struct Chip {
    /// CSS class: `good`, `bad`, `skip`, `weak`, `run`, `wait`, `warn` or `none`.
    pub class: &'static str,
    /// One character.
    pub glyph: &'static str,
    /// One to three words.
    pub word: &'static str,
}

// The inner template escapes its own fields.
impl HtmlSafe for Chip {}

/// A chip without its word, for many in a row; the word is read aloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Template)]
#[template(
    ext = "html",
    source = r#"<span class="chip glyph {{ class }}"><span aria-hidden="true">{{ glyph }}</span><span class="hidden">{{ word }}</span></span>"#
)]
pub struct Glyph {
    class: &'static str,
    glyph: &'static str,
    word: &'static str,
}

// The inner template escapes its own fields.
impl HtmlSafe for Glyph {}

const fn chip(class: &'static str, glyph: &'static str, word: &'static str) -> Chip {
    Chip { class, glyph, word }
}

/// U+FE0E keeps it a text glyph, so that it takes the chip's colour.
const PLAY: &str = "\u{25b6}\u{fe0e}";

impl Chip {
    /// The same without its word.
    pub fn small(self) -> Glyph {
        Glyph {
            class: self.class,
            glyph: self.glyph,
            word: self.word,
        }
    }

    /// The verdict on a revision or a run.
    pub fn verdict(verdict: &str, find: Find) -> Chip {
        match (verdict, find) {
            ("good", Find::Regression) => chip("good", "✔", "good"),
            ("bad", Find::Regression) => chip("bad", "✖", "bad"),
            ("good", Find::Fix) => chip("good", "✔", "gone"),
            ("bad", Find::Fix) => chip("bad", "✖", "present"),
            ("skip", _) => chip("skip", "⤼", "skip"),
            ("weak", _) => chip("weak", "≈", "weak"),
            ("running", _) => chip("run", PLAY, "running"),
            _ => chip("none", "·", "untested"),
        }
    }

    /// The verdict on a candidate; one whose first attempt no worker has taken yet is queued.
    pub fn candidate(candidate: &Candidate, find: Find) -> Chip {
        let waits = candidate.build_state == "ready" && candidate.tests.is_empty();
        if candidate.verdict == "running" && waits {
            Chip::queued()
        } else {
            Chip::verdict(&candidate.verdict, find)
        }
    }

    /// Where a survey stands.
    pub fn survey(survey: &Survey) -> Chip {
        match survey.state.as_str() {
            "done" => chip("good", "✔", "all run"),
            _ => chip("run", PLAY, "running"),
        }
    }

    /// A change between two releases.
    pub fn change(edge: &Edge) -> Chip {
        match edge.worse {
            true => chip("bad", "✘", "worse"),
            false => chip("good", "✔", "better"),
        }
    }

    /// Where a job stands, or how it ended.
    pub fn job(job: &Job) -> Chip {
        Chip::ended(job.outcome.as_ref().map(Outcome::name), &job.state)
    }

    /// The same of a job in the list.
    pub fn listed(job: &Listed) -> Chip {
        Chip::ended(job.outcome.as_deref(), &job.state)
    }

    /// By the name of the outcome, if there is one, and the state.
    pub fn ended(outcome: Option<&str>, state: &str) -> Chip {
        match (outcome, state) {
            (Some("culprit"), _) => chip("good", "✔", "culprit found"),
            (Some("range"), _) => chip("weak", "≈", "range left"),
            (Some("differs"), _) => chip("good", "✔", "the ends differ"),
            (Some("surveyed"), _) => chip("good", "✔", "surveyed"),
            (Some("not-reproduced"), _) => chip("skip", "∅", "not reproduced"),
            (Some("no-good-end"), _) => chip("skip", "∅", "no good release"),
            (Some("unresolved"), _) => chip("warn", "!", "unresolved"),
            (_, "cancelled") => chip("none", "◼", "cancelled"),
            (None, "queued") => Chip::queued(),
            (None, "running") => chip("run", PLAY, "running"),
            _ => chip("none", "·", "ended"),
        }
    }

    /// Work that waits for a worker.
    pub fn queued() -> Chip {
        chip("wait", "◷", "queued")
    }

    /// The state of an attempt.
    pub fn attempt(attempt: &Attempt) -> Chip {
        Chip::attempt_state(&attempt.state)
    }

    fn attempt_state(state: &str) -> Chip {
        match state {
            "ready" => Chip::queued(),
            "leased" => chip("run", PLAY, "running"),
            "done" => chip("none", "■", "finished"),
            "held" => chip("warn", "!", "held"),
            "failed" => chip("skip", "⤼", "failed"),
            "cancelled" => chip("none", "◼", "cancelled"),
            _ => chip("none", "·", "not started"),
        }
    }

    /// A candidate's build. A kernel that does not build is a skip, never bad.
    pub fn build(candidate: &Candidate) -> Chip {
        match candidate.build_state.as_str() {
            "done" => chip("good", "✔", "built"),
            "leased" => chip("run", PLAY, "building"),
            "failed" => chip("skip", "⤼", "does not build"),
            other => Chip::attempt_state(other),
        }
    }

    /// One run of a candidate.
    pub fn test(test: &CandidateTest, find: Find) -> Chip {
        if test.verdict.is_empty() {
            Chip::attempt_state(&test.state)
        } else {
            Chip::verdict(&test.verdict, find)
        }
    }

    /// How a case ended.
    pub fn case(status: CaseStatus) -> Chip {
        match status {
            CaseStatus::Pass => chip("good", "✔", "pass"),
            CaseStatus::Fail => chip("bad", "✖", "fail"),
            CaseStatus::Skip => chip("skip", "⤼", "skip"),
            CaseStatus::Timeout => chip("bad", "✖", "timeout"),
            CaseStatus::Broken => chip("warn", "!", "could not run"),
        }
    }

    /// A check of the verification: a bad end that is bad holds.
    pub fn check(check: &Check) -> Chip {
        if !check.made {
            chip("skip", "–", "not possible")
        } else if check.passed {
            chip("good", "✔", "holds")
        } else {
            chip("bad", "✖", "does not hold")
        }
    }

    /// A stage or a fetch that passed or did not.
    pub fn passed(passed: bool) -> Chip {
        if passed {
            chip("good", "✔", "passed")
        } else {
            chip("bad", "✖", "failed")
        }
    }

    /// What became of a stage of a worker; what it saw is another matter.
    pub fn stage(ended: bool) -> Chip {
        match ended {
            true => chip("none", "◼", "done"),
            false => chip("bad", "✖", "failed"),
        }
    }

    /// A worker's life sign.
    pub fn live(live: bool) -> Chip {
        if live {
            chip("good", "✔", "live")
        } else {
            chip("none", "◼", "gone")
        }
    }
}
