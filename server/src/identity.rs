//! What makes two builds, or two runs, the same one (DESIGN §2).

use firstbad_api::lease::{ConfigRequest, Packaged, RunMode, VmShape};
use sha2::{Digest, Sha256};

/// Changes whenever the way a worker builds changes what comes out.
pub const BUILD_RECIPE: &str = "build-recipe-1";

/// The same for selftests.
const KSELFTEST_RECIPE: &str = "kselftest-1";

/// The same for fstests.
const FSTESTS_RECIPE: &str = "fstests-1";

/// The tests that are built with a kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selftests<'a> {
    pub targets: &'a [String],
    /// The revision they are taken from, if not the candidate's own.
    pub from: Option<&'a str>,
    /// The revision of fstests that goes with the kernel, if one does.
    pub fstests: Option<&'a str>,
}

impl Selftests<'_> {
    fn with(&self, kernel: String) -> String {
        let kernel = match (self.targets, self.from) {
            ([], _) => kernel,
            (targets, None) => digest(&(kernel, KSELFTEST_RECIPE, targets)),
            (targets, Some(from)) => digest(&(kernel, KSELFTEST_RECIPE, targets, from)),
        };
        match self.fstests {
            None => kernel,
            Some(rev) => digest(&(kernel, FSTESTS_RECIPE, rev)),
        }
    }
}

/// Source tree, fix-ups, configuration request, toolchain and recipe; selftests make it
/// another build, so that only jobs that want them pay for them.
///
/// The request with the tree and the toolchain determines the resolved
/// configuration, so the identity is known before anything is configured.
pub fn build(
    tree_oid: &str,
    fixups: &[String],
    config: &ConfigRequest,
    toolchain: &str,
    tests: Selftests,
) -> String {
    tests.with(digest(&(BUILD_RECIPE, tree_oid, fixups, config, toolchain)))
}

/// A packaged kernel: its files, and what is taken out of them. It has no selftests of its own; those
/// of another revision, and fstests, are built, which takes a toolchain.
pub fn packaged(tree_oid: &str, packaged: &Packaged, toolchain: &str, tests: Selftests) -> String {
    let kernel = digest(&(BUILD_RECIPE, tree_oid, packaged));
    match (tests.from, tests.fstests) {
        (None, None) => kernel,
        _ => tests.with(digest(&(kernel, toolchain))),
    }
}

/// Everything a run is a function of, with the kernel by its signature.
pub struct Run<'a> {
    pub signature: &'a str,
    pub suite_digest: &'a str,
    pub cases: &'a [String],
    pub shape: VmShape,
    pub toolset: &'a str,
    pub qemu_version: &'a str,
    pub seed: u64,
}

impl Run<'_> {
    /// In real mode a run is a sample, so the job that took it is part of its identity.
    pub fn identity(&self, job: i64) -> String {
        let sample = (self.shape.mode == RunMode::Real).then_some(job);
        digest(&(
            "test-1",
            self.signature,
            self.suite_digest,
            self.cases,
            self.shape,
            self.toolset,
            self.qemu_version,
            self.seed,
            sample,
        ))
    }
}

fn digest<T: serde::Serialize>(value: &T) -> String {
    // Serialising tuples of strings and numbers cannot fail; an empty text would only cost a rebuild.
    hex::encode(Sha256::digest(
        serde_json::to_vec(value).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::lease::{ConfigBase, Fragment};

    #[test]
    fn every_part_counts() {
        let config = |text: &str| ConfigRequest {
            base: ConfigBase::Tinyconfig,
            fragments: vec![Fragment {
                name: "f".to_owned(),
                text: text.to_owned(),
            }],
        };
        let base = build("t", &[], &config("A=y"), "gcc", Selftests::default());
        assert_eq!(
            base,
            build("t", &[], &config("A=y"), "gcc", Selftests::default())
        );
        assert_ne!(
            base,
            build("u", &[], &config("A=y"), "gcc", Selftests::default())
        );
        assert_ne!(
            base,
            build(
                "t",
                &["p".to_owned()],
                &config("A=y"),
                "gcc",
                Selftests::default()
            )
        );
        assert_ne!(
            base,
            build("t", &[], &config("A=n"), "gcc", Selftests::default())
        );
        assert_ne!(
            base,
            build("t", &[], &config("A=y"), "clang", Selftests::default())
        );
        let own = |from: Option<&str>, target: &str| {
            let targets = &[target.to_owned()];
            let tests = Selftests {
                targets,
                from,
                ..Selftests::default()
            };
            build("t", &[], &config("A=y"), "gcc", tests)
        };
        let tests = |target: &str| own(None, target);
        assert_ne!(base, tests("pidfd"));
        assert_ne!(tests("proc"), tests("pidfd"));
        assert_ne!(own(Some("a"), "pidfd"), tests("pidfd"));
        assert_ne!(own(Some("a"), "pidfd"), own(Some("b"), "pidfd"));
        let debian = Packaged { modules: vec![] };
        let targets = &["pidfd".to_owned()];
        let of = |from| {
            let tests = Selftests {
                targets,
                from,
                ..Selftests::default()
            };
            packaged("t", &debian, "gcc", tests)
        };
        let fstests = |rev: &'static str| Selftests {
            fstests: Some(rev),
            ..Selftests::default()
        };
        let with = |rev| build("t", &[], &config("A=y"), "gcc", fstests(rev));
        assert!(base != with("a") && with("a") != with("b"));
        let with = |rev, gcc| packaged("t", &debian, gcc, fstests(rev));
        assert!(of(None) != with("a", "gcc") && with("a", "gcc") != with("b", "gcc"));
        assert_ne!(with("a", "gcc"), with("a", "clang"));
        assert_eq!(
            of(None),
            packaged("t", &debian, "clang", Selftests::default())
        );
        assert_ne!(of(None), of(Some("a")));
    }
}
