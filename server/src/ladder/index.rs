//! What the lists of an archive say about Linux.
//!
//! Owns the naming of Debian's kernel packages. Up to 6.18 one package holds kernel and modules; since
//! then an empty one depends on those that do. A release whose modules are gone is not complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is in the archive of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A kernel with its modules, to be run as it is.
    Packaged,
    /// Source, to be built.
    Source,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Packaged => "packaged",
            Kind::Source => "source",
        }
    }
}

/// One release in one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Such as `6.18.15`.
    pub version: String,
    pub kind: Kind,
    pub files: Vec<File>,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Binary or source package, and the version Debian gave it.
    pub package: String,
    pub version: String,
    pub bytes: u64,
    pub sha256: String,
}

impl Release {
    /// For ordering: the numbers of the version.
    pub fn order(&self) -> Vec<u32> {
        let numbers = self.version.split('.').map(|n| n.parse().unwrap_or(0));
        numbers.collect()
    }
}

/// The flavour of Debian's kernels for virtual machines.
const FLAVOUR: &str = "-cloud-amd64";

/// Reads what `apt-cache dumpavail` and `apt-cache showsrc linux` print; oldest version first.
pub fn releases(packages: &str, sources: &str) -> Vec<Release> {
    let mut found: BTreeMap<(Vec<u32>, Kind), Release> = BTreeMap::new();
    for release in packaged(packages).into_iter().chain(source(sources)) {
        // The lists of several suites follow each other: what the last one says is newest.
        found.insert((release.order(), release.kind), release);
    }
    found.into_values().collect()
}

fn packaged(text: &str) -> Vec<Release> {
    let mut by_name: BTreeMap<&str, (File, bool)> = BTreeMap::new();
    for stanza in stanzas(text) {
        let Some(name) = field(stanza, "Package") else {
            continue;
        };
        if name.starts_with("linux-")
            && name.ends_with(FLAVOUR)
            && let Some(file) = binary(stanza, name)
        {
            let is_split = field(stanza, "Depends").is_some_and(|d| d.contains("linux-binary-"));
            by_name.insert(name, (file, is_split));
        }
    }
    let mut releases = Vec::new();
    for (name, (image, is_split)) in &by_name {
        let Some(abi) = name
            .strip_prefix("linux-image-")
            .filter(|abi| abi.starts_with(|c: char| c.is_ascii_digit()))
        else {
            continue;
        };
        let parts = match is_split {
            false => vec![Some(image.clone())],
            true => ["base", "binary", "modules"]
                .map(|part| by_name.get(format!("linux-{part}-{abi}").as_str()))
                .map(|p| p.map(|(file, _)| file.clone()))
                .into(),
        };
        let files: Option<Vec<File>> = parts.into_iter().collect();
        if let (Some(files), Some(version)) = (files, upstream(&image.version)) {
            releases.push(Release {
                version,
                kind: Kind::Packaged,
                files,
            });
        }
    }
    releases
}

fn binary(stanza: &str, name: &str) -> Option<File> {
    Some(File {
        package: name.to_owned(),
        version: field(stanza, "Version")?.to_owned(),
        bytes: field(stanza, "Size")?.parse().ok()?,
        sha256: field(stanza, "SHA256")?.to_owned(),
    })
}

fn source(text: &str) -> Vec<Release> {
    let release = |stanza: &str| {
        let version = field(stanza, "Version")?;
        let sums = stanza.split("\nChecksums-Sha256:").nth(1)?;
        let lines = sums.lines().skip(1).take_while(|l| l.starts_with(' '));
        let mut fields = lines.map(|l| l.split_whitespace().collect::<Vec<_>>());
        let archive = |f: &Vec<&str>| f.get(2).is_some_and(|n| n.contains(".orig.tar."));
        let found = fields.find(archive)?;
        Some(Release {
            version: upstream(version)?,
            kind: Kind::Source,
            files: vec![File {
                package: "linux".to_owned(),
                version: version.to_owned(),
                bytes: found.get(1)?.parse().ok()?,
                sha256: (*found.first()?).to_owned(),
            }],
        })
    };
    stanzas(text).filter_map(release).collect()
}

/// `6.18.15` of `6.18.15-1~bpo13+1`; `None` for what is no release, such as a candidate.
fn upstream(version: &str) -> Option<String> {
    let (upstream, _) = version.rsplit_once('-')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts = upstream.split('.');
    (parts.clone().all(is_number) && (2..=3).contains(&parts.count())).then(|| upstream.to_owned())
}

fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n")
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGES: &str = "\
Package: linux-image-6.18.15+deb13-cloud-amd64
Version: 6.18.15-1~bpo13+1
Depends: kmod, linux-base (>= 4.3~)
Size: 49140172
SHA256: aa

Package: linux-image-6.19.6+deb13-cloud-amd64
Version: 6.19.6-2~bpo13+1
Depends: linux-binary-6.19.6+deb13-cloud-amd64 (= 6.19.6-2~bpo13+1)
Size: 1916
SHA256: bb

Package: linux-binary-6.19.6+deb13-cloud-amd64
Version: 6.19.6-2~bpo13+1
Size: 13
SHA256: cc

Package: linux-image-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Depends: linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)
Size: 1916
SHA256: dd

Package: linux-base-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Size: 1
SHA256: ee

Package: linux-binary-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Size: 2
SHA256: ff

Package: linux-modules-7.2.13+deb14-cloud-amd64
Version: 7.2.13-1
Size: 3
SHA256: 00

Package: linux-image-cloud-amd64
Version: 7.2.13-1
Size: 3
SHA256: 01
";

    const SOURCES: &str = "\
Package: linux
Version: 7.3~rc4-1~exp1
Checksums-Sha256:
 02 5 linux_7.3~rc4.orig.tar.xz

Package: linux
Version: 6.19.6-2~bpo13+1
Checksums-Sha256:
 03 4 linux_6.19.6-2~bpo13+1.dsc
 04 159184892 linux_6.19.6.orig.tar.xz
 05 6 linux_6.19.6-2~bpo13+1.debian.tar.xz
Directory: pool/main/l/linux
";

    #[test]
    fn complete_packages_and_source_archives_are_releases() {
        let found = releases(PACKAGES, SOURCES);
        let told: Vec<_> = found
            .iter()
            .map(|r| {
                let sums: Vec<&str> = r.files.iter().map(|f| f.sha256.as_str()).collect();
                (r.version.as_str(), r.kind, sums.join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                ("6.18.15", Kind::Packaged, "aa".to_owned()),
                ("6.19.6", Kind::Source, "04".to_owned()),
                ("7.2.13", Kind::Packaged, "ee ff 00".to_owned()),
            ],
            "6.19.6 has no modules, a release candidate is none, a package without a number neither"
        );
        assert_eq!(found[1].files[0].version, "6.19.6-2~bpo13+1");
    }

    #[test]
    fn versions_are_in_the_order_of_their_numbers() {
        let release = |version: &str| Release {
            version: version.to_owned(),
            kind: Kind::Source,
            files: vec![],
        };
        assert!(release("6.18.5").order() < release("6.18.15").order());
        assert!(release("6.18.15").order() < release("6.19").order());
        assert!(release("7.2").order() < release("7.2.1").order());
    }
}
