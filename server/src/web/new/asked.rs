//! The fields of the form for a new job, and the request that they mean.

use std::collections::BTreeMap;

use firstbad_api::bisect_log;
use firstbad_api::custom::{CustomKind, NAME, default_memory_mib, default_timeout_s};
use firstbad_api::job::{Find, NewJob, Signal};
use firstbad_api::lease::{ConfigBase, RunMode};
use firstbad_api::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The fields, as they were written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Asked {
    pub tree: String,
    pub good: String,
    pub bad: String,
    pub find: String,
    pub suite: String,
    pub cases: String,
    pub signal: String,
    pub crash: String,
    pub metric: String,
    pub threshold: String,
    pub base: String,
    pub fragment: String,
    pub mode: String,
    pub vcpus: String,
    pub shift: String,
    pub runs: String,
    pub confidence: String,
    pub seed: String,
    pub skip: String,
    pub paths: String,
    pub first_parent: Option<String>,
    pub bisect_log: String,
    pub title: String,
    pub private: Option<String>,
    /// A test of one's own in place of the suite: empty, `script` or `c`.
    pub own: String,
    pub own_name: String,
    pub own_text: String,
    pub fails_when: String,
    pub passes_when: String,
    pub timeout: String,
    pub memory: String,
    /// A whole `.config`.
    pub config: String,
    /// Applied to every candidate.
    pub fixup: String,
    /// A patch series, and what it applies to.
    pub mbox: String,
    pub at: String,
    pub selftests_from: String,
    /// `TREE@REV`.
    pub fstests: String,
    pub groups: String,
    pub exclude: String,
    pub two_point: Option<String>,
    pub every_flip: Option<String>,
    pub labels: String,
    pub priority: String,
    pub max_builds: String,
    pub max_vm_minutes: String,
    pub max_wall_minutes: String,
    /// Of the form that submits: sent twice, it is one job.
    #[serde(skip_serializing)]
    pub key: String,
}

/// What is wrong, and with which field.
pub struct Wrong {
    pub field: String,
    pub why: String,
}

impl Wrong {
    pub fn of(field: &str, why: impl Into<String>) -> Wrong {
        Wrong {
            field: field.to_owned(),
            why: why.into(),
        }
    }

    /// The API's word for a field is the form's, but for what the form has in fields of its own.
    pub fn from_problem(problem: Problem) -> Wrong {
        let pointer = problem.pointer.unwrap_or_default();
        let parts: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
        let field = match parts[..] {
            ["signal", "title", ..] => "crash",
            ["signal", "name", ..] => "metric",
            ["signal", "threshold", ..] => "threshold",
            ["config", "fragment", ..] => "fragment",
            ["config", "base", "file", ..] => "config",
            ["config", ..] => "base",
            ["custom", "name"] => "own_name",
            ["custom", "timeout_s"] => "timeout",
            ["custom", "memory_mib"] => "memory",
            ["custom", "patterns", pattern] => pattern,
            ["custom", ..] => "own_text",
            ["fixups", ..] => "fixup",
            ["base"] => "at",
            ["budget", "builds"] => "max_builds",
            ["budget", "vm_minutes"] => "max_vm_minutes",
            ["budget", ..] => "max_wall_minutes",
            [field, ..] => field,
            [] => "",
        };
        Wrong::of(field, problem.detail)
    }
}

/// A text with the line ends that it had before a browser sent it.
pub fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// A patch ends with a line.
pub fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

impl Asked {
    pub fn is_empty(&self) -> bool {
        [&self.bad, &self.bisect_log, &self.mbox]
            .iter()
            .all(|text| text.trim().is_empty())
    }

    /// The form that means a request; `None` when no form can.
    pub fn of(request: &NewJob) -> Option<Asked> {
        let more = request.survey || request.merge_first || !request.only.is_empty();
        if more || request.fixups.len() > 1 {
            return None;
        }
        let on = |set: bool| set.then(|| "on".to_owned());
        let (base, config) = match &request.config.base {
            None => ("", ""),
            Some(ConfigBase::Tinyconfig) => ("tinyconfig", ""),
            Some(ConfigBase::X8664Defconfig) => ("x86_64_defconfig", ""),
            Some(ConfigBase::File(text)) => ("", text.as_str()),
            Some(ConfigBase::Tree(_)) => return None,
        };
        let mut asked = Asked {
            tree: request.tree.clone(),
            good: request.good.join(" "),
            bad: request.bad.clone(),
            find: if request.find == Find::Fix { "fix" } else { "" }.to_owned(),
            suite: request.suite.clone(),
            cases: request.cases.join(" "),
            base: base.to_owned(),
            config: config.to_owned(),
            fragment: request.config.fragment.clone(),
            mode: if request.mode == RunMode::Real {
                "real"
            } else {
                ""
            }
            .to_owned(),
            vcpus: request.vcpus.to_string(),
            shift: request.shift.to_string(),
            runs: request.runs.to_string(),
            confidence: crate::view::percent(request.confidence),
            seed: request.seed.to_string(),
            skip: request.skip.join(" "),
            paths: request.paths.join(" "),
            first_parent: on(request.first_parent),
            two_point: on(request.two_point),
            every_flip: on(request.every_flip),
            fixup: request.fixups.concat(),
            selftests_from: request.selftests_from.clone().unwrap_or_default(),
            labels: request.labels.join(" "),
            ..Asked::default()
        };
        match &request.signal {
            Signal::Failure => {}
            Signal::Cases { .. } => return None,
            Signal::Crash { title } => {
                asked.signal = "crash".to_owned();
                asked.crash = title.clone();
            }
            Signal::Metric { name, threshold } => {
                asked.signal = "metric".to_owned();
                asked.metric = name.clone();
                asked.threshold = threshold.map(|t| t.to_string()).unwrap_or_default();
            }
        }
        if let Some(fstests) = &request.fstests {
            asked.fstests = format!("{}@{}", fstests.tree, fstests.rev);
            asked.exclude = fstests.exclude.join(" ");
        }
        if let Some(test) = &request.custom {
            asked.own = match test.kind {
                CustomKind::Script => "script",
                CustomKind::C => "c",
                CustomKind::Program => return None,
            }
            .to_owned();
            asked.own_name = test.name.clone();
            asked.own_text = test.content.clone();
            asked.timeout = test.timeout_s.to_string();
            asked.memory = test.memory_mib.to_string();
            asked.fails_when = test.patterns.fails_when.clone().unwrap_or_default();
            asked.passes_when = test.patterns.passes_when.clone().unwrap_or_default();
        }
        Some(asked)
    }

    /// Names of all fields.
    pub fn names() -> Vec<String> {
        match serde_json::to_value(Asked::default()) {
            Ok(Value::Object(fields)) => fields.into_iter().map(|(name, _)| name).collect(),
            _ => Vec::new(),
        }
    }

    /// All that was written, by field.
    pub fn fields(&self) -> Vec<(String, String)> {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => return Vec::new(),
        };
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) if name != "private" && !text.is_empty() => Some((name, text)),
            _ => None,
        });
        texts.collect()
    }

    /// The request that the form means.
    pub fn request(&self) -> Result<NewJob, Wrong> {
        let mut body = json!({
            "tree": self.tree.trim(),
            "good": words(&self.good),
            "bad": self.bad.trim(),
            "find": if self.find == "fix" { "fix" } else { "regression" },
            "suite": self.suite.trim(),
            "cases": words(&self.cases),
            "signal": self.signal()?,
            "mode": if self.mode == "real" { "real" } else { "exact" },
            "skip": words(&self.skip),
            "paths": words(&self.paths),
            "first_parent": self.first_parent.is_some(),
            "private": self.private.is_some(),
            "two_point": self.two_point.is_some(),
            "every_flip": self.every_flip.is_some(),
            "labels": words(&self.labels),
            "budget": {},
            "config": { "fragment": lines(&self.fragment) },
        });
        self.own_test(&mut body)?;
        self.take_fstests(&mut body)?;
        let mut set = |name: &str, value: Value| body[name] = value;
        if !self.fixup.trim().is_empty() {
            set("fixups", json!([ended(lines(&self.fixup))]));
        }
        if !self.selftests_from.trim().is_empty() {
            set("selftests_from", json!(self.selftests_from.trim()));
        }
        for (name, text) in [
            ("vcpus", &self.vcpus),
            ("shift", &self.shift),
            ("runs", &self.runs),
            ("seed", &self.seed),
        ] {
            if !text.trim().is_empty() {
                let number: u64 = number(name, text)?;
                set(name, json!(number));
            }
        }
        if !self.priority.is_empty() {
            set("priority", json!(self.priority));
        }
        for (field, name, text) in [
            ("max_builds", "builds", &self.max_builds),
            ("max_vm_minutes", "vm_minutes", &self.max_vm_minutes),
            ("max_wall_minutes", "wall_minutes", &self.max_wall_minutes),
        ] {
            if !text.trim().is_empty() {
                let number: u32 = number(field, text)?;
                body["budget"][name] = json!(number);
            }
        }
        if !self.confidence.trim().is_empty() {
            let percent: f64 = number("confidence", self.confidence.trim_end_matches(['%', ' ']))?;
            body["confidence"] = json!((percent * 1e4).round() / 1e6);
        }
        if !self.title.trim().is_empty() {
            body["title"] = json!(self.title.trim());
        }
        match self.base.as_str() {
            "tinyconfig" | "x86_64_defconfig" => body["config"]["base"] = json!(self.base),
            _ => {}
        }
        if !self.config.trim().is_empty() {
            body["config"]["base"] = json!({ "file": lines(&self.config) });
        }
        self.take_log(&mut body)?;
        serde_json::from_value(body).map_err(|e| Wrong::of("", e.to_string()))
    }

    /// A test of one's own takes the place of the suite.
    fn own_test(&self, body: &mut Value) -> Result<(), Wrong> {
        let (kind, name) = match self.own.as_str() {
            "script" => ("script", "test.sh"),
            "c" => ("c", "repro.c"),
            _ => return Ok(()),
        };
        let or = |text: &str, other: &str| match text.trim() {
            "" => other.to_owned(),
            text => text.to_owned(),
        };
        let timeout: u64 = number(
            "timeout",
            &or(&self.timeout, &default_timeout_s().to_string()),
        )?;
        let memory: u32 = number(
            "memory",
            &or(&self.memory, &default_memory_mib().to_string()),
        )?;
        let patterns: BTreeMap<&str, &str> = [
            ("fails_when", self.fails_when.trim()),
            ("passes_when", self.passes_when.trim()),
        ]
        .into_iter()
        .filter(|(_, pattern)| !pattern.is_empty())
        .collect();
        body["suite"] = json!(NAME);
        body["custom"] = json!({
            "kind": kind,
            "name": or(&self.own_name, name),
            "content": lines(&self.own_text),
            "timeout_s": timeout,
            "memory_mib": memory,
            "patterns": patterns,
        });
        Ok(())
    }

    fn take_fstests(&self, body: &mut Value) -> Result<(), Wrong> {
        if self.fstests.trim().is_empty() {
            return Ok(());
        }
        let Some((tree, rev)) = self.fstests.trim().split_once('@') else {
            let why = "fstests: use TREE@REVISION, such as fstests@v2026.01.05";
            return Err(Wrong::of("fstests", why));
        };
        body["fstests"] = json!({
            "tree": tree, "rev": rev, "groups": words(&self.groups), "exclude": words(&self.exclude),
        });
        Ok(())
    }

    fn signal(&self) -> Result<Value, Wrong> {
        Ok(match self.signal.as_str() {
            "crash" => json!({ "kind": "crash", "title": self.crash.trim() }),
            "metric" => {
                let mut signal = json!({ "kind": "metric", "name": self.metric.trim() });
                if !self.threshold.trim().is_empty() {
                    let threshold: f64 = number("threshold", &self.threshold)?;
                    signal["threshold"] = json!(threshold);
                }
                signal
            }
            _ => json!({ "kind": "failure" }),
        })
    }

    /// A bisection by hand that has begun: its ends are nearer than those of the form.
    fn take_log(&self, body: &mut Value) -> Result<(), Wrong> {
        if self.bisect_log.trim().is_empty() {
            return Ok(());
        }
        let stands =
            bisect_log::read(&self.bisect_log).map_err(|why| Wrong::of("bisect_log", why))?;
        body["bad"] = json!(stands.bad);
        body["good"] = json!(stands.good);
        let skip = words(&self.skip).into_iter().chain(stands.skip);
        body["skip"] = json!(skip.collect::<Vec<_>>());
        let paths = words(&self.paths).into_iter().chain(stands.paths);
        body["paths"] = json!(paths.collect::<Vec<_>>());
        if stands.first_parent {
            body["first_parent"] = json!(true);
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Wrong> {
    let text = text.trim();
    text.parse().map_err(|_| {
        Wrong::of(
            field,
            format!("{field}: “{text}” is no number that fits here"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_the_request_that_it_means() {
        let asked = Asked {
            tree: " linux ".into(),
            good: "v6.18, v6.18.1".into(),
            bad: "v7.2".into(),
            suite: "btrfs/direct-io".into(),
            signal: "metric".into(),
            metric: "mb_s".into(),
            threshold: "90".into(),
            confidence: "99.9 %".into(),
            runs: "3".into(),
            first_parent: Some("on".into()),
            fragment: "CONFIG_KASAN=y\r\n".into(),
            ..Asked::default()
        };
        let request = asked.request().ok().unwrap();
        assert_eq!(request.tree, "linux");
        assert_eq!(request.good, ["v6.18", "v6.18.1"]);
        assert_eq!((request.runs, request.confidence), (3, 0.999));
        assert_eq!(request.config.fragment, "CONFIG_KASAN=y\n");
        assert!(request.first_parent);
        let odd = Asked {
            vcpus: "two".into(),
            ..asked.clone()
        };
        assert_eq!(odd.request().err().unwrap().field, "vcpus");
        let by_hand = Asked {
            bisect_log: "git bisect start\ngit bisect bad b\ngit bisect good g\ngit bisect skip s"
                .into(),
            ..asked
        };
        let request = by_hand.request().ok().unwrap();
        assert_eq!(
            (request.bad.as_str(), &request.good[..]),
            ("b", &["g".to_owned()][..])
        );
        assert_eq!(request.skip, ["s"]);
    }
}
