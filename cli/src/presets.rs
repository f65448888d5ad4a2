//! Trees that are known by name: data of `presets/`. Must not know what is done with them.

use std::sync::LazyLock;

use clap::builder::{PossibleValue, PossibleValuesParser};
use firstbad_api::job::JobConfig;
use firstbad_api::lease::ConfigBase;
use serde::Deserialize;

const TREES: &str = include_str!("../../presets/trees.toml");
const FRAGMENTS: [(&str, &str); 1] = [("wsl2.config", include_str!("../../presets/wsl2.config"))];

/// One tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub name: String,
    pub about: String,
    pub url: String,
    #[serde(default)]
    base: Option<ConfigBase>,
    /// Name of a file of `presets/`.
    #[serde(default)]
    fragment: Option<String>,
}

#[derive(Deserialize)]
struct File {
    tree: Vec<Preset>,
}

fn read() -> Result<Vec<Preset>, toml::de::Error> {
    toml::from_str::<File>(TREES).map(|file| file.tree)
}

/// All of them. A test reads the data, so that it is never broken here.
static ALL: LazyLock<Vec<Preset>> = LazyLock::new(|| read().unwrap_or_default());

/// What `--preset` takes, with a line about each.
pub fn names() -> PossibleValuesParser {
    let value = |preset: &'static Preset| {
        PossibleValue::new(preset.name.as_str()).help(preset.about.as_str())
    };
    PossibleValuesParser::new(ALL.iter().map(value))
}

/// The preset of that name.
pub fn get(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

impl Preset {
    /// How kernels of the tree are configured unless a job names a base.
    pub fn config(&self) -> JobConfig {
        let named = |name: &String| FRAGMENTS.iter().find(|(known, _)| known == name);
        JobConfig {
            base: self.base.clone(),
            fragment: match self.fragment.as_ref().and_then(named) {
                Some((_, text)) => (*text).to_owned(),
                None => String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_whole() {
        let all = read().unwrap();
        assert_eq!(
            all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            [
                "mainline",
                "stable",
                "linux-next",
                "btrfs",
                "vfs",
                "wsl2",
                "fstests"
            ]
        );
        for preset in &all {
            assert!(preset.url.starts_with("https://"), "{}", preset.url);
            assert!(preset.url.ends_with(".git"), "{}", preset.url);
            assert_eq!(preset.about.lines().count(), 1, "{}", preset.name);
            assert_eq!(
                preset.fragment.is_some(),
                !preset.config().fragment.is_empty(),
                "{}: its fragment is none of FRAGMENTS",
                preset.name
            );
        }
    }

    #[test]
    fn the_kernel_of_wsl2_brings_its_configuration() {
        let config = get("wsl2").unwrap().config();
        let path = "Microsoft/config-wsl".to_owned();
        assert_eq!(config.base, Some(ConfigBase::Tree(path)));
        assert!(config.fragment.contains("# CONFIG_WERROR is not set"));
        assert_eq!(get("mainline").unwrap().config(), JobConfig::default());
        assert!(get("windows").is_none());
    }
}
