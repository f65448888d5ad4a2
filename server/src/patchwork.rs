//! What a job says of a patch, in the words of Patchwork and of b4. Pure.

use firstbad_api::job::{Find, Outcome};
use serde_json::{Value, json};

use crate::view::outcome_sentence;

/// Names us among a patch's checks: `[-a-zA-Z0-9_]+` there.
const CONTEXT: &str = "firstbad";
/// Characters of a description that are sent.
const DESCRIPTION: usize = 250;

/// A job as far as it is told.
pub struct Told<'a> {
    pub title: &'a str,
    pub find: Find,
    pub outcome: Option<&'a Outcome>,
    pub retracted: bool,
}

/// The body of a check: `POST /api/patches/{id}/checks/`.
pub fn check(told: &Told) -> Value {
    let state = match (told.outcome, told.find) {
        _ if told.retracted => "warning",
        (None, _) => "pending",
        (Some(Outcome::Culprit { .. } | Outcome::Differs { .. }), Find::Fix) => "success",
        (Some(Outcome::NotReproduced { .. }), Find::Fix) => "fail",
        (Some(Outcome::NotReproduced { .. }), Find::Regression) => "success",
        (
            Some(Outcome::Culprit { .. } | Outcome::Range { .. } | Outcome::Differs { .. }),
            Find::Regression,
        ) => "fail",
        (Some(_), _) => "warning",
    };
    let said = match told.outcome {
        _ if told.retracted => "The result was taken back.".to_owned(),
        Some(outcome) => outcome_sentence(outcome, told.find),
        None => format!("Looking: {}", told.title),
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let description: String = said.chars().map(plain).take(DESCRIPTION).collect();
    json!({ "state": state, "context": CONTEXT, "description": description })
}

/// What a job says of one of the patches in its range: `pass`, `warn` or `fail`, and a sentence.
pub fn verdict(told: &Told, revs: &[String]) -> (&'static str, String) {
    let outcome = match told.outcome {
        _ if told.retracted => return ("warn", "The result was taken back.".to_owned()),
        None => return ("warn", "The job has not ended yet.".to_owned()),
        Some(outcome) => outcome,
    };
    let sentence = outcome_sentence(outcome, told.find);
    let is = |rev: &String| revs.contains(rev);
    let status = match (outcome, told.find) {
        (Outcome::Culprit { rev, .. }, Find::Regression) if is(rev) => "fail",
        (Outcome::Culprit { .. }, _) => "pass",
        (Outcome::Differs { .. }, Find::Regression) => "fail",
        (Outcome::Differs { .. }, Find::Fix) => "pass",
        (Outcome::NotReproduced { .. }, Find::Regression) => "pass",
        (Outcome::NotReproduced { .. }, Find::Fix) => "warn",
        // What is not among those left has passed.
        (Outcome::Range { candidates, .. }, Find::Regression)
            if !candidates.iter().any(|c| is(&c.rev)) =>
        {
            "pass"
        }
        _ => "warn",
    };
    (status, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn culprit(rev: &str) -> Outcome {
        Outcome::Culprit {
            rev: rev.to_owned(),
            subject: "s".to_owned(),
            author: "a".to_owned(),
            confidence: 0.999,
            checks: vec![],
            sides: vec![],
        }
    }

    #[test]
    fn a_patch_fails_when_it_is_to_blame_and_not_when_another_is() {
        let ours = ["ours".to_owned()];
        let none = || Outcome::NotReproduced {
            why: "w".to_owned(),
            checks: vec![],
        };
        for (outcome, find, state, status) in [
            (Some(culprit("ours")), Find::Regression, "fail", "fail"),
            (Some(culprit("other")), Find::Regression, "fail", "pass"),
            (Some(culprit("ours")), Find::Fix, "success", "pass"),
            (Some(none()), Find::Regression, "success", "pass"),
            (Some(none()), Find::Fix, "fail", "warn"),
            (
                Some(Outcome::Cancelled),
                Find::Regression,
                "warning",
                "warn",
            ),
            (None, Find::Regression, "pending", "warn"),
        ] {
            let told = Told {
                title: "t",
                find,
                outcome: outcome.as_ref(),
                retracted: false,
            };
            assert_eq!(check(&told)["state"], state, "{outcome:?}");
            assert_eq!(verdict(&told, &ours).0, status, "{outcome:?}");
            let back = Told {
                retracted: true,
                ..told
            };
            assert_eq!(check(&back)["state"], "warning");
            assert_eq!(verdict(&back, &ours).0, "warn");
        }
    }
}
