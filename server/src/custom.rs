//! A user's own test, checked and made a suite of one case.
//!
//! Owns what such a test may be. Must not know jobs or how a suite is run.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firstbad_api::custom::{CustomKind, CustomTest, NAME};
use firstbad_api::lease::Fragment;
use firstbad_api::limits::{
    CUSTOM_MEMORY_MIB, CUSTOM_PROGRAM_BYTES, CUSTOM_TEXT_BYTES, CUSTOM_TIMEOUT_S, PATTERN_BYTES,
    PATTERN_MEMORY,
};
use firstbad_api::suite::{CaseSpec, FileKind, SuiteBundle, SuiteFile, SuiteSpec};

use crate::suites;

/// The kernel configuration that every shipped suite has too: one build serves all.
const CONFIG: &str = "kernel.config";
/// Host programs that a test finds in the guest besides busybox.
const TOOLS: [&str; 5] = ["btrfs", "crun", "mkfs.btrfs", "mkfs.ext4", "setpriv"];
/// The case's script, and the program that it becomes unless it is the test itself.
const SCRIPT: &str = "custom.sh";
const PROGRAM: &str = "custom";
const RUN_PROGRAM: &str = "exec /suite/custom\n";
const SHELLS: [&str; 4] = ["sh", "ash", "dash", "busybox"];

/// Why a test cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// JSON pointer below the test.
    pub pointer: &'static str,
    /// A sentence without the field's name.
    pub why: String,
    /// It is more than is taken.
    pub large: bool,
}

fn refused(pointer: &'static str, why: impl Into<String>) -> Refused {
    Refused {
        pointer,
        why: why.into(),
        large: false,
    }
}

/// The suite that a test becomes, with its kernel configuration.
///
/// # Errors
/// When the test could not be run whatever the kernel is, or is beyond a limit.
pub fn suite(test: &CustomTest) -> Result<(SuiteBundle, Vec<Fragment>), Refused> {
    check_numbers(test)?;
    check_patterns(test)?;
    let file = |path: &str, content: &str, kind| SuiteFile {
        path: path.to_owned(),
        content: content.to_owned(),
        kind,
    };
    let files = match test.kind {
        CustomKind::Script => {
            check_text(test)?;
            check_script(&test.content)?;
            vec![file(SCRIPT, &test.content, FileKind::Text)]
        }
        CustomKind::C => {
            check_text(test)?;
            vec![
                file(PROGRAM, &test.content, FileKind::C),
                file(SCRIPT, RUN_PROGRAM, FileKind::Text),
            ]
        }
        CustomKind::Program => {
            check_program(&test.content)?;
            vec![
                file(PROGRAM, &test.content, FileKind::Base64),
                file(SCRIPT, RUN_PROGRAM, FileKind::Text),
            ]
        }
    };
    let ours = |why| refused("", why);
    let bundle = suites::sealed(spec(test), files).map_err(ours)?;
    let fragment = Fragment {
        name: CONFIG.to_owned(),
        text: suites::read(CONFIG).map_err(ours)?,
    };
    Ok((bundle, vec![fragment]))
}

/// Nothing in it is only for people: a test by another name is the same test.
fn spec(test: &CustomTest) -> SuiteSpec {
    SuiteSpec {
        kselftest: Vec::new(),
        name: NAME.to_owned(),
        about: "A test of the user's own.".to_owned(),
        memory_mib: test.memory_mib,
        tools: TOOLS.map(str::to_owned).to_vec(),
        config: vec![CONFIG.to_owned()],
        sources: Vec::new(),
        deadline_s: None,
        cmdline: String::new(),
        case: vec![CaseSpec {
            name: NAME.to_owned(),
            about: "The test.".to_owned(),
            script: SCRIPT.to_owned(),
            timeout_s: test.timeout_s,
            since: None,
            until: None,
            excluded: Vec::new(),
            patterns: test.patterns.clone(),
        }],
    }
}

fn check_numbers(test: &CustomTest) -> Result<(), Refused> {
    let printable = !test.name.chars().any(char::is_control);
    if test.name.trim().is_empty() || test.name.len() > 100 || !printable {
        return Err(refused("/name", "use 1 to 100 printable characters"));
    }
    let (least, most) = CUSTOM_MEMORY_MIB;
    if !(least..=most).contains(&test.memory_mib) {
        return Err(refused("/memory_mib", format!("use {least} to {most}")));
    }
    if !(1..=CUSTOM_TIMEOUT_S).contains(&test.timeout_s) {
        let why = format!("use 1 to {CUSTOM_TIMEOUT_S} (guest seconds)");
        return Err(refused("/timeout_s", why));
    }
    Ok(())
}

fn check_patterns(test: &CustomTest) -> Result<(), Refused> {
    let patterns = &test.patterns;
    for (pointer, pattern) in [
        ("/patterns/fails_when", &patterns.fails_when),
        ("/patterns/passes_when", &patterns.passes_when),
    ] {
        let Some(pattern) = pattern else { continue };
        if pattern.len() > PATTERN_BYTES || pattern.contains(['\0', '\n']) {
            let why = format!("use one line of at most {PATTERN_BYTES} bytes");
            return Err(refused(pointer, why));
        }
        let regex = regex::RegexBuilder::new(pattern)
            .size_limit(PATTERN_MEMORY)
            .build();
        match regex {
            Ok(regex) if regex.is_match("") => {
                let why = "it matches an empty line, and so every run; name some text";
                return Err(refused(pointer, why));
            }
            Ok(_) => {}
            Err(e) => {
                let lines = e.to_string();
                let last = lines.lines().last().unwrap_or_default();
                let why = format!(
                    "{} (a regular expression is wanted, without look-around and references back)",
                    last.trim_start_matches("error: ")
                );
                return Err(refused(pointer, why));
            }
        }
    }
    Ok(())
}

fn too_large(size: usize, most: usize, advice: &str) -> Refused {
    Refused {
        large: true,
        ..refused(
            "/content",
            format!("it has {size} bytes, at most {most} are taken{advice}"),
        )
    }
}

fn check_text(test: &CustomTest) -> Result<(), Refused> {
    let text = &test.content;
    if text.len() > CUSTOM_TEXT_BYTES {
        return Err(too_large(text.len(), CUSTOM_TEXT_BYTES, ""));
    }
    if text.trim().is_empty() {
        return Err(refused("/content", "it is empty"));
    }
    if text.contains('\0') {
        let why = "it holds a NUL byte, so it is no text; a program goes as kind program";
        return Err(refused("/content", why));
    }
    Ok(())
}

/// What the guest's shell would get wrong: its answer would read as a verdict on the kernel.
fn check_script(text: &str) -> Result<(), Refused> {
    let first = text.lines().next().unwrap_or_default();
    if text.split('\n').next().is_some_and(|l| l.ends_with('\r')) {
        let why =
            "its lines end as on Windows, which a shell cannot read; convert it with dos2unix";
        return Err(refused("/content", why));
    }
    let Some(line) = first.strip_prefix("#!") else {
        return Ok(());
    };
    let mut words = line
        .split_whitespace()
        .map(|w| w.rsplit('/').next().unwrap_or(w));
    let named = match words.next() {
        Some("env") => words.find(|w| !w.starts_with('-')),
        named => named,
    };
    match named {
        Some(name) if !SHELLS.contains(&name) => Err(refused(
            "/content",
            format!(
                "its first line asks for {name:?}, and the guest has only busybox's sh; write it \
                 for sh and begin it with #!/bin/sh, or bring a static program"
            ),
        )),
        _ => Ok(()),
    }
}

fn check_program(content: &str) -> Result<(), Refused> {
    // Four characters for three bytes.
    let size = content.len() / 4 * 3;
    if size > CUSTOM_PROGRAM_BYTES + 3 {
        let advice = "; `strip` makes a program smaller";
        return Err(too_large(size, CUSTOM_PROGRAM_BYTES, advice));
    }
    let bytes = STANDARD
        .decode(content)
        .map_err(|e| refused("/content", format!("it is not base64: {e}")))?;
    match is_dynamic(&bytes) {
        Some(false) => Ok(()),
        Some(true) => Err(refused(
            "/content",
            "it needs shared libraries, which the guest does not have; link it with -static",
        )),
        None => Err(refused("/content", "it is no x86-64 ELF program")),
    }
}

/// Whether an x86-64 ELF program asks for a loader; `None` when it is none.
fn is_dynamic(elf: &[u8]) -> Option<bool> {
    const INTERP: u32 = 3;
    let word = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let program =
        elf.get(..6)? == b"\x7fELF\x02\x01" && matches!(word(16)?, 2 | 3) && word(18)? == 62;
    if !program {
        return None;
    }
    let table = u64::from_le_bytes(elf.get(32..40)?.try_into().ok()?);
    let table = usize::try_from(table).ok()?;
    let (size, count) = (usize::from(word(54)?), usize::from(word(56)?));
    for n in 0..count {
        let at = table.checked_add(n * size)?;
        let kind = elf.get(at..at.checked_add(4)?)?;
        if u32::from_le_bytes(kind.try_into().ok()?) == INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::suite::Patterns;

    fn test(kind: CustomKind, content: &str) -> CustomTest {
        CustomTest {
            kind,
            name: "mine".to_owned(),
            content: content.to_owned(),
            memory_mib: 1024,
            timeout_s: 60,
            patterns: Patterns::default(),
        }
    }

    fn program(path: &str) -> CustomTest {
        let bytes = std::fs::read(path).unwrap();
        test(CustomKind::Program, &STANDARD.encode(bytes))
    }

    #[test]
    fn each_kind_becomes_one_case() {
        let script = test(CustomKind::Script, "#!/bin/sh\ntrue\n");
        let c = test(CustomKind::C, "int main(void) { return 0; }\n");
        for (test, files) in [(script, 1), (c, 2), (program("/bin/busybox"), 2)] {
            let (bundle, fragments) = suite(&test).unwrap();
            assert_eq!(bundle.files.len(), files);
            assert_eq!(bundle.spec.case.len(), 1);
            let script = &bundle.spec.case[0].script;
            assert!(bundle.files.iter().any(|f| &f.path == script));
            assert_eq!(fragments[0].name, "kernel.config");
            let renamed = CustomTest {
                name: "yours".to_owned(),
                ..test
            };
            assert_eq!(suite(&renamed).unwrap().0.digest, bundle.digest);
        }
    }

    #[test]
    fn patterns_are_part_of_the_identity() {
        let plain = test(CustomKind::Script, "true");
        let mut other = plain.clone();
        other.patterns.fails_when = Some("lost".to_owned());
        assert_ne!(
            suite(&plain).unwrap().0.digest,
            suite(&other).unwrap().0.digest
        );
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_field() {
        let script = |text: &str| test(CustomKind::Script, text);
        let with = |change: fn(&mut CustomTest)| {
            let mut test = script("true");
            change(&mut test);
            test
        };
        for (test, pointer, part) in [
            (script(" \n"), "/content", "empty"),
            (script("a\0b"), "/content", "NUL"),
            (
                script("#!/usr/bin/env -S python3\n"),
                "/content",
                "\"python3\"",
            ),
            (script("#!/bin/bash\n"), "/content", "\"bash\""),
            (script("#!/bin/sh\r\ntrue\r\n"), "/content", "Windows"),
            (test(CustomKind::Program, "?"), "/content", "not base64"),
            (
                test(CustomKind::Program, "AAAA"),
                "/content",
                "no x86-64 ELF",
            ),
            (program("/bin/ls"), "/content", "-static"),
            (with(|t| t.name = "a\nb".to_owned()), "/name", "printable"),
            (with(|t| t.memory_mib = 1), "/memory_mib", "256 to 4096"),
            (with(|t| t.timeout_s = 0), "/timeout_s", "1 to 300"),
            (
                with(|t| t.patterns.fails_when = Some("(".to_owned())),
                "/patterns/fails_when",
                "unclosed group",
            ),
            (
                with(|t| t.patterns.passes_when = Some("x*".to_owned())),
                "/patterns/passes_when",
                "empty line",
            ),
            (
                with(|t| t.patterns.fails_when = Some("(a{99}){99}{99}".to_owned())),
                "/patterns/fails_when",
                "size limit",
            ),
        ] {
            let why = suite(&test).unwrap_err();
            assert_eq!(why.pointer, pointer, "{}", why.why);
            assert!(why.why.contains(part), "{part}: {}", why.why);
        }
        for fine in [
            "#! /bin/sh -e\ntrue",
            "#!/usr/bin/env sh\n",
            "#!/bin/busybox sh",
        ] {
            assert!(suite(&script(fine)).is_ok(), "{fine}");
        }
    }

    #[test]
    fn what_is_too_large_is_said_to_be() {
        let script = test(CustomKind::Script, &"x".repeat(CUSTOM_TEXT_BYTES + 1));
        let big = test(
            CustomKind::Program,
            &"A".repeat(CUSTOM_PROGRAM_BYTES * 3 / 2),
        );
        for test in [script, big] {
            assert!(suite(&test).unwrap_err().large);
        }
    }
}
