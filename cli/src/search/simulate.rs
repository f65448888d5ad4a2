//! `firstbad simulate`: the search against a built-in tester. Owns the summary; must not know how to
//! search.

use std::time::Instant;

use firstbad_bisect::Node;
use firstbad_bisect::search::Signal;
use firstbad_bisect::search::simulate::{Case, Hint, Plan, Run, Tester, Vote, capacity};
use serde_json::{Value, json};

use super::args::{CaseArg, HintArg, SimulateArgs};
use super::input::{self, Dag, Names};
use crate::fail::{CULPRIT, Done, Fail};

pub fn run(args: &SimulateArgs) -> Done {
    let dag = Dag::read(&args.search.dag)?;
    let votes = args.votes.as_deref().map(vote).transpose()?;
    let (plan, names) = plan(args, dag)?;
    let start = Instant::now();
    let runs: Vec<Run> = (args.seed..)
        .take(args.repeat as usize)
        .map(|seed| {
            let mut plan = plan.clone();
            if args.culprit == "each" {
                plan.tester.culprit = Some((seed % plan.layout.len() as u64) as Node);
            }
            match votes {
                Some(vote) => plan.run_votes(vote, seed),
                None => plan.run(seed),
            }
        })
        .collect();
    let mut summary = summary(&runs, plan.tester.signal);
    summary["milliseconds"] = json!(start.elapsed().as_secs_f64() * 1e3);
    summary["commits"] = json!(plan.layout.len());
    if !args.json {
        println!("{summary:#}");
        return Ok(CULPRIT);
    }
    if args.summary {
        println!("{}", json!({ "summary": summary }));
    } else {
        let rows: Vec<Value> = runs.iter().map(|r| row(r, &names)).collect();
        println!("{}", json!({ "runs": rows, "summary": summary }));
    }
    Ok(CULPRIT)
}

fn plan(args: &SimulateArgs, dag: Dag) -> Result<(Plan, Names), Fail> {
    let search = &args.search;
    // With unknown rates the tester still has some.
    let hidden = match (search.p_bad, search.p_good) {
        (Some(bad), Some(good)) if 0.0 <= good && good < bad && bad <= 1.0 => {
            Some(Signal::Known { bad, good })
        }
        _ => None,
    };
    let told = input::signal(search)?
        .ok_or_else(|| Fail::Usage("say --p-bad and --p-good, or --metric-shift".to_owned()))?;
    let signal = match told {
        Signal::Unknown => {
            hidden.ok_or_else(|| Fail::Usage("the tester needs --p-bad and --p-good".to_owned()))?
        }
        _ => told,
    };
    let culprit = match args.culprit.as_str() {
        "none" | "random" | "each" => None,
        id => Some(dag.node(id)?),
    };
    if !(0.0..=1.0).contains(&args.skip_rate) || !(0.0..=1.0).contains(&args.stretch) {
        return Err(Fail::Usage(
            "--skip-rate and --stretch must be from 0 to 1".to_owned(),
        ));
    }
    let hint = match (args.hint, dag.prior(search.prior.as_deref())?) {
        (Some(HintArg::Right), _) => Hint::Right,
        (Some(HintArg::Useless), _) => Hint::Useless,
        (None, Some(weights)) => Hint::Given(weights),
        (None, None) => Hint::None,
    };
    let settings = input::settings(search, told)?;
    let (names, layout) = dag.prepare();
    let plan = Plan {
        layout,
        tester: Tester {
            case: case(args),
            culprit,
            signal,
            vary: args.vary,
            skip_rate: args.skip_rate,
            stretch: args.stretch,
        },
        hint,
        time_sigma: args.time_sigma,
        build_charged: args.build_charged.unwrap_or(settings.build_cost),
        settings,
    };
    Ok((plan, names))
}

fn case(args: &SimulateArgs) -> Case {
    match args.case {
        CaseArg::One if args.culprit == "none" => Case::None,
        CaseArg::One => Case::One,
        CaseArg::Two => Case::Two,
        CaseArg::Refixed => Case::Refixed,
        CaseArg::HalfHidden => Case::HalfHidden,
        CaseArg::InBroken => Case::InBroken,
        CaseArg::Broken => Case::Broken,
        CaseArg::Merge => Case::Merge,
    }
}

/// `majority:5` or `any:10`.
fn vote(text: &str) -> Result<Vote, Fail> {
    let wrong = || Fail::Usage("--votes must be majority:N or any:N".to_owned());
    let (kind, count) = text.split_once(':').ok_or_else(wrong)?;
    let count = count
        .parse()
        .ok()
        .filter(|n| (1..=1000).contains(n))
        .ok_or_else(wrong)?;
    match kind {
        "majority" => Ok(Vote::Majority(count)),
        "any" => Ok(Vote::Any(count)),
        _ => Err(wrong()),
    }
}

fn row(run: &Run, names: &Names) -> Value {
    json!({
        "seed": run.seed,
        "outcome": run.outcome,
        "named": run.named.map(|n| names.name(n)),
        "truth": run.truth.iter().map(|&n| names.name(n)).collect::<Vec<_>>(),
        "right": run.right,
        "wrong_name": run.wrong_name,
        "confidence": run.confidence,
        "test_runs": run.test_runs,
        "calibration_runs": run.calibration_runs,
        "verify_runs": run.verify_runs,
        "skips": run.skips,
        "revisions": run.revisions,
        "rounds": run.rounds,
        "cost": run.cost,
        "set_size": run.set_size,
    })
}

fn summary(runs: &[Run], signal: Signal) -> Value {
    let n = runs.len() as f64;
    let mean = |f: &dyn Fn(&Run) -> f64| runs.iter().map(f).sum::<f64>() / n;
    let share = |f: &dyn Fn(&Run) -> bool| runs.iter().filter(|r| f(r)).count() as f64 / n;
    let mut sorted: Vec<u32> = runs.iter().map(|r| r.test_runs).collect();
    sorted.sort_unstable();
    let at = |q: f64| sorted.get(((n - 1.0) * q).round() as usize).copied();
    let mut outcomes = serde_json::Map::new();
    for run in runs {
        if let Value::String(name) = json!(run.outcome) {
            let count = outcomes.get(&name).and_then(Value::as_u64).unwrap_or(0);
            outcomes.insert(name, json!(count + 1));
        }
    }
    json!({
        "repeat": runs.len(),
        "first_seed": runs.first().map(|r| r.seed),
        "right": share(&|r| r.right),
        "wrong_names": runs.iter().filter(|r| r.wrong_name).count(),
        "outcomes": outcomes,
        "confidence": mean(&|r| r.confidence),
        "test_runs": mean(&|r| f64::from(r.test_runs)),
        "test_runs_p95": at(0.95),
        "test_runs_max": at(1.0),
        "calibration_runs": mean(&|r| f64::from(r.calibration_runs)),
        "verify_runs": mean(&|r| f64::from(r.verify_runs)),
        "revisions": mean(&|r| r.revisions as f64),
        "rounds": mean(&|r| r.rounds),
        "cost": mean(&|r| r.cost),
        "set_size": mean(&|r| r.set_size as f64),
        "smallest_set": mean(&|r| r.smallest_set as f64),
        "capacity_bits": capacity(signal),
    })
}
