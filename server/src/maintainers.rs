//! Who looks after a file, as a kernel tree's MAINTAINERS says.
//!
//! Pure. Reads what `scripts/get_maintainer.pl` reads, without running a script of an untrusted
//! tree: M:, R:, L:, F:, X: and N:. K: (content) is left alone, and so is the history of the files.

use regex::Regex;

/// Longest pattern that is compiled, bytes; the longest of a real tree has about 60.
const PATTERN_BYTES: usize = 200;
/// Memory of one compiled pattern, bytes.
const PATTERN_MEMORY: usize = 1 << 20;

/// A person or list with an address that a mail can be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// May be empty.
    pub name: String,
    pub mail: String,
}

impl Mailbox {
    /// `Name <mail>`, `"Name" <mail>` or `mail`; `None` for anything else.
    pub fn read(text: &str) -> Option<Mailbox> {
        let text = text.trim();
        let (name, mail) = match text.split_once('<') {
            Some((name, rest)) => (name, rest.split_once('>')?.0),
            None => ("", text.split_whitespace().next()?),
        };
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        let name = name.trim().trim_matches('"').trim().to_owned();
        is_address(mail).then(|| Mailbox {
            name,
            mail: mail.to_owned(),
        })
    }

    /// Whether both are one: an address, or a name with two of them.
    pub fn is(&self, other: &Mailbox) -> bool {
        self.mail.eq_ignore_ascii_case(&other.mail)
            || (!self.name.is_empty() && self.name == other.name)
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Mailbox { name, mail } = self;
        let plain = |c: char| c.is_alphanumeric() || " -_'".contains(c);
        match name.is_empty() {
            true => write!(f, "{mail}"),
            false if name.chars().all(plain) => write!(f, "{name} <{mail}>"),
            false => write!(f, "\"{}\" <{mail}>", name.replace(['"', '\\'], "")),
        }
    }
}

/// The common part of RFC 5322's addresses: nothing that could end a header or an address.
fn is_address(mail: &str) -> bool {
    let Some((local, domain)) = mail.split_once('@') else {
        return false;
    };
    let in_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let in_domain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    mail.len() <= 254
        && !local.is_empty()
        && local.chars().all(in_local)
        && domain.chars().all(in_domain)
        && !domain.starts_with(['.', '-'])
        && !domain.ends_with(['.', '-'])
        && !domain.is_empty()
}

/// Who is to be told about a change of some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Maintainers and reviewers, in the order of the file.
    pub people: Vec<Mailbox>,
    /// Lists that take mail of anybody.
    pub lists: Vec<Mailbox>,
}

impl Found {
    fn add(to: &mut Vec<Mailbox>, new: &[Mailbox]) {
        for mailbox in new {
            if !to.iter().any(|known| known.is(mailbox)) {
                to.push(mailbox.clone());
            }
        }
    }
}

/// A MAINTAINERS file.
#[derive(Debug, Default)]
pub struct Maintainers {
    sections: Vec<Section>,
}

#[derive(Debug, Default)]
struct Section {
    people: Vec<Mailbox>,
    lists: Vec<Mailbox>,
    files: Vec<Pattern>,
    excluded: Vec<Pattern>,
    names: Vec<Regex>,
}

impl Section {
    /// The section for what no other one has.
    fn takes_all(&self) -> bool {
        let has = |text: &str| self.files.iter().any(|f| f.text == text);
        has("*") && has("*/")
    }

    fn has(&self, path: &str) -> bool {
        let named = || self.names.iter().any(|n| n.is_match(path));
        let one_of = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches(path));
        (one_of(&self.files) || named()) && !one_of(&self.excluded)
    }

    fn read(&mut self, kind: u8, value: &str) {
        match kind {
            b'M' | b'R' => self.people.extend(Mailbox::read(value)),
            // Who is no member cannot write to such a list.
            b'L' if !value.contains("subscribers-only") => {
                self.lists.extend(Mailbox::read(value));
            }
            b'F' => self.files.push(Pattern::new(value)),
            b'X' => self.excluded.push(Pattern::new(value)),
            b'N' if value.len() <= PATTERN_BYTES => {
                let compiled = regex::RegexBuilder::new(value)
                    .size_limit(PATTERN_MEMORY)
                    .build();
                self.names.extend(compiled);
            }
            _ => {}
        }
    }
}

impl Maintainers {
    /// Reads a MAINTAINERS file. What is not understood is left out.
    pub fn read(text: &str) -> Maintainers {
        let mut sections = vec![];
        let mut section = Section::default();
        for line in text.lines() {
            match line.as_bytes() {
                [kind @ b'A'..=b'Z', b':', ..] => match line[2..].trim() {
                    "" => {}
                    value => section.read(*kind, value),
                },
                // A title, or the empty line before one.
                _ => sections.push(std::mem::take(&mut section)),
            }
        }
        sections.push(section);
        sections.retain(|s| !s.files.is_empty() || !s.names.is_empty());
        Maintainers { sections }
    }

    /// Who looks after these files. Whoever looks after everything is not told; the lists for
    /// everything come last.
    pub fn of<'a>(&self, paths: impl Iterator<Item = &'a str> + Clone) -> Found {
        let mut found = Found::default();
        let (rest, own): (Vec<&Section>, Vec<&Section>) =
            self.sections.iter().partition(|s| s.takes_all());
        for section in own {
            if paths.clone().any(|path| section.has(path)) {
                Found::add(&mut found.people, &section.people);
                Found::add(&mut found.lists, &section.lists);
            }
        }
        for section in rest {
            Found::add(&mut found.lists, &section.lists);
        }
        found
    }
}

/// A pattern of F: or X:.
#[derive(Debug)]
struct Pattern {
    text: String,
    /// Bytes before the first `*` or `?`.
    plain: usize,
    /// Slashes.
    depth: usize,
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern {
            plain: text.find(['*', '?']).unwrap_or(text.len()),
            depth: depth(text),
            text: text.to_owned(),
        }
    }

    /// Whether it means a path, as get_maintainer.pl sees it: with a slash at its end all below the
    /// directory; else what begins so and is as deep, or is below a directory of that name. `*` and
    /// `?` stand for any characters; with `**` the depth does not count.
    fn matches(&self, path: &str) -> bool {
        let Pattern { text, plain, .. } = self;
        // Most of some ten thousand patterns end here.
        if !text
            .get(..*plain)
            .is_some_and(|start| path.starts_with(start))
        {
            return false;
        }
        let below = || path.as_bytes().get(text.len()) == Some(&b'/');
        if *plain == text.len() && !text.ends_with('/') && below() {
            return true;
        }
        let deep = text.ends_with('/') || text.contains("**");
        (deep || self.depth == depth(path)) && begins(path.as_bytes(), text.as_bytes())
    }
}

fn depth(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'/').count()
}

/// Whether `path` begins with what `pattern` stands for.
fn begins(path: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut wanted) = (0, 0);
    // Where to go on after the last star, and how far that star reached.
    let mut star: Option<(usize, usize)> = None;
    while let Some(want) = pattern.get(wanted) {
        let here = path.get(at);
        if *want == b'*' {
            wanted += 1;
            star = Some((wanted, at));
        } else if here.is_some_and(|c| *want == b'?' || want == c) {
            at += 1;
            wanted += 1;
        } else {
            let Some((after, reached)) = star.filter(|(_, reached)| *reached < path.len()) else {
                return false;
            };
            star = Some((after, reached + 1));
            (wanted, at) = (after, reached + 1);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
List of maintainers
===================

\tM: *Mail* patches to: FullName <address@domain>
\tF: *Files* and directories wildcard patterns.

BTRFS FILE SYSTEM
M:\tChris Mason <clm@fb.com>
M:\tDavid Sterba <dsterba@suse.com>
L:\tlinux-btrfs@vger.kernel.org
S:\tMaintained
F:\tfs/btrfs/
F:\tinclude/trace/events/btrfs.h

NETWORKING [GENERAL]
M:\t\"David S. Miller\" <davem@davemloft.net>
R:\tJérôme Müller <jm@example.org>
L:\tnetdev@vger.kernel.org (moderated for non-subscribers)
L:\tsecret@example.org (subscribers-only)
F:\tnet/
F:\tdrivers/net/*.c
X:\tnet/wireless/

TEGRA ARCHITECTURE SUPPORT
M:\tThierry <t@example.org>
M:\tno address at all
M:\tBad <a@b> and more
N:\t[^a-z]tegra
N:\t(unclosed
K:\tbtrfs

DEEP
M:\tDeep <deep@example.org>
F:\tsound/**/deep*.c
F:\t*/Kconfig

THE REST
M:\tLinus Torvalds <torvalds@linux-foundation.org>
L:\tlinux-kernel@vger.kernel.org
F:\t*
F:\t*/
";

    fn told(paths: &[&str]) -> (Vec<String>, Vec<String>) {
        let found = Maintainers::read(FILE).of(paths.iter().copied());
        let words = |all: Vec<Mailbox>| all.iter().map(Mailbox::to_string).collect();
        (words(found.people), words(found.lists))
    }

    #[test]
    fn sections_are_found_by_files_names_and_exclusions() {
        let rest = "linux-kernel@vger.kernel.org".to_owned();
        let (people, lists) = told(&["fs/btrfs/super.c", "fs/btrfs/tests/x.c"]);
        assert_eq!(people.len(), 2);
        assert_eq!(
            lists,
            ["linux-btrfs@vger.kernel.org".to_owned(), rest.clone()]
        );
        let (people, lists) = told(&["net/core/dev.c"]);
        assert_eq!(people[0], "\"David S. Miller\" <davem@davemloft.net>");
        assert_eq!(people[1], "Jérôme Müller <jm@example.org>");
        assert_eq!(lists, ["netdev@vger.kernel.org".to_owned(), rest.clone()]);
        for nobody in [
            "net/wireless/core.c",
            "drivers/net/ethernet/x.c",
            "fs/btrfs",
            "fs/btrfs2/x.c",
            "README",
        ] {
            assert_eq!(told(&[nobody]), (vec![], vec![rest.clone()]), "{nobody}");
        }
        assert_eq!(told(&["drivers/net/tun.c"]).0.len(), 2);
        assert_eq!(
            told(&["arch/arm/mach-tegra/x.c"]).0,
            ["Thierry <t@example.org>", "Bad <a@b>"]
        );
        assert_eq!(told(&["sound/a/b/deeper.c"]).0, ["Deep <deep@example.org>"]);
        assert_eq!(told(&["net2/Kconfig"]).0, ["Deep <deep@example.org>"]);
        assert_eq!(told(&["a/b/Kconfig"]).0, Vec::<String>::new());
    }

    #[test]
    fn stars_go_back() {
        for (pattern, path, yes) in [
            ("*/net/*", "any/net/x", true),
            ("*a*b*c", "xxaxxbxxbxxc", true),
            ("*a*b*c", "xxaxxbxxbxx", false),
            ("dir?/x", "dir1/x", true),
            ("dir?/x", "dir/x", false),
            ("x", "", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(path), yes, "{pattern} {path}");
        }
    }

    #[test]
    fn nothing_that_ends_a_header_is_an_address() {
        for bad in [
            "",
            "nobody",
            "a@",
            "@b",
            "A <a@b\r\nBcc: c@d>",
            "A <a b@c>",
            "a,b@c",
            "A <a@b",
            "a@b_c",
        ] {
            assert_eq!(Mailbox::read(bad), None, "{bad:?}");
        }
        let read = Mailbox::read("Evil\r\nBcc: x <a@b.c>").unwrap();
        assert_eq!(read.to_string(), "\"EvilBcc: x\" <a@b.c>");
    }
}
