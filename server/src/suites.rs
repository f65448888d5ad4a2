//! The suites compiled into the server, as bundles ready for a lease.

use std::collections::BTreeMap;

use firstbad_api::lease::Fragment;
use firstbad_api::suite::{FileKind, SuiteBundle, SuiteFile, SuiteSpec};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "../suites"]
struct Files;

/// All suites by name.
pub struct Suites {
    by_name: BTreeMap<String, (SuiteBundle, Vec<Fragment>)>,
}

impl Suites {
    /// Reads and checks every `*/*/suite.toml`.
    ///
    /// # Errors
    /// One sentence naming the file, when a suite does not parse or names a missing file.
    pub fn load() -> Result<Suites, String> {
        let mut by_name = BTreeMap::new();
        for path in Files::iter() {
            let Some(dir) = path.strip_suffix("/suite.toml") else {
                continue;
            };
            let text = read(&path)?;
            let spec = parsed(&path, &text)?;
            if spec.name != dir {
                return Err(format!(
                    "suites/{path}: name is {}, folder is {dir}",
                    spec.name
                ));
            }
            let mut fragments = Vec::new();
            for name in &spec.config {
                let at = join(dir, name);
                fragments.push(Fragment {
                    text: read(&at)?,
                    name: at,
                });
            }
            let bundle = bundle(dir, spec)?;
            by_name.insert(bundle.spec.name.clone(), (bundle, fragments));
        }
        Ok(Suites { by_name })
    }

    pub fn get(&self, name: &str) -> Option<&(SuiteBundle, Vec<Fragment>)> {
        self.by_name.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

fn parsed(path: &str, text: &str) -> Result<SuiteSpec, String> {
    toml::from_str(text).map_err(|e| format!("suites/{path}: {e}"))
}

/// A file of `suites/` as text.
pub(crate) fn read(path: &str) -> Result<String, String> {
    let file = Files::get(path).ok_or_else(|| format!("suites/{path}: no such file"))?;
    String::from_utf8(file.data.into_owned()).map_err(|_| format!("suites/{path}: not UTF-8"))
}

/// `btrfs/smoke` + `../../kernel.config` = `kernel.config`.
fn join(dir: &str, name: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').collect();
    for part in name.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn bundle(dir: &str, spec: SuiteSpec) -> Result<SuiteBundle, String> {
    let prefix = format!("{dir}/");
    let area = format!("{}/lib/", dir.split('/').next().unwrap_or_default());
    let mut files = Vec::new();
    for path in Files::iter() {
        let inside = path
            .strip_prefix(&prefix)
            .map(str::to_owned)
            .or_else(|| path.strip_prefix(&area).map(|p| format!("lib/{p}")));
        if let Some(name) = inside.filter(|n| n != "suite.toml") {
            files.push(SuiteFile {
                path: name,
                content: read(&path)?,
                kind: FileKind::Text,
            });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    for case in &spec.case {
        if let (true, Some(since), Some(until)) =
            (case.versions().is_empty(), case.since, case.until)
        {
            return Err(format!(
                "suites/{dir}: case {}: since {since} is later than until {until}",
                case.name
            ));
        }
        if !files.iter().any(|f| f.path == case.script) {
            return Err(format!(
                "suites/{dir}: case {} names {}, which is missing",
                case.name, case.script
            ));
        }
    }
    sealed(spec, files)
}

/// A suite with its digest.
pub(crate) fn sealed(spec: SuiteSpec, files: Vec<SuiteFile>) -> Result<SuiteBundle, String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&(&spec, &files)).map_err(|e| e.to_string())?);
    Ok(SuiteBundle {
        spec,
        files,
        digest: hex::encode(hash.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_suites_load() {
        let suites = Suites::load().unwrap();
        for name in suites.names() {
            assert!(
                !suites.get(name).unwrap().0.spec.case.is_empty(),
                "{name} has no case"
            );
        }
        assert!(suites.get("btrfs/smoke").is_some());
    }

    #[test]
    fn a_range_of_kernels_that_is_none_is_refused() {
        let load = |more: &str| {
            let text = format!(
                "name = \"btrfs/smoke\"\nabout = \"x\"\nmemory_mib = 1\n[[case]]\nname = \"a\"\n\
                 about = \"x\"\nscript = \"scrub.sh\"\n{more}\n"
            );
            bundle("btrfs/smoke", parsed("btrfs/smoke/suite.toml", &text)?)
        };
        let spec = load("since = \"6.19\"\nuntil = \"7.1\"").unwrap().spec;
        assert_eq!(spec.case[0].since, Some("6.19".parse().unwrap()));
        for (more, why) in [
            ("since = \"new\"", "\"new\" is no version of Linux"),
            ("until = 7", "invalid type"),
            (
                "since = \"7.2\"\nuntil = \"7.1\"",
                "case a: since 7.2 is later than until 7.1",
            ),
        ] {
            let said = load(more).unwrap_err();
            assert!(
                said.contains(why) && said.contains("suites/btrfs/smoke"),
                "{said}"
            );
        }
    }

    #[test]
    fn fragment_paths_are_relative_to_the_suite() {
        assert_eq!(join("btrfs/smoke", "../../kernel.config"), "kernel.config");
        assert_eq!(
            join("btrfs/smoke", "kernel.config"),
            "btrfs/smoke/kernel.config"
        );
    }
}
