//! `firstbad plan`, `posterior` and `weights`: one question about a graph and its results. Owns what is
//! printed; must not know how to search.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use firstbad_bisect::search::{Chances, Decision, Outcome, Search, Signal};
use firstbad_bisect::{History, Node, Policy, distances};
use serde_json::json;

use super::args::{PlanArgs, PosteriorArgs};
use super::input::{self, Dag};
use crate::fail::{CULPRIT, Done, Fail};

/// Commits shown by `plan`.
const TOP: usize = 20;

pub fn plan(args: &PlanArgs) -> Done {
    let start = Instant::now();
    let dag = Dag::read(&args.search.dag)?;
    let prior = dag.prior(args.search.prior.as_deref())?;
    let results = dag.results(args.results.as_deref())?;
    let signal = input::signal(&args.search)?.unwrap_or_else(|| guess(&results));
    let settings = input::settings(&args.search, signal)?;
    let loaded = start.elapsed();
    let start = Instant::now();
    let (names, layout) = dag.prepare();
    let mut search = Search::new(layout, settings, prior.as_deref());
    let prepared = start.elapsed();
    let start = Instant::now();
    for (node, outcome) in results {
        search.record(node, outcome);
    }
    let decision = search.decide(&[]);
    let planned = start.elapsed();
    let chances = search.chances();
    let named = |&(node, p): &(Node, f64)| json!([names.name(node), p]);
    let (probes, answer) = match decision {
        Decision::Start(probes) => (probes, None),
        Decision::Wait => (Vec::new(), None),
        Decision::Done(answer) => (Vec::new(), Some(answer)),
    };
    let out = json!({
        "probes": probes.iter().map(|p| json!({
            "rev": names.name(p.node),
            "bits": p.gain,
            "purpose": p.purpose,
        })).collect::<Vec<_>>(),
        "done": answer.as_ref().map(|a| json!({
            "outcome": a.ending,
            "culprit": a.culprit.map(|c| names.name(c)),
            "confidence": a.confidence,
            "set": a.set.iter().map(named).collect::<Vec<_>>(),
        })),
        "expected_bits": probes.iter().map(|p| p.gain).sum::<f64>(),
        "posterior": top(&chances).iter().map(named).collect::<Vec<_>>(),
        "none": chances.none,
        "load_ms": loaded.as_secs_f64() * 1e3,
        "prepare_ms": prepared.as_secs_f64() * 1e3,
        "plan_ms": planned.as_secs_f64() * 1e3,
        "peak_mib": peak_mib(),
    });
    if args.json {
        return print(&out);
    }
    for probe in &probes {
        println!("test {} for {:.3} bits", names.name(probe.node), probe.gain);
    }
    if let Some(a) = answer {
        println!("done: {}, {:.4}", json!(a.ending), a.confidence);
    }
    for (node, p) in top(&chances) {
        println!("{p:.6} {}", names.name(node));
    }
    Ok(CULPRIT)
}

/// The most memory this process had, where Linux says it.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Without a word about the rates a failure is certain, unless the results speak against it.
fn guess(results: &[(Node, Outcome)]) -> Signal {
    let mut seen: BTreeMap<Node, Outcome> = BTreeMap::new();
    let at_odds = results
        .iter()
        .filter(|r| r.1 != Outcome::Skip)
        .any(|&(node, outcome)| *seen.entry(node).or_insert(outcome) != outcome);
    match at_odds {
        true => Signal::Unknown,
        false => Signal::Known {
            bad: 1.0,
            good: 0.0,
        },
    }
}

fn top(chances: &Chances) -> Vec<(Node, f64)> {
    let mut all: Vec<(Node, f64)> = (0..).zip(chances.culprit.iter().copied()).collect();
    all.retain(|c| c.1 > 0.0);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(TOP);
    all
}

pub fn posterior(args: &PosteriorArgs) -> Done {
    let signal = input::signal(&args.search)?.ok_or_else(|| {
        Fail::Usage("say --p-bad and --p-good, --rates unknown or --metric-shift".to_owned())
    })?;
    let settings = input::settings(&args.search, signal)?;
    let dag = Dag::read(&args.search.dag)?;
    let prior = dag.prior(args.search.prior.as_deref())?;
    let results = dag.results(Some(&args.results))?;
    let (names, layout) = dag.prepare();
    let mut search = Search::new(layout, settings, prior.as_deref());
    for (node, outcome) in results {
        search.record(node, outcome);
    }
    let chances = search.chances();
    let all = chances.culprit.iter().chain([&chances.none]);
    let entropy: f64 = all.filter(|&&p| p > 0.0).map(|p| -p * p.log2()).sum();
    if args.json {
        let rows = (0..).zip(&chances.culprit).map(|(node, p)| {
            json!({
                "rev": names.name(node),
                "p": p,
                "w": chances.inside[node as usize],
                "bits": chances.gain[node as usize],
            })
        });
        return print(&json!({
            "posterior": rows.collect::<Vec<_>>(),
            "none": chances.none,
            "entropy": entropy,
        }));
    }
    println!("entropy {entropy:.6} none {:.6}", chances.none);
    for (node, p) in (0..).zip(&chances.culprit) {
        let inside = chances.inside[node as usize];
        println!("{p:.6} {inside:.6} {}", names.name(node));
    }
    Ok(CULPRIT)
}

pub fn weights(path: &Path) -> Done {
    let dag = Dag::read(path)?;
    let tip = (dag.names.len() - 1) as Node;
    let all = distances(dag.graph(), tip, &History::default(), &Policy::default())
        .map_err(|e| Fail::Data(e.to_string()))?;
    let mut out = String::new();
    for (node, distance) in all {
        out.push_str(&format!("{} {distance}\n", dag.name(node)));
    }
    print!("{out}");
    Ok(CULPRIT)
}

fn print(value: &serde_json::Value) -> Done {
    println!("{value}");
    Ok(CULPRIT)
}
