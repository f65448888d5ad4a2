//! Reads a build log line by line, as it comes.
//!
//! Owns the question whose fault a failed build is: a line of the compiler is
//! the tree's, a missing program, a killed compiler or a full disk is ours.
//! Must not know how the build was started.

use std::sync::LazyLock;

use regex::Regex;

/// Longest quoted line, characters.
const QUOTE: usize = 400;

/// What the lines of one build said.
#[derive(Debug, Default)]
pub struct BuildLines {
    error: Option<String>,
    stop: Option<String>,
    ours: Option<String>,
    /// The last line that says something.
    last: String,
    /// Objects compiled or assembled for the target.
    pub objects: u64,
}

/// Lines that name the cause.
static CAUSE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(concat!(
        r"(?:^|[:\s])(?:fatal )?[Ee]rror: |: undefined reference to |^ld: .*(?:error|multiple definition)",
        r"|^ERROR: |: syntax error|\*\*\* No rule to make target|cannot find -l|multiple definition of",
    ))
});
/// Lines by which make says that it gives up.
static STOP: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"^make(?:\[\d+\])?: \*\*\* "));
/// Lines that say that the machine, not the tree, failed.
static OURS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    regex(concat!(
        r"(?:: |^)No space left on device$|: Disk quota exceeded$|: Input/output error$",
        r"|: Cannot allocate memory$|^virtual memory exhausted|cc1: out of memory",
        r"|fatal error: (?:Killed|Terminated) signal terminated program",
        r"|internal compiler error: (?:Killed|Bus error|Segmentation fault|Illegal instruction)",
        r"|^make(?:\[\d+\])?: \*\*\* .* (?:Error 137|Killed)$",
        r"|^/bin/(?:ba)?sh: (?:line )?\d+: [A-Za-z0-9_+.-]+: (?:command )?not found$",
        r"|^make(?:\[\d+\])?: [A-Za-z0-9_+.-]+: No such file or directory$",
        r"|^ccache: error: ",
    ))
});
/// kbuild's short line for one target object.
static OBJECT: LazyLock<Option<Regex>> = LazyLock::new(|| regex(r"^  (?:CC|AS) {4,}\S+\.o$"));

fn regex(pattern: &str) -> Option<Regex> {
    let made = Regex::new(pattern);
    debug_assert!(made.is_ok(), "{pattern}");
    made.ok()
}

fn hit(pattern: &LazyLock<Option<Regex>>, line: &str) -> bool {
    pattern.as_ref().is_some_and(|r| r.is_match(line))
}

impl BuildLines {
    /// Takes the next line.
    pub fn see(&mut self, line: &str) {
        if hit(&OBJECT, line) {
            self.objects += 1;
            return;
        }
        if !line.trim().is_empty() {
            self.last.clear();
            self.last.push_str(line);
        }
        if self.ours.is_none() && hit(&OURS, line) {
            self.ours = Some(quote(line));
        }
        if self.error.is_none() && hit(&CAUSE, line) {
            self.error = Some(quote(line));
        } else if self.stop.is_none() && hit(&STOP, line) {
            self.stop = Some(quote(line));
        }
    }

    /// The line that says the failure is ours, if one does.
    pub fn ours(&self) -> Option<&str> {
        self.ours.as_deref()
    }

    /// The first line that names the cause; where none does, the last there was.
    pub fn first_error(&self) -> String {
        let named = self.error.as_ref().or(self.stop.as_ref());
        named.cloned().unwrap_or_else(|| match quote(&self.last) {
            last if last.is_empty() => "it failed without a word".to_owned(),
            last => last,
        })
    }
}

/// A line fit for showing: bounded, without control characters.
fn quote(line: &str) -> String {
    line.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(QUOTE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> BuildLines {
        let mut lines = BuildLines::default();
        log.lines().for_each(|l| lines.see(l));
        lines
    }

    #[test]
    fn the_compilers_line_is_the_first_error() {
        let seen = read(
            "  CC      fs/btrfs/file.o\n  AS      arch/x86/entry/entry.o\n  HOSTCC  scripts/basic/fixdep\n  CC [M]  a.o\n\
             /src/fs/btrfs/file.c: In function 'f':\n\
             /src/fs/btrfs/file.c:7:2: error: 'x' undeclared (first use in this function)\n\
             make[5]: *** [/src/scripts/Makefile.build:229: fs/btrfs/file.o] Error 1\n\
             make[4]: *** [/src/scripts/Makefile.build:478: fs/btrfs] Error 2\n",
        );
        assert_eq!(
            seen.first_error(),
            "/src/fs/btrfs/file.c:7:2: error: 'x' undeclared (first use in this function)"
        );
        assert_eq!(seen.objects, 2);
        assert_eq!(seen.ours(), None);
    }

    #[test]
    fn linkers_and_make_itself_are_understood() {
        let link = read(
            "ld: fs/btrfs/file.o: in function `f':\nfile.c:(.text+0x4): undefined reference to `gone'\nmake[2]: *** [Makefile:1: vmlinux] Error 1\n",
        );
        assert_eq!(
            link.first_error(),
            "file.c:(.text+0x4): undefined reference to `gone'"
        );
        let rule = read(
            "make[3]: *** No rule to make target 'fs/x.o', needed by 'fs/built-in.a'.  Stop.\n",
        );
        assert!(rule.first_error().contains("No rule to make target"));
        let only = read("make[2]: *** [Makefile:1: x] Error 1\n");
        assert_eq!(only.first_error(), "make[2]: *** [Makefile:1: x] Error 1");
        let other = read("cp: cannot open 'x' for reading: Permission denied\n\n");
        assert_eq!(
            other.first_error(),
            "cp: cannot open 'x' for reading: Permission denied"
        );
        assert_eq!(read("").first_error(), "it failed without a word");
    }

    #[test]
    fn our_own_failures_are_told_apart() {
        for line in [
            "fs/a.c:9: fatal error: error writing to /tmp/cc.s: No space left on device",
            "gcc: fatal error: Killed signal terminated program cc1",
            "a.c:1:1: internal compiler error: Segmentation fault",
            "/bin/sh: 1: flex: not found",
            "/bin/sh: line 3: bison: command not found",
            "make[1]: *** [Makefile:3: x.o] Error 137",
            "make: gcc: No such file or directory",
        ] {
            assert_eq!(read(line).ours(), Some(line), "{line}");
        }
        for line in [
            "a.c:3:9: error: 'ENOSPC' undeclared \"No space left on device\"",
            "a.c:1:10: fatal error: gone.h: No such file or directory",
            "make[1]: *** [Makefile:3: x.o] Error 139",
            "./scripts/x.sh: 3: mytool: not found",
        ] {
            assert_eq!(read(line).ours(), None, "{line}");
        }
    }
}
