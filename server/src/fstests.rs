//! The suite whose cases are tests of fstests.
//!
//! Owns which tests a revision of fstests has, what its groups mean, and on which
//! kernels a test is excluded. Must not know git, jobs or how a test is run.

use std::collections::{BTreeMap, BTreeSet};

use firstbad_api::fstests::SUITE;
use firstbad_api::limits::{FSTESTS_CASE_S, FSTESTS_CASES, TEST_DEADLINE_S};
use firstbad_api::suite::{CaseSpec, Excluded, SuiteBundle};
use firstbad_api::version::Version;
use serde::Deserialize;

use crate::suites;

/// The folders of tests that are for Btrfs.
pub const FOLDERS: [&str; 2] = ["generic", "btrfs"];
/// What is known not to hold on some kernels.
const EXCLUDED: &str = "btrfs/fstests/excluded.toml";
/// Begins a test, with its groups behind it.
const BEGIN: &str = "_begin_fstest";
/// Names shown of a longer list.
const SHOWN: usize = 20;

/// Why tests cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// JSON pointer in the request.
    pub pointer: String,
    /// A sentence with the field's name.
    pub why: String,
}

fn refused(pointer: impl Into<String>, why: impl Into<String>) -> Refused {
    Refused {
        pointer: pointer.into(),
        why: why.into(),
    }
}

/// The tests of one revision and their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tests(BTreeMap<Name, BTreeSet<String>>);

/// A test's name in the order in which tests are run: folder, then number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name(usize, u32, String);

impl Name {
    /// Of a path below `tests/`, such as `generic/001`: other files are no tests.
    fn of(path: &str) -> Option<Name> {
        let (folder, number) = path.split_once('/')?;
        let place = FOLDERS.iter().position(|f| *f == folder)?;
        let digits = (3..=4).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| digits)?;
        Some(Name(place, number, path.to_owned()))
    }
}

/// Whether a test can have this name.
pub fn is_test(name: &str) -> bool {
    Name::of(name).is_some()
}

impl Tests {
    /// Reads the tests among some files: path below `tests/`, content.
    pub fn read(files: impl IntoIterator<Item = (String, String)>) -> Tests {
        let tests = files.into_iter().filter_map(|(path, text)| {
            let line = text.lines().find_map(|l| l.strip_prefix(BEGIN))?;
            let groups = line.split_whitespace().map(str::to_owned).collect();
            Some((Name::of(&path)?, groups))
        });
        Tests(tests.collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tests that are named and those of the groups, each once, in their order.
    ///
    /// # Errors
    /// When one is not there, or there are none or too many.
    pub fn select(&self, cases: &[String], groups: &[String]) -> Result<Vec<String>, Refused> {
        let mut chosen = BTreeSet::new();
        for (i, case) in cases.iter().enumerate() {
            chosen.insert(self.known(case, &format!("/cases/{i}"), "cases")?);
        }
        for (i, group) in groups.iter().enumerate() {
            let of_group = self.0.iter().filter(|(_, groups)| groups.contains(group));
            let mut found = of_group.map(|(name, _)| name).peekable();
            if found.peek().is_none() {
                let why = format!(
                    "fstests.groups: no test is in the group {group:?}; there are {}",
                    self.groups()
                );
                return Err(refused(format!("/fstests/groups/{i}"), why));
            }
            chosen.extend(found);
        }
        if chosen.is_empty() {
            let why =
                "cases: name at least one test, such as generic/001, or a group, such as quick";
            return Err(refused("/cases", why));
        }
        if chosen.len() > FSTESTS_CASES {
            let (pointer, field) = match groups {
                [] => ("/cases", "cases"),
                _ => ("/fstests/groups", "fstests.groups"),
            };
            let why = format!(
                "{field}: these are {} tests, and a job runs at most {FSTESTS_CASES}; name a smaller \
                 group, or some of its tests as cases",
                chosen.len()
            );
            return Err(refused(pointer, why));
        }
        Ok(chosen.into_iter().map(|name| name.2.clone()).collect())
    }

    fn known(&self, test: &str, pointer: &str, field: &str) -> Result<&Name, Refused> {
        let found = Name::of(test).and_then(|name| self.0.get_key_value(&name));
        found.map(|(name, _)| name).ok_or_else(|| {
            let why = format!(
                "{field}: this fstests has no test {test:?}; it has {} in the folders {}, each named \
                 like generic/001",
                self.0.len(),
                FOLDERS.join(" and ")
            );
            refused(pointer, why)
        })
    }

    /// Refuses tests to exclude that are not there, or not run.
    ///
    /// # Errors
    /// Naming the first of them.
    pub fn check_excluded(&self, exclude: &[String], run: &[String]) -> Result<(), Refused> {
        for (i, test) in exclude.iter().enumerate() {
            let pointer = format!("/fstests/exclude/{i}");
            self.known(test, &pointer, "fstests.exclude")?;
            if !run.contains(test) {
                let why = format!("fstests.exclude: {test} is not among the tests; leave it out");
                return Err(refused(pointer, why));
            }
        }
        if !run.is_empty() && run.iter().all(|test| exclude.contains(test)) {
            let why = "fstests.exclude: nothing is left to run";
            return Err(refused("/fstests/exclude", why));
        }
        Ok(())
    }

    fn groups(&self) -> String {
        let all: BTreeSet<&str> = self.0.values().flatten().map(String::as_str).collect();
        let mut shown: Vec<&str> = all.iter().copied().take(SHOWN).collect();
        if all.len() > SHOWN {
            shown.push("…");
        }
        shown.join(", ")
    }
}

/// One entry of the list of excluded tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    test: String,
    since: Option<Version>,
    until: Option<Version>,
    why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    excluded: Vec<Entry>,
}

impl List {
    fn parse(text: &str) -> Result<List, String> {
        let list: List = toml::from_str(text).map_err(|e| format!("suites/{EXCLUDED}: {e}"))?;
        for entry in &list.excluded {
            let say = |what: &str| Err(format!("suites/{EXCLUDED}: {:?}: {what}", entry.test));
            if !is_test(&entry.test) {
                return say("no test is named so");
            }
            if entry.on().versions().is_empty() {
                return say("since is later than until");
            }
            if entry.why.trim().is_empty() {
                return say("why is empty");
            }
        }
        Ok(list)
    }

    fn of(&self, test: &str) -> Vec<Excluded> {
        let entries = self.excluded.iter().filter(|e| e.test == test);
        entries.map(Entry::on).collect()
    }
}

impl Entry {
    fn on(&self) -> Excluded {
        Excluded {
            since: self.since,
            until: self.until,
            why: self.why.clone(),
        }
    }
}

/// The shipped suite with these tests as its cases; those in `exclude` are skipped on every kernel.
///
/// # Errors
/// When the shipped files are wrong.
pub fn suite(
    shipped: &SuiteBundle,
    tests: &[String],
    exclude: &[String],
) -> Result<SuiteBundle, String> {
    let list = List::parse(&suites::read(EXCLUDED)?)?;
    with(shipped, tests, exclude, &list)
}

fn with(
    shipped: &SuiteBundle,
    tests: &[String],
    exclude: &[String],
    list: &List,
) -> Result<SuiteBundle, String> {
    let mut spec = shipped.spec.clone();
    let Some(pattern) = spec.case.first().cloned() else {
        return Err(format!("suites/{SUITE}: there is no case"));
    };
    let case = |test: &String| {
        let mut excluded = list.of(test);
        if exclude.contains(test) {
            excluded.push(Excluded {
                since: None,
                until: None,
                why: "the job leaves it out".to_owned(),
            });
        }
        CaseSpec {
            name: test.clone(),
            excluded,
            ..pattern.clone()
        }
    };
    spec.case = tests.iter().map(case).collect();
    spec.deadline_s = Some(TEST_DEADLINE_S + FSTESTS_CASE_S * tests.len() as u64);
    suites::sealed(spec, shipped.files.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::Suites;

    fn tests() -> Tests {
        let file = |path: &str, groups: &str| {
            let text = format!("#! /bin/bash\n_begin_fstest {groups}\n_begin_fstest no\n");
            (path.to_owned(), text)
        };
        Tests::read([
            file("btrfs/001", "auto quick"),
            file("generic/1000", "auto"),
            file("generic/999", "auto quick"),
            file("generic/01", "auto"),
            file("ext4/001", "auto"),
            file("generic/001.out", "auto"),
            (
                "generic/002".to_owned(),
                "echo _begin_fstest auto\n".to_owned(),
            ),
        ])
    }

    #[test]
    fn tests_are_in_the_order_of_their_folders_and_numbers() {
        let words =
            |list: &[&str]| -> Vec<String> { list.iter().map(|w| (*w).to_owned()).collect() };
        let select =
            |cases: &[&str], groups: &[&str]| tests().select(&words(cases), &words(groups));
        let auto = ["generic/999", "generic/1000", "btrfs/001"];
        assert_eq!(select(&[], &["auto"]).unwrap(), auto);
        assert_eq!(
            select(&["generic/999", "btrfs/001"], &["quick"]).unwrap(),
            ["generic/999", "btrfs/001"]
        );
        for (cases, groups, pointer) in [
            (&[][..], &["no"][..], "/fstests/groups/0"),
            (&["generic/999", "generic/002"], &[], "/cases/1"),
            (&["ext4/001"], &[], "/cases/0"),
            (&[], &[], "/cases"),
        ] {
            assert_eq!(select(cases, groups).unwrap_err().pointer, pointer);
        }
    }

    #[test]
    fn exclusions_name_the_kernels_they_are_for() {
        let list = |text: &str| List::parse(text);
        let whole = "[[excluded]]\ntest = \"generic/475\"\nsince = \"6.18\"\nuntil = \"6.19\"\n\
                     why = \"its sound kernels fail too\"\n\
                     [[excluded]]\ntest = \"generic/475\"\nuntil = \"5.4\"\nwhy = \"old\"\n";
        let shipped = Suites::load().unwrap().get(SUITE).unwrap().0.clone();
        let names = ["generic/475", "btrfs/001"].map(str::to_owned);
        let with = with(&shipped, &names, &names[1..], &list(whole).unwrap()).unwrap();
        let [first, second] = &with.spec.case[..] else {
            panic!("{:?}", with.spec.case);
        };
        let holds = |case: &CaseSpec, on: &str| case.excluded.iter().any(|e| e.holds(on));
        for (kernel, excluded) in [
            ("5.4.9", true),
            ("6.12.1", false),
            ("6.19.3", true),
            ("7.0", false),
        ] {
            assert_eq!(holds(first, kernel), excluded, "{kernel}");
            assert!(holds(second, kernel));
        }
        // It is another suite, and so another test.
        let plain = suite(&shipped, &names, &[]).unwrap();
        assert_ne!(plain.digest, with.digest);
        assert_ne!(
            plain.digest,
            suite(&shipped, &names[..1], &[]).unwrap().digest
        );
        for (wrong, why) in [
            (
                "[[excluded]]\ntest = \"generic\"\nwhy = \"x\"\n",
                "no test is named so",
            ),
            (
                "[[excluded]]\ntest = \"generic/001\"\nwhy = \" \"\n",
                "why is empty",
            ),
            (
                "[[excluded]]\ntest = \"generic/001\"\nwhy = \"x\"\nsince = \"7\"\n",
                "is no version",
            ),
            (
                "[[excluded]]\ntest = \"generic/001\"\nwhy = \"x\"\nsince = \"7.2\"\nuntil = \"7.1\"\n",
                "since is later",
            ),
        ] {
            let said = list(wrong).unwrap_err();
            assert!(said.contains(why) && said.contains(EXCLUDED), "{said}");
        }
    }
}
