//! Against the real `git`: the same culprit as `git bisect` with the same oracle, the same distances
//! as `git rev-list --bisect-all`, and no more tests on average.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use firstbad_bisect::{
    Found, Graph, History, Mark, Node, Observation, Plan, Policy, distances, plan,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const REPOSITORIES: u64 = 32;

/// A small fixed generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    }
}

struct Repository {
    dir: tempfile::TempDir,
    ids: Vec<String>,
    graph: Graph,
}

fn git(dir: &Path, args: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("git")
        .args([
            "-c",
            "init.defaultBranch=main",
            "-c",
            "advice.detachedHead=false",
        ])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    (out.status.success(), text)
}

/// `n` commits with merges under one tip, imported in one go. Commit 0 is the good end.
fn repository(seed: u64, n: usize) -> Repository {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let merges = 5 + dice.roll(30);
    let branches = 5 + dice.roll(25);
    let mut parents: Vec<Vec<usize>> = vec![vec![]];
    let mut has_child = vec![false; n];
    for i in 1..n {
        let mut list = vec![i - 1];
        if dice.roll(100) < branches {
            list = vec![i - 1 - dice.roll(i.min(8))];
        }
        if dice.roll(100) < merges {
            list.push(dice.roll(i));
        }
        if i + 1 == n {
            list.extend((0..i).filter(|&h| !has_child[h]));
        }
        let mut seen = Vec::new();
        list.retain(|p| {
            !seen.contains(p) && {
                seen.push(*p);
                true
            }
        });
        list.iter().for_each(|&p| has_child[p] = true);
        parents.push(list);
    }
    let mut stream = String::new();
    for (i, list) in parents.iter().enumerate() {
        let message = format!("c{i}");
        write!(stream, "commit refs/heads/main\nmark :{}\n", i + 1).unwrap();
        writeln!(
            stream,
            "committer T <t@example.org> {} +0000",
            1_700_000_000 + i * 60
        )
        .unwrap();
        write!(stream, "data {}\n{message}\n", message.len()).unwrap();
        for (k, p) in list.iter().enumerate() {
            writeln!(
                stream,
                "{} :{}",
                if k == 0 { "from" } else { "merge" },
                p + 1
            )
            .unwrap();
        }
        writeln!(stream).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(git(dir.path(), &["init", "-q"], "").0);
    let (ok, text) = git(
        dir.path(),
        &["fast-import", "--quiet", "--force", "--export-marks=marks"],
        &stream,
    );
    assert!(ok, "{text}");
    let marks = std::fs::read_to_string(dir.path().join("marks"))
        .or_else(|_| std::fs::read_to_string(dir.path().join(".git/marks")))
        .unwrap();
    let mut ids = vec![String::new(); n];
    for line in marks.lines() {
        let (mark, id) = line.split_once(' ').unwrap();
        ids[mark[1..].parse::<usize>().unwrap() - 1] = id.to_owned();
    }
    let as_nodes = |list: &Vec<usize>| list.iter().map(|&p| p as Node).collect();
    let graph = Graph::new(parents.iter().map(as_nodes).collect()).unwrap();
    Repository { dir, ids, graph }
}

impl Repository {
    fn git(&self, args: &[&str]) -> String {
        let (ok, text) = git(self.dir.path(), args, "");
        assert!(ok, "git {args:?}: {text}");
        text
    }

    fn tip(&self) -> Node {
        self.ids.len() as Node - 1
    }

    /// Drives `git bisect` by hand; answers the commits it leaves and the number of tests.
    fn git_bisect(
        &self,
        goods: &[Node],
        first_parent: bool,
        oracle: &dyn Fn(Node) -> Mark,
    ) -> (Vec<Node>, usize) {
        let number: HashMap<&str, Node> = self
            .ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), i as Node))
            .collect();
        let mut args = vec!["bisect", "start", "--no-checkout"];
        if first_parent {
            args.push("--first-parent");
        }
        args.push(&self.ids[self.tip() as usize]);
        args.extend(goods.iter().map(|&g| self.ids[g as usize].as_str()));
        let mut text = self.git(&args);
        for tests in 0..=self.ids.len() {
            if let Some((id, _)) = text.split_once(" is the first bad commit") {
                let id = id.lines().last().unwrap();
                return (vec![number[id]], tests);
            }
            if text.contains("only 'skip'ped commits left") {
                let mut left: Vec<Node> = text
                    .lines()
                    .filter_map(|l| number.get(l.trim()).copied())
                    .collect();
                left.sort_unstable();
                return (left, tests);
            }
            let head = std::fs::read_to_string(self.dir.path().join(".git/BISECT_HEAD")).unwrap();
            let verdict = match oracle(number[head.trim()]) {
                Mark::Good => "good",
                Mark::Bad => "bad",
                Mark::Skip => "skip",
            };
            text = git(self.dir.path(), &["bisect", verdict, head.trim()], "").1;
        }
        panic!("git bisect does not end: {text}");
    }

    fn our_bisect(
        &self,
        goods: &[Node],
        policy: &Policy,
        oracle: &dyn Fn(Node) -> Mark,
    ) -> (Vec<Node>, usize) {
        let mut h = goods_only(goods);
        loop {
            match plan(&self.graph, self.tip(), &h, policy).unwrap() {
                Plan::Done(Found::Culprit { node }) => {
                    return (vec![node], h.marks.len() - goods.len());
                }
                Plan::Done(Found::Range { nodes }) => return (nodes, h.marks.len() - goods.len()),
                Plan::Wait { .. } => panic!("nothing runs"),
                Plan::Probe { probes, .. } => h
                    .marks
                    .push(observe(probes[0].node, oracle(probes[0].node))),
            }
        }
    }
}

fn observe(node: Node, mark: Mark) -> Observation {
    Observation { node, mark }
}

fn goods_only(goods: &[Node]) -> History {
    History {
        marks: goods.iter().map(|&g| observe(g, Mark::Good)).collect(),
        running: vec![],
    }
}

/// Commit 0 and up to two more that do not contain the culprit.
fn goods(r: &Repository, culprit: Node, dice: &mut Dice) -> Vec<Node> {
    let mut goods = vec![0];
    for _ in 0..dice.roll(3) {
        let g = dice.roll(r.ids.len()) as Node;
        if !r.graph.is_ancestor(culprit, g) && !goods.contains(&g) {
            goods.push(g);
        }
    }
    goods
}

#[test]
fn the_culprit_is_gits_and_the_tests_are_no_more() {
    let (mut ours, mut theirs, mut searches) = (0, 0, 0);
    for seed in 1..=REPOSITORIES {
        let mut dice = Dice(seed * 7919);
        let n = 30 + dice.roll(170);
        let r = repository(seed, n);
        for _ in 0..2 {
            let culprit = 1 + dice.roll(n - 1) as Node;
            let goods = goods(&r, culprit, &mut dice);
            let oracle = |n| {
                if r.graph.is_ancestor(culprit, n) {
                    Mark::Bad
                } else {
                    Mark::Good
                }
            };
            let (git_found, git_tests) = r.git_bisect(&goods, false, &oracle);
            let (found, tests) = r.our_bisect(&goods, &Policy::default(), &oracle);
            assert_eq!(
                (&found, &git_found),
                (&vec![culprit], &vec![culprit]),
                "seed {seed}"
            );
            ours += tests;
            theirs += git_tests;
            searches += 1;
        }
    }
    let mean = |total: usize| total as f64 / f64::from(searches);
    println!(
        "{searches} searches in {REPOSITORIES} repositories: mean tests {:.3}, git {:.3}",
        mean(ours),
        mean(theirs)
    );
    assert!(
        mean(ours) <= mean(theirs) + 0.25,
        "{} > {}",
        mean(ours),
        mean(theirs)
    );
}

#[test]
fn the_main_line_answer_is_gits() {
    for seed in 101..=110 {
        let mut dice = Dice(seed * 104_729);
        let n = 30 + dice.roll(120);
        let r = repository(seed, n);
        let culprit = 1 + dice.roll(n - 1) as Node;
        let oracle = |n| {
            if r.graph.is_ancestor(culprit, n) {
                Mark::Bad
            } else {
                Mark::Good
            }
        };
        let policy = Policy {
            first_parent: true,
            ..Policy::default()
        };
        let (git_found, git_tests) = r.git_bisect(&[0], true, &oracle);
        let (found, tests) = r.our_bisect(&[0], &policy, &oracle);
        assert_eq!(found, git_found, "seed {seed}");
        assert!(
            tests.abs_diff(git_tests) <= 2,
            "seed {seed}: {tests} and {git_tests}"
        );
    }
}

#[test]
fn with_skips_both_leave_the_culprit() {
    let (mut ours, mut theirs) = (0, 0);
    for seed in 201..=215 {
        let mut dice = Dice(seed * 15_485_863);
        let n = 40 + dice.roll(100);
        let r = repository(seed, n);
        let culprit = 1 + dice.roll(n - 1) as Node;
        let broken = dice.roll(n - 6) as Node;
        let oracle = |n| match r.graph.is_ancestor(culprit, n) {
            _ if (broken..broken + 5).contains(&n) && n != r.tip() => Mark::Skip,
            true => Mark::Bad,
            false => Mark::Good,
        };
        let (git_left, git_tests) = r.git_bisect(&[0], false, &oracle);
        let (left, tests) = r.our_bisect(&[0], &Policy::default(), &oracle);
        assert!(
            left.contains(&culprit) && git_left.contains(&culprit),
            "seed {seed}: {left:?} {git_left:?}"
        );
        assert!(
            left.len() == 1 || left.iter().any(|n| (broken..broken + 5).contains(n)),
            "seed {seed}"
        );
        ours += tests;
        theirs += git_tests;
    }
    println!(
        "with 5 broken commits in a row: mean tests {:.2}, git {:.2}",
        f64::from(ours as u32) / 15.0,
        f64::from(theirs as u32) / 15.0
    );
}

#[test]
fn distances_are_those_of_rev_list_bisect_all() {
    let mut compared = 0;
    for seed in 301..=320 {
        let mut dice = Dice(seed * 32_452_843);
        let n = 100 + dice.roll(700);
        let r = repository(seed, n);
        for first_parent in [false, true] {
            let goods = goods(&r, r.tip(), &mut dice);
            let not: Vec<String> = goods
                .iter()
                .map(|&g| format!("^{}", r.ids[g as usize]))
                .collect();
            let mut args = vec!["rev-list", "--bisect-all"];
            if first_parent {
                args.push("--first-parent");
            }
            args.push(&r.ids[r.tip() as usize]);
            args.extend(not.iter().map(String::as_str));
            let text = r.git(&args);
            let mut expected = BTreeMap::new();
            for line in text.lines() {
                let (id, rest) = line.split_once(' ').unwrap();
                let at = rest.find("dist=").unwrap() + 5;
                let digits = rest[at..]
                    .trim_end_matches(')')
                    .split([',', ' '])
                    .next()
                    .unwrap();
                expected.insert(
                    id.to_owned(),
                    digits.trim_end_matches(')').parse::<u32>().unwrap(),
                );
            }
            let policy = Policy {
                first_parent,
                ..Policy::default()
            };
            let ours = distances(&r.graph, r.tip(), &goods_only(&goods), &policy).unwrap();
            let ours: BTreeMap<String, u32> = ours
                .into_iter()
                .map(|(n, d)| (r.ids[n as usize].clone(), d))
                .collect();
            assert_eq!(ours, expected, "seed {seed}, first parent {first_parent}");
            compared += ours.len();
        }
    }
    println!("{compared} distances equal git's");
}
