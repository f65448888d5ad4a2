//! Where a `git bisect` of somebody else stands, from its log.
//!
//! Reads what git writes (`git bisect log`) and nothing more: comments are no steps. Must not run
//! anything.

/// The range that the steps leave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stands {
    pub good: Vec<String>,
    /// The last bad one: git asks only about revisions that it contains.
    pub bad: String,
    pub skip: Vec<String>,
    pub paths: Vec<String>,
    pub first_parent: bool,
}

/// Reads a log.
///
/// # Errors
/// A sentence that names the line, or what is missing.
pub fn read(text: &str) -> Result<Stands, String> {
    let mut stands = Stands::default();
    let (mut old, mut new) = ("old".to_owned(), "new".to_owned());
    let mut started = false;
    for (number, line) in text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("git bisect ") else {
            continue;
        };
        let words = words(rest).ok_or(format!("line {}: a quote is not closed", number + 1))?;
        let mut words = words.into_iter();
        let step = words.next().unwrap_or_default();
        let mut revs = words.filter(|w| !w.is_empty());
        match step.as_str() {
            "start" => {
                let mut words: Vec<String> = revs.collect();
                let mut term = |options: [&str; 2]| {
                    let at = words.iter().position(|w| options.contains(&w.as_str()))?;
                    words.drain(at..words.len().min(at + 2)).nth(1)
                };
                old = term(["--term-old", "--term-good"]).unwrap_or(old);
                new = term(["--term-new", "--term-bad"]).unwrap_or(new);
                stands = start(words);
                started = true;
            }
            step if step == "good" || step == old => stands.good.extend(revs),
            step if step == "bad" || step == new => {
                stands.bad = revs.next().unwrap_or_default();
            }
            "skip" => stands.skip.extend(revs),
            _ => return Err(format!("line {}: unknown step {step:?}", number + 1)),
        }
    }
    match () {
        () if !started => Err("no line `git bisect start`: is this a `git bisect log`?".to_owned()),
        () if stands.bad.is_empty() => Err("it has no bad (or new) revision".to_owned()),
        () if stands.good.is_empty() => Err("it has no good (or old) revision".to_owned()),
        () => Ok(stands),
    }
}

/// `start [--option]… [BAD [GOOD…]] [-- PATH…]`
fn start(words: Vec<String>) -> Stands {
    let mut words = words.into_iter();
    let mut stands = Stands::default();
    for word in words.by_ref() {
        match word.as_str() {
            "--" => break,
            "--first-parent" => stands.first_parent = true,
            option if option.starts_with("--") => {}
            _ if stands.bad.is_empty() => stands.bad = word,
            _ => stands.good.push(word),
        }
    }
    stands.paths = words.collect();
    stands
}

/// Splits as a shell does what git has quoted: in single quotes, with `'\''` for a quote.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_writes() {
        let log = "git bisect start '--first-parent' 'b1' 'g1' '--' 'fs/it'\\''s' 'mm'\n\
                   # bad: [b1] a subject\n# good: [g1] git bisect bad never\n\
                   # bad: [b2] s\ngit bisect bad b2\ngit bisect good g2\ngit bisect skip s1 s2\n\
                   # first bad commit: [b2] s\n";
        let stands = read(log).unwrap();
        assert_eq!(stands.good, ["g1", "g2"]);
        assert_eq!(stands.bad, "b2");
        assert_eq!(stands.skip, ["s1", "s2"]);
        assert_eq!(stands.paths, ["fs/it's", "mm"]);
        assert!(stands.first_parent);
    }

    #[test]
    fn the_words_of_the_log_are_its_own() {
        let log = "git bisect start '--term-old' 'broken' '--term-new' 'fixed'\n\
                   git bisect fixed f\ngit bisect broken o\n";
        let stands = read(log).unwrap();
        assert_eq!(
            (stands.bad.as_str(), &stands.good[..]),
            ("f", &["o".to_owned()][..])
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (log, why) in [
            ("", "git bisect start"),
            ("git bisect start\ngit bisect good a\n", "no bad"),
            ("git bisect start 'a'\n", "no good"),
            ("git bisect start 'a\n", "line 1"),
            ("git bisect start\ngit bisect run sh\n", "line 2"),
        ] {
            let said = read(log).unwrap_err();
            assert!(said.contains(why), "{log}: {said}");
        }
    }
}
