//! A job as a line of the command line.

use firstbad_api::custom::{CustomKind, CustomTest, default_memory_mib, default_timeout_s};
use firstbad_api::job::{Find, NewJob, Signal};
use firstbad_api::lease::{ConfigBase, RunMode};

use super::format::shell;

/// The command line that asks the same question.
pub(super) fn command(request: &NewJob) -> String {
    let mut words = vec!["firstbad".to_string(), "submit".to_string()];
    let mut flag = |name: &str, value: &str| {
        words.push(format!("--{name}"));
        words.push(shell(value));
    };
    flag("tree", &request.tree);
    request.good.iter().for_each(|good| flag("good", good));
    flag("bad", &request.bad);
    match &request.custom {
        Some(test) => own_flags(test, &mut flag),
        None => flag("suite", &request.suite),
    }
    request.cases.iter().for_each(|case| flag("case", case));
    if request.find == Find::Fix {
        flag("find", "fix");
    }
    match &request.signal {
        Signal::Failure => {}
        Signal::Cases { cases } => cases.iter().for_each(|case| flag("failing", case)),
        Signal::Crash { title } => flag("crash", title),
        Signal::Metric { name, threshold } => {
            flag("metric", name);
            if let Some(threshold) = threshold {
                flag("threshold", &threshold.to_string());
            }
        }
    }
    match &request.config.base {
        Some(ConfigBase::Tinyconfig) => flag("base", "tinyconfig"),
        Some(ConfigBase::X8664Defconfig) => flag("base", "defconfig"),
        Some(ConfigBase::Tree(path)) => flag("config-in-tree", path),
        None | Some(ConfigBase::File(_)) => {}
    }
    if request.vcpus != 1 {
        flag("vcpus", &request.vcpus.to_string());
    }
    if request.shift > 0 {
        flag("shift", &request.shift.to_string());
    }
    if request.mode == RunMode::Real {
        flag("mode", "real");
    }
    if request.runs > 0 {
        flag("runs", &request.runs.to_string());
    }
    if request.confidence != 0.995 {
        flag("confidence", &request.confidence.to_string());
    }
    if request.max_runs != 2000 {
        flag("max-runs", &request.max_runs.to_string());
    }
    if request.seed != 1 {
        flag("seed", &request.seed.to_string());
    }
    if let Some(from) = &request.selftests_from {
        flag("selftests-from", from);
    }
    if let Some(fstests) = &request.fstests {
        flag("fstests", &format!("{}@{}", fstests.tree, fstests.rev));
        fstests
            .exclude
            .iter()
            .for_each(|test| flag("exclude", test));
    }
    request.paths.iter().for_each(|path| flag("path", path));
    request.skip.iter().for_each(|rev| flag("skip", rev));
    if let Some(title) = &request.title {
        flag("title", title);
    }
    terms_flags(request, &mut flag);
    let mut switch = |on: bool, name: &str| {
        if on {
            words.push(name.to_string());
        }
    };
    switch(
        request.first_parent && !request.merge_first,
        "--first-parent",
    );
    switch(request.merge_first, "--merge-first");
    switch(request.every_flip, "--every-flip");
    switch(request.two_point, "--two-point");
    switch(request.private, "--private");
    switch(request.fresh, "--fresh");
    words.push("--wait".to_string());
    words.join(" ")
}

/// On what terms it is asked for; who is told stays with who asks.
fn terms_flags(request: &NewJob, flag: &mut impl FnMut(&str, &str)) {
    request.labels.iter().for_each(|label| flag("label", label));
    if !request.priority.is_normal() {
        flag("priority", request.priority.as_str());
    }
    let budget = &request.budget;
    let numbers = [
        ("max-builds", budget.builds),
        ("max-vm-minutes", budget.vm_minutes),
        ("max-wall-minutes", budget.wall_minutes),
        ("parallelism", request.parallelism),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            flag(name, &number.to_string());
        }
    }
    if let Some(name) = &request.toolchain {
        flag("toolchain", name);
    }
}

/// Its file and options on the command line.
fn own_flags(test: &CustomTest, flag: &mut impl FnMut(&str, &str)) {
    let kind = match test.kind {
        CustomKind::Script => "script",
        CustomKind::C => "reproducer",
        CustomKind::Program => "program",
    };
    flag(kind, &test.name);
    if let Some(pattern) = &test.patterns.fails_when {
        flag("fails-when", pattern);
    }
    if let Some(pattern) = &test.patterns.passes_when {
        flag("passes-when", pattern);
    }
    if test.timeout_s != default_timeout_s() {
        flag("timeout", &test.timeout_s.to_string());
    }
    if test.memory_mib != default_memory_mib() {
        flag("memory", &test.memory_mib.to_string());
    }
}
