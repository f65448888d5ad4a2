//! An outside checker: it owns the culprit and every answer, talks to `firstbad engine` over JSON
//! lines, and recomputes posterior and best gain from the definitions after each result.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }

    fn chance(&mut self, p: f64) -> bool {
        (self.roll(1 << 30) as f64) < p * f64::from(1 << 30)
    }
}

/// A graph as text, and for each commit whether the other is it or its ancestor.
struct Case {
    text: String,
    names: Vec<String>,
    below: Vec<Vec<bool>>,
}

fn case(dice: &mut Dice, n: usize) -> Case {
    let names: Vec<String> = (0..n).map(|i| format!("{:08x}", i * 7919 + 11)).collect();
    let mut parents: Vec<Vec<usize>> = vec![vec![]];
    for i in 1..n {
        let mut list = vec![i - 1 - dice.roll(i.min(3))];
        if dice.roll(3) == 0 {
            list.push(i - 1 - dice.roll(i.min(9)));
        }
        if i + 1 == n {
            list = (0..i)
                .filter(|h| !parents.iter().any(|p| p.contains(h)))
                .collect();
        }
        list.dedup();
        parents.push(list);
    }
    let mut below = vec![vec![false; n]; n];
    for i in 0..n {
        below[i][i] = true;
        for &p in &parents[i] {
            let inherited = below[p].clone();
            below[i]
                .iter_mut()
                .zip(inherited)
                .for_each(|(b, more)| *b |= more);
        }
    }
    let row = |i: usize| {
        let parents = parents[i].iter().map(|&p| format!(" {}", names[p]));
        format!("{}{}\n", names[i], parents.collect::<String>())
    };
    Case {
        text: (0..n).map(row).collect(),
        names: names.clone(),
        below,
    }
}

fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(p) + part(1.0 - p)
}

impl Case {
    fn posterior(&self, results: &[(usize, bool)], bad: f64, good: f64) -> Vec<f64> {
        let weigh = |c: usize| -> f64 {
            let chance = |&(v, failed): &(usize, bool)| {
                let p = if self.below[v][c] { bad } else { good };
                if failed { p } else { 1.0 - p }
            };
            results.iter().map(chance).product()
        };
        let all: Vec<f64> = (0..self.names.len()).map(weigh).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|w| w / sum).collect()
    }

    fn gain(&self, post: &[f64], v: usize, bad: f64, good: f64) -> f64 {
        let w: f64 = (0..post.len())
            .filter(|&c| self.below[v][c])
            .map(|c| post[c])
            .sum();
        entropy(w * bad + (1.0 - w) * good) - w * entropy(bad) - (1.0 - w) * entropy(good)
    }

    fn node(&self, name: &Value) -> usize {
        self.names.iter().position(|n| name == n).unwrap()
    }
}

const BARE: [&str; 8] = [
    "--none-prior",
    "0",
    "--dispersion",
    "off",
    "--verify",
    "off",
    "--confidence",
    "0.99",
];

fn firstbad(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firstbad"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn every_step_of_the_engine_is_the_best_and_its_confidence_is_the_posterior() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dag");
    for (seed, bad, good) in [
        (1u64, 0.9, 0.05),
        (2, 0.5, 0.01),
        (3, 0.2, 0.05),
        (4, 0.5, 0.0),
    ] {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let case = case(&mut dice, 120);
        let culprit = dice.roll(case.names.len());
        std::fs::write(&file, &case.text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_firstbad"))
            .args(["engine", "--dag", file.to_str().unwrap()])
            .args(["--p-bad", &bad.to_string(), "--p-good", &good.to_string()])
            .args(BARE)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut results: Vec<(usize, bool)> = Vec::new();
        let mut done = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let said: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if said["op"] == "done" {
                done = Some(said);
                break;
            }
            assert_eq!(said["op"], "test");
            assert_eq!(said["id"], json!(results.len() + 1));
            let v = case.node(&said["rev"]);
            let post = case.posterior(&results, bad, good);
            let all = (0..post.len()).map(|v| case.gain(&post, v, bad, good));
            let top = all.fold(0.0, f64::max);
            assert!(case.gain(&post, v, bad, good) >= 0.999 * top);
            let failed = dice.chance(if case.below[v][culprit] { bad } else { good });
            results.push((v, failed));
            let outcome = if failed { "fail" } else { "pass" };
            let answer = json!({"op": "result", "id": said["id"], "outcome": outcome});
            writeln!(to, "{answer}").unwrap();
        }
        assert!(child.wait().unwrap().success());
        let done = done.unwrap();
        let post = case.posterior(&results, bad, good);
        let named = case.node(&done["culprit"]);
        assert_eq!(done["outcome"], "culprit");
        assert_eq!(done["runs"], json!(results.len()));
        assert!((done["confidence"].as_f64().unwrap() - post[named]).abs() < 1e-9);
        for entry in done["set"].as_array().unwrap() {
            let p = entry[1].as_f64().unwrap();
            assert!((p - post[case.node(&entry[0])]).abs() < 1e-9);
        }
    }
}

#[test]
fn the_engine_keeps_k_runs_going_and_takes_answers_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dag");
    let mut dice = Dice(77);
    let case = case(&mut dice, 200);
    let culprit = 120;
    std::fs::write(&file, &case.text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_firstbad"))
        .args(["engine", "--dag", file.to_str().unwrap(), "--workers", "4"])
        .args(["--rates", "unknown"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (send, said) = std::sync::mpsc::channel::<Value>();
    std::thread::spawn(move || {
        for line in lines {
            let _ = send.send(serde_json::from_str(&line.unwrap()).unwrap());
        }
    });
    let mut open: Vec<Value> = Vec::new();
    let mut most = 0;
    let done = loop {
        // The engine meets a result with no test, one or several: silence means that it waits.
        let patience = match open.len() {
            0 => Duration::from_secs(60),
            4.. => Duration::ZERO,
            _ => Duration::from_millis(100),
        };
        match said.recv_timeout(patience) {
            Ok(done) if done["op"] == "done" => break done,
            Ok(test) => {
                open.push(test);
                most = most.max(open.len());
                continue;
            }
            Err(_) => assert!(!open.is_empty(), "the engine is stuck"),
        }
        let test = open.remove(dice.roll(open.len()));
        let v = case.node(&test["rev"]);
        let failed = dice.chance(if case.below[v][culprit] { 0.8 } else { 0.01 });
        let outcome = if failed { "fail" } else { "pass" };
        let answer = json!({"op": "result", "id": test["id"], "outcome": outcome});
        writeln!(to, "{answer}").unwrap();
    };
    assert!(child.wait().unwrap().success());
    assert_eq!(most, 4);
    assert_eq!(case.node(&done["culprit"]), culprit);
}

#[test]
fn a_broken_conversation_ends_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dag");
    std::fs::write(&file, "a\nb a\nc b\n").unwrap();
    let dag = file.to_str().unwrap();
    let rates = ["--p-bad", "0.9", "--p-good", "0.1"];
    let engine = |input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_firstbad"))
            .args(["engine", "--dag", dag])
            .args(rates)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    };
    for (input, sentence) in [
        ("", "the input ended"),
        ("nonsense\n", "not a result"),
        (
            "{\"op\":\"result\",\"id\":9,\"outcome\":\"pass\"}\n",
            "no test 9",
        ),
        (
            "{\"op\":\"result\",\"id\":1,\"value\":2.0}\n",
            "has no outcome",
        ),
    ] {
        let out = engine(input);
        assert_eq!(out.status.code(), Some(65), "{input}");
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(err.contains(sentence), "{err}");
    }
    for (text, args, code) in [
        ("a b\nb\n", vec!["--p-bad", "1", "--p-good", "0"], 65),
        ("a\na\n", vec!["--p-bad", "1", "--p-good", "0"], 65),
        ("\n", vec!["--p-bad", "1", "--p-good", "0"], 65),
        ("a\n", vec!["--p-bad", "0.1", "--p-good", "0.2"], 64),
        (
            "a\n",
            vec!["--p-bad", "1", "--p-good", "0", "--dispersion", "x"],
            64,
        ),
        ("a\n", vec![], 64),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut all = vec!["engine", "--dag", dag];
        all.extend(args);
        assert_eq!(firstbad(&all).status.code(), Some(code), "{text:?} {all:?}");
    }
}

#[test]
fn plan_posterior_weights_and_simulate_print_what_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    let (dag, results) = (dir.path().join("dag"), dir.path().join("results"));
    let text: String = (0..9)
        .map(|i| match i {
            0 => "c0\n".to_owned(),
            _ => format!("c{i} c{}\n", i - 1),
        })
        .collect();
    std::fs::write(&dag, text).unwrap();
    std::fs::write(&results, "c2 good\nc7 bad\nc4 skip\nc7 bad\n").unwrap();
    let (dag, results) = (dag.to_str().unwrap(), results.to_str().unwrap());
    let read = |args: &[&str]| -> Value {
        let out = firstbad(args);
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        serde_json::from_slice(&out.stdout).unwrap()
    };
    let plan = read(&["plan", "--dag", dag, "--results", results, "--json"]);
    // Next to the skipped one, or one step further away.
    assert!(["c5", "c6"].contains(&plan["probes"][0]["rev"].as_str().unwrap()));
    assert!(plan["plan_ms"].as_f64().unwrap() >= 0.0);
    let rates = ["--p-bad", "0.5", "--p-good", "0.1"];
    let mut args = vec!["posterior", "--dag", dag, "--results", results, "--json"];
    args.extend(rates);
    args.extend(["--none-prior", "0"]);
    let post = read(&args);
    let sum: f64 = post["posterior"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["p"].as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 1e-12);
    assert!((post["posterior"][8]["w"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    let weights = firstbad(&["weights", "--dag", dag]);
    let weights = String::from_utf8(weights.stdout).unwrap();
    assert_eq!(weights.lines().nth(3), Some("c3 4"));
    let mut args = vec!["simulate", "--dag", dag, "--culprit", "c5", "--json"];
    args.extend(rates);
    args.extend(["--seed", "3", "--repeat", "2"]);
    let simulated = read(&args);
    assert_eq!(simulated["runs"][1]["seed"], 4);
    assert_eq!(simulated["runs"][0]["truth"], json!(["c5"]));
    assert_eq!(simulated["summary"]["repeat"], 2);
}

#[test]
fn output_that_nobody_reads_ends_the_program_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let dag = dir.path().join("dag");
    let line = |i: u32| match i {
        0 => "c0\n".to_owned(),
        _ => format!("c{i} c{}\n", i - 1),
    };
    std::fs::write(&dag, (0..20_000).map(line).collect::<String>()).unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_firstbad"))
        .args(["weights", "--dag"])
        .arg(&dag)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
