//! A test of the user's own, from a file to what server and machine take.
//!
//! Owns its options. Must not know what makes it a suite.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use firstbad_api::custom::{CustomKind, CustomTest, default_memory_mib, default_timeout_s};
use firstbad_api::job::NewJob;
use firstbad_api::limits::{CUSTOM_PROGRAM_BYTES, CUSTOM_TEXT_BYTES};
use firstbad_api::suite::Patterns;

use crate::fail::Fail;
use crate::input;

/// The options of a test of one's own; it takes the place of a suite.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "A test of your own instead of a suite")]
pub struct Own {
    /// A shell script for the guest's busybox sh. As with `git bisect run`: exit 0 is good, 1 to 124
    /// bad, 125 skip; 126, 127 and signals: it could not run.
    #[arg(long, value_name = "FILE", group = "own")]
    pub script: Option<PathBuf>,
    /// A C source, such as a reproducer of syzkaller's; the worker compiles it statically.
    #[arg(long, value_name = "FILE", group = "own")]
    pub reproducer: Option<PathBuf>,
    /// A static x86-64 program.
    #[arg(long, value_name = "FILE", group = "own")]
    pub program: Option<PathBuf>,
    /// Bad when a line of its output or of the kernel's log matches.
    #[arg(long, value_name = "REGEX", requires = "own")]
    pub fails_when: Option<String>,
    /// Bad unless such a line matches.
    #[arg(long, value_name = "REGEX", requires = "own")]
    pub passes_when: Option<String>,
    /// Guest seconds after which the test has failed.
    #[arg(long, value_name = "SECONDS", requires = "own", default_value_t = default_timeout_s())]
    pub timeout: u64,
    /// Memory of the guest.
    #[arg(long, value_name = "MIB", requires = "own", default_value_t = default_memory_mib())]
    pub memory: u32,
}

/// The test that the options ask for, if they do.
pub fn test(own: &Own) -> Result<Option<CustomTest>, Fail> {
    let text = |path: &Path| input::text(path, CUSTOM_TEXT_BYTES);
    let (kind, path, content) = if let Some(path) = &own.script {
        (CustomKind::Script, path, text(path)?)
    } else if let Some(path) = &own.reproducer {
        (CustomKind::C, path, text(path)?)
    } else if let Some(path) = &own.program {
        let bytes = input::bytes(path, CUSTOM_PROGRAM_BYTES)?;
        (CustomKind::Program, path, STANDARD.encode(bytes))
    } else {
        return Ok(None);
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Some(CustomTest {
        kind,
        name: name.chars().take(60).collect(),
        content,
        memory_mib: own.memory,
        timeout_s: own.timeout,
        patterns: Patterns {
            fails_when: own.fails_when.clone(),
            passes_when: own.passes_when.clone(),
        },
    }))
}

/// What a job runs, for people: its suite, or the file of its own test.
pub fn name(job: &NewJob) -> &str {
    job.custom.as_ref().map_or(&job.suite, |test| &test.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_test_of_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("repro.c");
        std::fs::write(&file, "int main(void) {}").unwrap();
        let own = Own {
            reproducer: Some(file.clone()),
            fails_when: Some("KASAN".to_owned()),
            timeout: 7,
            memory: 512,
            ..Own::default()
        };
        let test = super::test(&own).unwrap().unwrap();
        assert_eq!((test.kind, test.name.as_str()), (CustomKind::C, "repro.c"));
        assert_eq!((test.timeout_s, test.memory_mib), (7, 512));
        assert_eq!(test.patterns.fails_when.as_deref(), Some("KASAN"));
        let own = Own {
            program: Some(file),
            ..Own::default()
        };
        let test = super::test(&own).unwrap().unwrap();
        assert_eq!(STANDARD.decode(test.content).unwrap(), b"int main(void) {}");
        assert!(super::test(&Own::default()).unwrap().is_none());
    }
}
