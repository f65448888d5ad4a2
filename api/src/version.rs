//! Versions of Linux as tags, `uname -r` and suites write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Such as `6.19`, `v7.2-rc3`, `6.18.15` or `6.18.15-microsoft-standard-WSL2`: what a vendor adds to
/// the numbers counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u32,
    minor: u32,
    /// None: the release itself, `6.19` and not `6.19.0`.
    patch: Option<u32>,
    /// Of a release candidate.
    rc: Option<u32>,
}

impl Version {
    /// For ordering: a candidate comes before its release.
    pub fn order(&self) -> (u32, u32, u32, u32) {
        let rc = self.rc.unwrap_or(u32::MAX);
        (self.major, self.minor, self.patch.unwrap_or(0), rc)
    }

    /// The version of a tag that stands for a release and nothing else: `v6.18`, `6.18.15`,
    /// `source/6.18.15`.
    pub fn of_release(tag: &str) -> Option<Version> {
        let name = tag.rsplit('/').next().unwrap_or(tag);
        let name = name.strip_prefix('v').unwrap_or(name);
        let plain = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        name.parse().ok().filter(|_| plain)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Version, String> {
        read(text).ok_or_else(|| {
            format!("{text:?} is no version of Linux; write such as 6.19, 6.19-rc1 or 6.18.15")
        })
    }
}

fn read(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (numbers, rest) = text.split_at(end.unwrap_or(text.len()));
    let numbers: Option<Vec<u32>> = numbers.split('.').map(|n| n.parse().ok()).collect();
    let (major, minor, patch) = match numbers?[..] {
        [major, minor] => (major, minor, None),
        [major, minor, patch] => (major, minor, Some(patch)),
        _ => return None,
    };
    if !rest.is_empty() && !rest.starts_with(['-', '+', '~', '_']) {
        return None;
    }
    let rc = rest.strip_prefix("-rc").map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        rest[..digits.unwrap_or(rest.len())].parse().ok()
    });
    Some(Version {
        major,
        minor,
        patch,
        rc: match rc {
            Some(number) => Some(number?),
            None => None,
        },
    })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if let Some(patch) = self.patch {
            write!(f, ".{patch}")?;
        }
        match self.rc {
            Some(rc) => write!(f, "-rc{rc}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Version, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

/// The kernels that something is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Versions {
    /// From the first candidate of this release on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Version>,
    /// Up to this release; one without a patch number includes its stable releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Version>,
}

impl Versions {
    /// Why a kernel that names its release so is outside; `None` when it is inside. Of a name that is
    /// no version nothing can be said, and it counts as inside.
    pub fn outside(&self, release: &str) -> Option<String> {
        let kernel = release.parse::<Version>().ok()?.order();
        let shown: String = release
            .chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect();
        if let Some(since) = self.since.filter(|since| kernel < lowest(since)) {
            return Some(format!("needs Linux {since}, this is {shown}"));
        }
        let until = self.until.filter(|until| kernel > highest(until))?;
        Some(format!("is for Linux up to {until}, this is {shown}"))
    }

    /// Every kernel is inside.
    pub fn is_all(&self) -> bool {
        *self == Versions::default()
    }

    /// No kernel is inside.
    pub fn is_empty(&self) -> bool {
        match (&self.since, &self.until) {
            (Some(since), Some(until)) => lowest(since) > highest(until),
            _ => false,
        }
    }
}

/// What is new in 6.19 is in its candidates.
fn lowest(since: &Version) -> (u32, u32, u32, u32) {
    match (since.patch, since.rc) {
        (None, None) => (since.major, since.minor, 0, 0),
        _ => since.order(),
    }
}

fn highest(until: &Version) -> (u32, u32, u32, u32) {
    match (until.patch, until.rc) {
        (None, None) => (until.major, until.minor, u32::MAX, u32::MAX),
        _ => until.order(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_they_are_released() {
        let sorted = [
            "6.18",
            "6.18.5",
            "v6.18.15",
            "6.19.0-rc1",
            "6.19-rc3+",
            "6.19.0",
            "7.2-rc1-next-20261122",
            "7.2.6+deb14-cloud-amd64",
            "7.10",
        ];
        let orders: Vec<_> = sorted
            .iter()
            .map(|v| v.parse::<Version>().unwrap().order())
            .collect();
        assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
        for bad in [
            "",
            "6",
            "6.x",
            "6.1.2.3",
            "linux-6.1",
            "6.1-rcx",
            "6.1a",
            "6..1",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_plain_version_is_the_tag_of_a_release() {
        for (tag, is) in [
            ("v6.18", true),
            ("packaged/6.18.15", true),
            ("v6.18-rc3", false),
            ("next-20261122", false),
            ("v6.18-foo", false),
        ] {
            assert_eq!(Version::of_release(tag).is_some(), is, "{tag}");
        }
    }

    #[test]
    fn a_range_knows_candidates_stable_releases_and_vendors() {
        let range = |since: &str, until: &str| Versions {
            since: since.parse().ok(),
            until: until.parse().ok(),
        };
        let vendor = "6.18.15-microsoft-standard-WSL2";
        for (since, until, kernel, inside) in [
            ("6.19", "", "6.18.15", false),
            ("6.19", "", vendor, false),
            ("6.18", "", vendor, true),
            ("6.19", "", "6.19.0-rc1", true),
            ("6.19-rc3", "", "6.19.0-rc1", false),
            ("6.19.2", "", "6.19.0", false),
            ("", "7.1", "7.1.13", true),
            ("", "7.1", "7.2.0-rc1", false),
            ("", "7.1.3", "7.1.4", false),
            ("6.19", "7.1", "strange", true),
        ] {
            let outside = range(since, until).outside(kernel);
            assert_eq!(outside.is_none(), inside, "{since} {until} {kernel}");
        }
        assert_eq!(
            range("6.19", "").outside(vendor).unwrap(),
            format!("needs Linux 6.19, this is {vendor}")
        );
        assert!(range("7.2", "7.1").is_empty() && !range("7.1", "7.1").is_empty());
    }
}
