//! What two kernels under test have not in common besides their source.
//!
//! Pure: two descriptions in, differences out. Must not know jobs, or whether a difference matters:
//! a person decides that.

use std::collections::{BTreeMap, BTreeSet};

use firstbad_api::job::Confounder;

use crate::kconfig::{self, Settings};

/// Options that say what the compiler and its helpers are, which [`Described::compiler`] does.
const OF_THE_TOOLS: [&str; 16] = [
    "AS_IS_GNU",
    "AS_IS_LLVM",
    "AS_VERSION",
    "BINDGEN_VERSION_TEXT",
    "CC_IS_CLANG",
    "CC_IS_GCC",
    "CC_VERSION_TEXT",
    "CLANG_VERSION",
    "GCC_VERSION",
    "LD_IS_BFD",
    "LD_IS_LLD",
    "LD_VERSION",
    "LLD_VERSION",
    "PAHOLE_VERSION",
    "RUSTC_VERSION",
    "RUSTC_VERSION_TEXT",
];
/// Beginnings of options that say what the tools could do; what is made of it has options of its own.
const OF_THEIR_ABILITIES: [&str; 6] = [
    "AS_HAS_",
    "CC_CAN_",
    "CC_HAS_",
    "LD_CAN_",
    "RUSTC_",
    "TOOLS_SUPPORT_",
];
/// Differences told, at most.
const TOLD: usize = 500;

/// One end of a comparison; what is not known is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// The compiler as the kernel's banner or `CONFIG_CC_VERSION_TEXT` names it.
    pub compiler: Option<String>,
    /// The whole `.config` of the image.
    pub config: Option<String>,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// First line of `qemu-system-x86_64 --version`.
    pub qemu: Option<String>,
}

impl Described {
    /// What a `.config` says: itself, and the compiler it was made for.
    pub fn by_config(config: String) -> Described {
        let text = read(&config).remove("CC_VERSION_TEXT");
        Described {
            compiler: text.map(|t| t.trim_matches('"').to_owned()),
            config: Some(config),
            ..Described::default()
        }
    }
}

/// Everything in which the two differ.
pub fn differences(good: &Described, bad: &Described) -> Vec<Confounder> {
    let mut found = Vec::new();
    let mut tell = |what: &str, name: &str, good: &str, bad: &str| {
        if good != bad && found.len() < TOLD {
            found.push(Confounder {
                what: what.to_owned(),
                name: name.to_owned(),
                good: good.to_owned(),
                bad: bad.to_owned(),
            });
        }
    };
    if let (Some(a), Some(b)) = (&good.compiler, &bad.compiler) {
        tell("compiler", "compiler", a, b);
    }
    if let (Some(a), Some(b)) = (&good.qemu, &bad.qemu) {
        tell("QEMU", "QEMU", a, b);
    }
    if let (Some(a), Some(b)) = (&good.cmdline, &bad.cmdline) {
        let (a, b) = (words(a), words(b));
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let of =
                |words: &BTreeMap<String, String>| words.get(name).cloned().unwrap_or_default();
            tell("command line", name, &of(&a), &of(&b));
        }
    }
    if let (Some(a), Some(b)) = (&good.config, &bad.config) {
        let (a, b) = (read(a), read(b));
        for name in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            let of = |config: &Settings| config.get(name).cloned().unwrap_or_default();
            if reaches_the_image(name) {
                tell("configuration", &format!("CONFIG_{name}"), &of(&a), &of(&b));
            }
        }
    }
    found
}

/// The options that are set, without their prefix: not set is the same as not there.
fn read(config: &str) -> Settings {
    let lines = config
        .lines()
        .filter_map(|l| kconfig::setting(l.trim()).ok().flatten());
    let set = lines.filter(|(_, value)| *value != "n");
    set.map(|(symbol, value)| {
        (
            symbol.trim_start_matches("CONFIG_").to_owned(),
            value.to_owned(),
        )
    })
    .collect()
}

fn reaches_the_image(symbol: &str) -> bool {
    !OF_THE_TOOLS.contains(&symbol) && !OF_THEIR_ABILITIES.iter().any(|p| symbol.starts_with(p))
}

/// Words of a command line by their name; a word that comes again has all its values.
fn words(cmdline: &str) -> BTreeMap<String, String> {
    let mut words: BTreeMap<String, String> = BTreeMap::new();
    for word in cmdline.split_whitespace() {
        let name = word.split('=').next().unwrap_or(word).to_owned();
        let all = words.entry(name).or_default();
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "#\n# Automatically generated file\n#\n\
        CONFIG_CC_VERSION_TEXT=\"gcc (Debian 12.2.0-14) 12.2.0\"\nCONFIG_GCC_VERSION=120200\n\
        CONFIG_CC_HAS_ASM_INLINE=y\nCONFIG_BTRFS_FS=y\nCONFIG_HZ=250\n# CONFIG_KASAN is not set\n";

    fn told(good: &Described, bad: &Described) -> Vec<String> {
        let told = differences(good, bad).into_iter();
        told.map(|c| format!("{}: {}: {:?} {:?}", c.what, c.name, c.good, c.bad))
            .collect()
    }

    #[test]
    fn what_reaches_the_image_is_told_and_the_rest_is_not() {
        let good = Described::by_config(CONFIG.to_owned());
        assert_eq!(told(&good, &good), [""; 0]);
        let other = CONFIG
            .replace("GCC_VERSION=120200", "GCC_VERSION=140200")
            .replace("12.2.0-14) 12.2.0", "14.2.0-8) 14.2.0")
            .replace("CONFIG_CC_HAS_ASM_INLINE=y\n", "")
            .replace("HZ=250", "HZ=1000")
            .replace("# CONFIG_KASAN is not set\n", "CONFIG_PREEMPT=y\n");
        assert_eq!(
            told(&good, &Described::by_config(other)),
            [
                "compiler: compiler: \"gcc (Debian 12.2.0-14) 12.2.0\" \"gcc (Debian 14.2.0-8) 14.2.0\"",
                "configuration: CONFIG_HZ: \"250\" \"1000\"",
                "configuration: CONFIG_PREEMPT: \"\" \"y\"",
            ]
        );
    }

    #[test]
    fn words_of_the_command_line_are_compared_one_by_one() {
        let of = |cmdline: &str, qemu: &str| Described {
            cmdline: Some(cmdline.to_owned()),
            qemu: Some(qemu.to_owned()),
            ..Described::default()
        };
        let one = of("console=ttyS0 quiet mitigations=off", "QEMU 7.2");
        let two = of("mitigations=auto  console=ttyS0", "QEMU 8.0");
        assert_eq!(
            told(&one, &two),
            [
                "QEMU: QEMU: \"QEMU 7.2\" \"QEMU 8.0\"",
                "command line: mitigations: \"mitigations=off\" \"mitigations=auto\"",
                "command line: quiet: \"quiet\" \"\"",
            ]
        );
        assert!(
            differences(&one, &Described::default()).is_empty(),
            "unknown is not different"
        );
    }
}
