//! The way from one configuration to another: one step for each option, in an order in which each
//! step can take effect.
//!
//! What an option depends on or selects changes before it when it is switched on, and after it when
//! it is switched off. Options that need each other, and the members of a choice, move together.
//! Options that nobody can set follow from others; they come last and change nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

use super::{Settings, Symbols};

/// Longest subject, in characters.
const SUBJECT_CHARS: usize = 120;
/// Constant lines between two settings that change: the patch that takes one step back must apply
/// whatever its neighbours are.
const GAP: &str = "#\n#\n#\n";

/// One option that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// With `CONFIG_`.
    pub symbol: String,
    /// `None` when the configuration does not mention it.
    pub from: Option<String>,
    pub to: Option<String>,
}

/// The way from one configuration to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// What both say.
    common: Settings,
    /// What each step changes.
    pub steps: Vec<Vec<Change>>,
    /// Whether the last step holds what nobody can set.
    followers: bool,
}

/// Orders what differs between two configurations of a tree with these symbols.
pub fn steps(good: &Settings, bad: &Settings, symbols: &Symbols) -> Steps {
    let (common, changes) = differences(good, bad);
    let settable = |c: &Change| symbols.get(bare(&c.symbol)).is_some_and(|s| s.prompt);
    let (changes, followers): (Vec<_>, Vec<_>) = changes.into_iter().partition(settable);
    let before = constraints(&changes, &followers, symbols);
    let mut steps: Vec<Vec<Change>> = in_order(&before)
        .into_iter()
        .map(|group| group.into_iter().map(|i| changes[i].clone()).collect())
        .collect();
    let follow = !followers.is_empty();
    if follow {
        steps.push(followers);
    }
    Steps {
        common,
        steps,
        followers: follow,
    }
}

impl Steps {
    /// What a step's commit says: its subject, and all it changes when that is more.
    pub fn message(&self, step: usize) -> String {
        let changes = self.steps.get(step).map_or(&[][..], Vec::as_slice);
        let list: Vec<String> = changes.iter().map(told).collect();
        let mut subject = match self.followers && step + 1 == self.steps.len() {
            true => "Options that nobody can set: ".to_owned(),
            false => String::new(),
        };
        for (n, change) in list.iter().enumerate() {
            if n > 0 && subject.len() + change.len() > SUBJECT_CHARS {
                let _ = write!(subject, ", and {} more", list.len() - n);
                break;
            }
            let comma = if n > 0 { ", " } else { "" };
            let shown: String = change.chars().take(SUBJECT_CHARS).collect();
            let _ = write!(subject, "{comma}{shown}");
        }
        match list.len() {
            1 => subject + "\n",
            _ => format!("{subject}\n\n{}\n", list.join("\n")),
        }
    }

    /// The texts of all configurations on the way, the first one included.
    pub fn texts(&self) -> impl Iterator<Item = String> + '_ {
        let mut common = String::new();
        for (symbol, value) in &self.common {
            let _ = writeln!(common, "{}", line(symbol, Some(value)));
        }
        let mut lines: Vec<String> = self
            .steps
            .iter()
            .flatten()
            .map(|c| line(&c.symbol, c.from.as_deref()))
            .collect();
        let mut done = 0;
        (0..=self.steps.len()).map(move |step| {
            if let Some(changes) = step.checked_sub(1).and_then(|s| self.steps.get(s)) {
                for change in changes {
                    lines[done] = line(&change.symbol, change.to.as_deref());
                    done += 1;
                }
            }
            let mut text = common.clone();
            for line in &lines {
                let _ = writeln!(text, "{GAP}{line}");
            }
            text + GAP
        })
    }
}

fn line(symbol: &str, value: Option<&str>) -> String {
    match value {
        Some("n") => format!("# {symbol} is not set"),
        Some(value) => format!("{symbol}={value}"),
        // A comment for kconfig too.
        None => format!("# {symbol} is left out"),
    }
}

fn told(change: &Change) -> String {
    let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "absent".to_owned());
    format!(
        "{}: {} -> {}",
        change.symbol,
        value(&change.from),
        value(&change.to)
    )
}

fn bare(symbol: &str) -> &str {
    symbol.strip_prefix("CONFIG_").unwrap_or(symbol)
}

fn differences(good: &Settings, bad: &Settings) -> (Settings, Vec<Change>) {
    let (mut common, mut changes) = (Settings::new(), Vec::new());
    let all: BTreeSet<&String> = good.keys().chain(bad.keys()).collect();
    for symbol in all {
        let (mut from, mut to) = (good.get(symbol).cloned(), bad.get(symbol).cloned());
        let switch = |v: &Option<String>| matches!(v.as_deref(), Some("y" | "m" | "n"));
        if switch(&from) || switch(&to) {
            // A switch is left out where its dependencies are missing. Said to be off, it does not
            // take its default when they come.
            from = from.or_else(|| Some("n".to_owned()));
            to = to.or_else(|| Some("n".to_owned()));
        }
        if from == to {
            common.extend(from.map(|value| (symbol.clone(), value)));
            continue;
        }
        changes.push(Change {
            symbol: symbol.clone(),
            from,
            to,
        });
    }
    (common, changes)
}

/// Whether a change asks for what the option depends on.
fn raises(change: &Change) -> bool {
    let rank = |v: &Option<String>| match v.as_deref() {
        None | Some("n") => 0,
        Some("m") => 1,
        Some(_) => 2,
    };
    let (from, to) = (rank(&change.from), rank(&change.to));
    to > from || (to == from && to > 0)
}

/// For each change those that come after it.
fn constraints(
    changes: &[Change],
    followers: &[Change],
    symbols: &Symbols,
) -> Vec<BTreeSet<usize>> {
    let index: HashMap<&str, usize> = changes
        .iter()
        .enumerate()
        .map(|(i, c)| (bare(&c.symbol), i))
        .collect();
    let mut selectors: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, symbol) in symbols {
        for target in &symbol.selects {
            selectors.entry(target).or_default().push(name);
        }
    }
    let followers: BTreeSet<&str> = followers.iter().map(|c| bare(&c.symbol)).collect();
    let needed = |name: &str| {
        let mut found = BTreeSet::new();
        let Some(symbol) = symbols.get(name) else {
            return found;
        };
        found.extend(symbol.selects.iter().filter_map(|s| index.get(s.as_str())));
        let mut open: Vec<&str> = symbol.needs.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if let Some(i) = index.get(next) {
                found.insert(*i);
            } else if followers.contains(next) && seen.insert(next) {
                // It changes because something else does.
                let of = symbols.get(next).into_iter();
                open.extend(
                    of.flat_map(|s| s.needs.iter().chain(&s.defaults))
                        .map(String::as_str),
                );
                open.extend(selectors.get(next).into_iter().flatten());
            }
        }
        found
    };
    let mut after = vec![BTreeSet::new(); changes.len()];
    let mut members: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, change) in changes.iter().enumerate() {
        let name = bare(&change.symbol);
        for other in needed(name).into_iter().filter(|o| *o != i) {
            match raises(change) {
                true => after[other].insert(i),
                false => after[i].insert(other),
            };
        }
        if let Some(choice) = symbols.get(name).and_then(|s| s.choice)
            && let Some(sibling) = members.insert(choice, i)
        {
            after[i].insert(sibling);
            after[sibling].insert(i);
        }
    }
    after
}

/// Groups of nodes that reach each other, each group after those that point to it, else by number.
fn in_order(after: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let mut before = vec![BTreeSet::new(); after.len()];
    for (i, targets) in after.iter().enumerate() {
        for target in targets {
            before[*target].insert(i);
        }
    }
    // Kosaraju: whatever reaches the node that a walk leaves last is in its group.
    let mut left = Vec::new();
    let mut seen = vec![false; after.len()];
    for start in 0..after.len() {
        walk(start, after, &mut seen, &mut left);
    }
    let mut group = vec![usize::MAX; after.len()];
    let mut groups: Vec<BTreeSet<usize>> = Vec::new();
    seen = vec![false; after.len()];
    for start in left.into_iter().rev() {
        let mut reached = Vec::new();
        walk(start, &before, &mut seen, &mut reached);
        if !reached.is_empty() {
            reached.iter().for_each(|i| group[*i] = groups.len());
            groups.push(reached.into_iter().collect());
        }
    }
    let outside = |i: &usize| {
        let own = group[*i];
        let others = before[*i].iter().map(|b| group[*b]);
        others.filter(move |g| *g != own).collect::<Vec<_>>()
    };
    let mut waits: Vec<BTreeSet<usize>> = groups
        .iter()
        .map(|g| g.iter().flat_map(outside).collect())
        .collect();
    let first = |g: usize| groups[g].first().copied();
    let mut ready: BTreeSet<_> = (0..groups.len())
        .filter(|g| waits[*g].is_empty())
        .map(|g| (first(g), g))
        .collect();
    let mut order = Vec::new();
    while let Some((_, g)) = ready.pop_first() {
        order.push(groups[g].clone());
        for next in groups[g].iter().flat_map(|i| &after[*i]) {
            let next = group[*next];
            if waits[next].remove(&g) && waits[next].is_empty() {
                ready.insert((first(next), next));
            }
        }
    }
    order
}

/// Adds what is reached from `start` and was not seen, each after all that it leads to.
fn walk(start: usize, to: &[BTreeSet<usize>], seen: &mut [bool], left: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut open = vec![(start, to[start].iter())];
    while let Some((node, targets)) = open.last_mut() {
        match targets.next() {
            Some(next) if !std::mem::replace(&mut seen[*next], true) => {
                open.push((*next, to[*next].iter()));
            }
            Some(_) => {}
            None => {
                left.push(*node);
                open.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, settings};
    use super::*;

    fn symbols(text: &str) -> Symbols {
        parse(&mut |path| (path == "Kconfig").then(|| text.to_owned())).unwrap()
    }

    fn between(good: &str, bad: &str, kconfig: &str) -> Steps {
        let read = |text: &str| settings(text).unwrap();
        steps(&read(good), &read(bad), &symbols(kconfig))
    }

    /// The names that each step changes.
    fn names(way: &Steps) -> Vec<String> {
        let step = |s: &Vec<Change>| {
            let names: Vec<&str> = s.iter().map(|c| bare(&c.symbol)).collect();
            names.join("+")
        };
        way.steps.iter().map(step).collect()
    }

    const TREE: &str = "config NET\n\tbool \"n\"\n\
        if NET\nconfig INET\n\tbool \"i\"\nconfig A_FILTER\n\tbool \"f\"\n\tdepends on INET\nendif\n\
        config ALONE\n\tbool \"a\"\n\tdepends on !NET\n\
        config LIB\n\ttristate \"l\"\nconfig DRIVER\n\ttristate \"d\"\n\tselect LIB\n\
        config HIDDEN\n\tdef_bool NET\nconfig BEHIND\n\tbool \"b\"\n\tdepends on HIDDEN\n\
        config P\n\tbool \"p\"\n\tdepends on Q || X\nconfig Q\n\tbool \"q\"\n\tdepends on P || X\n\
        config SIZE\n\tint \"s\"\n\tdepends on NET\n\
        choice\n\tprompt \"c\"\nconfig ONE\n\tbool \"1\"\nconfig TWO\n\tbool \"2\"\nendchoice\n";

    #[test]
    fn what_an_option_needs_is_switched_on_before_it_and_off_after_it() {
        let on = "CONFIG_A_FILTER=y\nCONFIG_INET=y\nCONFIG_NET=y\nCONFIG_BEHIND=y\nCONFIG_HIDDEN=y\n\
                  CONFIG_DRIVER=m\nCONFIG_LIB=m\nCONFIG_SIZE=7\nCONFIG_SAME=y\n";
        let off =
            "# CONFIG_NET is not set\nCONFIG_ALONE=y\nCONFIG_SAME=y\n# CONFIG_LIB is not set\n";
        let way = between(off, on, TREE);
        let expected = [
            "ALONE", "LIB", "DRIVER", "NET", "BEHIND", "INET", "A_FILTER", "SIZE", "HIDDEN",
        ];
        assert_eq!(names(&way), expected);
        assert_eq!(way.message(3), "CONFIG_NET: n -> y\n");
        assert_eq!(way.message(7), "CONFIG_SIZE: absent -> 7\n");
        assert!(
            way.message(8)
                .starts_with("Options that nobody can set: CONFIG_HIDDEN")
        );
        let expected = [
            "A_FILTER", "BEHIND", "DRIVER", "INET", "LIB", "SIZE", "NET", "ALONE", "HIDDEN",
        ];
        assert_eq!(names(&between(on, off, TREE)), expected);
    }

    #[test]
    fn members_of_a_choice_and_options_that_need_each_other_move_together() {
        let way = between(
            "CONFIG_ONE=y\n# CONFIG_TWO is not set\n",
            "# CONFIG_ONE is not set\nCONFIG_TWO=y\nCONFIG_P=y\nCONFIG_Q=y\nCONFIG_UNKNOWN=\"x\"\n",
            TREE,
        );
        assert_eq!(names(&way), ["ONE+TWO", "P+Q", "UNKNOWN"]);
        assert_eq!(
            way.message(0),
            "CONFIG_ONE: y -> n, CONFIG_TWO: n -> y\n\nCONFIG_ONE: y -> n\nCONFIG_TWO: n -> y\n"
        );
    }

    #[test]
    fn both_ends_say_what_was_asked_for() {
        let (good, bad) = (
            "CONFIG_NET=y\nCONFIG_SIZE=4\nCONFIG_ONE=y\n",
            "CONFIG_NET=y\nCONFIG_SIZE=5\n# CONFIG_LIB is not set\nCONFIG_TWO=y\n",
        );
        let texts: Vec<String> = between(good, bad, TREE).texts().collect();
        let said = |text: &str, more: &str| {
            let mut want = settings(text).unwrap();
            want.extend(settings(more).unwrap());
            want
        };
        assert_eq!(texts.len(), 3);
        let ends = (settings(&texts[0]).unwrap(), settings(&texts[2]).unwrap());
        assert_eq!(ends.0, said(good, "CONFIG_LIB=n\nCONFIG_TWO=n\n"));
        assert_eq!(ends.1, said(bad, "CONFIG_ONE=n\n"));
        let lines = |text: &str| text.lines().count();
        assert!(texts.iter().all(|t| lines(t) == lines(&texts[0])));
    }
}
