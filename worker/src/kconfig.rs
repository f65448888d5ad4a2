//! What a configuration asks for and what is left of it.
//!
//! Owns the reading of `.config` text and the check that every requested symbol
//! survived `olddefconfig`. Must not know how a kernel is built.

use std::collections::BTreeMap;

use firstbad_api::lease::Fragment;

/// Lost symbols reported at most.
const LOST_MAX: usize = 200;

/// The symbols of a `.config` or a fragment: name → value, `n` for "is not set". The last one counts.
pub fn symbols(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| symbol(line.trim()))
        .collect()
}

fn symbol(line: &str) -> Option<(&str, &str)> {
    if let Some(name) = line
        .strip_prefix("# ")
        .and_then(|l| l.strip_suffix(" is not set"))
    {
        return is_name(name).then_some((name, "n"));
    }
    let (name, value) = line.split_once('=')?;
    is_name(name).then_some((name, value))
}

fn is_name(name: &str) -> bool {
    name.strip_prefix("CONFIG_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// All fragments as one text, each under its name, in order: the last assignment wins.
pub fn joined(fragments: &[Fragment]) -> String {
    fragments
        .iter()
        .map(|f| format!("# {}\n{}\n", f.name.replace(['\n', '\r'], " "), f.text))
        .collect()
}

/// Requested symbols that the final configuration does not have, as `CONFIG_NAME: wanted X, got Y`.
pub fn lost(fragments: &[Fragment], config: &str) -> Vec<String> {
    let wanted = joined(fragments);
    let got = symbols(config);
    symbols(&wanted)
        .into_iter()
        .filter_map(|(name, want)| {
            let have = got.get(name).copied().unwrap_or("n");
            (!same(want, have)).then(|| format!("{name}: wanted {want}, got {have}"))
        })
        .take(LOST_MAX)
        .collect()
}

/// The same of a packaged kernel: options wanted on that are off. That one is a module, or that more
/// is on, is how such kernels are.
pub fn lost_of_a_package(fragments: &[Fragment], config: &str) -> Vec<String> {
    let off = |line: &String| line.ends_with("wanted y, got n");
    lost(fragments, config).into_iter().filter(off).collect()
}

/// Numbers are compared by value: `0x10` is what `16` becomes in a hex symbol.
fn same(want: &str, have: &str) -> bool {
    want == have || number(want).is_some_and(|w| number(have) == Some(w))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(text: &str) -> Vec<Fragment> {
        vec![Fragment {
            name: "user".to_owned(),
            text: text.to_owned(),
        }]
    }

    #[test]
    fn a_lost_symbol_is_named_with_both_values() {
        let config =
            "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S=\"x\"\nCONFIG_N=0x10\nCONFIG_M=m\n";
        assert_eq!(
            lost(
                &fragment(
                    "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_S=\"y\"\nCONFIG_N=16\nCONFIG_M=y\n"
                ),
                config
            ),
            [
                "CONFIG_B: wanted y, got n",
                "CONFIG_C: wanted m, got n",
                "CONFIG_M: wanted y, got m",
                "CONFIG_S: wanted \"y\", got \"x\"",
            ]
        );
    }

    #[test]
    fn unset_and_absent_are_the_same_and_the_last_fragment_wins() {
        let two = [
            Fragment {
                name: "suite\nCONFIG_X=y".to_owned(),
                text: "CONFIG_A=y\nCONFIG_GONE=n".to_owned(),
            },
            Fragment {
                name: "user".to_owned(),
                text: "# CONFIG_A is not set\n# a comment\nnonsense".to_owned(),
            },
        ];
        assert_eq!(lost(&two, "CONFIG_B=y\n"), Vec::<String>::new());
        assert_eq!(lost(&two, "CONFIG_A=y\n"), ["CONFIG_A: wanted n, got y"]);
    }
}
