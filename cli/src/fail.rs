//! How a command ends when it does not succeed: one sentence and an exit code.
//!
//! Owns the exit codes. Must not know HTTP beyond the shape of a problem.

use firstbad_api::job::Outcome;
use firstbad_api::problem::Problem;

/// The search named one commit.
pub const CULPRIT: u8 = 0;
/// The ends of the range do not differ.
pub const NOT_REPRODUCED: u8 = 1;
/// A range is left, the evidence contradicts itself, or the job was cancelled.
pub const INCONCLUSIVE: u8 = 2;
/// Our side failed: the server could not be reached for long, or broke.
pub const INFRASTRUCTURE: u8 = 3;

/// A failed command. The codes from 64 on are those of `sysexits.h`.
#[derive(Debug)]
pub enum Fail {
    /// 64: the command line is wrong.
    Usage(String),
    /// 65: the server refused the request's content.
    Data(String),
    /// 66: a file named on the command line cannot be read.
    NoInput(String),
    /// 69: no server answers.
    Unavailable(String),
    /// 3: see [`INFRASTRUCTURE`].
    Infrastructure(String),
}

/// Result of every command: the exit code, or why there is none.
pub type Done = Result<u8, Fail>;

impl Fail {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Fail::Usage(_) => 64,
            Fail::Data(_) => 65,
            Fail::NoInput(_) => 66,
            Fail::Unavailable(_) => 69,
            Fail::Infrastructure(_) => INFRASTRUCTURE,
        }
    }

    /// From a refusal of the server. The sentence names the field when the server did.
    pub fn from_problem(problem: &Problem) -> Fail {
        let detail = crate::text::line(&problem.detail);
        let field = problem.pointer.as_deref().map(field).unwrap_or_default();
        let root = field.split(['.', '[']).next().unwrap_or_default();
        let sentence = if detail.starts_with(root) {
            detail
        } else {
            format!("{field}: {detail}")
        };
        match problem.status {
            401 | 403 => Fail::Usage(format!(
                "{sentence} (name the token with --token-file or FIRSTBAD_TOKEN_FILE)"
            )),
            500.. => Fail::Infrastructure(sentence),
            _ => Fail::Data(sentence),
        }
    }
}

impl std::fmt::Display for Fail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fail::Usage(s)
            | Fail::Data(s)
            | Fail::NoInput(s)
            | Fail::Unavailable(s)
            | Fail::Infrastructure(s) => f.write_str(s),
        }
    }
}

/// `/good/0` → `good[0]`.
fn field(pointer: &str) -> String {
    let mut out = String::new();
    for part in crate::text::line(pointer).split('/').skip(1) {
        if !out.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(part);
        }
    }
    out
}

/// The exit code of a finished job.
pub fn outcome_code(outcome: Option<&Outcome>) -> u8 {
    match outcome {
        Some(Outcome::Culprit { .. } | Outcome::Differs { .. } | Outcome::Surveyed { .. }) => {
            CULPRIT
        }
        Some(Outcome::NotReproduced { .. } | Outcome::NoGoodEnd { .. }) => NOT_REPRODUCED,
        Some(Outcome::Range { .. } | Outcome::Unresolved { .. } | Outcome::Cancelled) | None => {
            INCONCLUSIVE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, pointer: Option<&str>) -> Problem {
        Problem {
            kind: "x".into(),
            title: "X".into(),
            status,
            detail: "no such reference".into(),
            pointer: pointer.map(String::from),
        }
    }

    #[test]
    fn a_refusal_names_the_field() {
        let fail = Fail::from_problem(&problem(422, Some("/good/0")));
        assert_eq!(fail.to_string(), "good[0]: no such reference");
        assert_eq!(fail.code(), 65);
        let fail = Fail::from_problem(&problem(422, Some("/config/fragment")));
        assert_eq!(fail.to_string(), "config.fragment: no such reference");
        let mut twice = problem(422, Some("/good/0"));
        twice.detail = "good[0] is not in the tree".into();
        let fail = Fail::from_problem(&twice);
        assert_eq!(fail.to_string(), "good[0] is not in the tree");
    }

    #[test]
    fn status_decides_the_code() {
        assert_eq!(Fail::from_problem(&problem(404, None)).code(), 65);
        assert_eq!(Fail::from_problem(&problem(401, None)).code(), 64);
        assert_eq!(Fail::from_problem(&problem(500, None)).code(), 3);
        assert_eq!(Fail::from_problem(&problem(503, None)).code(), 3);
    }

    #[test]
    fn outcomes_have_codes() {
        let culprit = Outcome::Culprit {
            rev: String::new(),
            subject: String::new(),
            author: String::new(),
            confidence: 1.0,
            checks: vec![],
            sides: vec![],
        };
        assert_eq!(outcome_code(Some(&culprit)), 0);
        let why = String::new();
        let not = Outcome::NotReproduced {
            why: why.clone(),
            checks: vec![],
        };
        assert_eq!(outcome_code(Some(&not)), 1);
        assert_eq!(outcome_code(Some(&Outcome::Unresolved { why })), 2);
        assert_eq!(outcome_code(Some(&Outcome::Cancelled)), 2);
        assert_eq!(outcome_code(None), 2);
    }
}
