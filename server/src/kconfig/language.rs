//! The Kconfig language, as far as an order of options needs it: what has a prompt, and which
//! symbols occur in what it depends on. Values are not computed.

use std::collections::{BTreeSet, HashMap, HashSet};

/// Files inside files; the kernel has about ten.
const DEPTH: usize = 64;

/// What all Kconfig files say of one symbol. Names are without `CONFIG_`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// A person can set it.
    pub prompt: bool,
    /// What occurs in its dependencies and in those of the menus and blocks around it.
    pub needs: BTreeSet<String>,
    pub selects: BTreeSet<String>,
    /// What occurs in its default values.
    pub defaults: BTreeSet<String>,
    /// Number of the choice it is a member of.
    pub choice: Option<usize>,
}

/// By name without `CONFIG_`.
pub type Symbols = HashMap<String, Symbol>;

/// Reads the file `Kconfig` and all it includes; `load` gives the text of a path, if there is one.
/// `None` when there is no such file.
pub fn parse(load: &mut dyn FnMut(&str) -> Option<String>) -> Option<Symbols> {
    let mut reader = Reader {
        load,
        symbols: Symbols::new(),
        read: HashSet::new(),
        blocks: Vec::new(),
        choices: 0,
        at: At::Nothing,
    };
    reader.file("Kconfig", 0).then_some(reader.symbols)
}

/// A menu, an `if` or a choice that is open.
#[derive(Default)]
struct Block {
    needs: BTreeSet<String>,
    choice: Option<usize>,
}

/// What an attribute line belongs to.
enum At {
    Nothing,
    Symbol(String),
    Block,
}

struct Reader<'a> {
    load: &'a mut dyn FnMut(&str) -> Option<String>,
    symbols: Symbols,
    /// Each file counts once: a file that includes itself ends.
    read: HashSet<String>,
    blocks: Vec<Block>,
    choices: usize,
    at: At,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, depth: usize) -> bool {
        if depth > DEPTH || !self.read.insert(path.to_owned()) {
            return false;
        }
        let Some(text) = (self.load)(path) else {
            return false;
        };
        let outside = self.blocks.len();
        // Indentation of a help text's first line, once it was seen.
        let mut help: Option<Option<usize>> = None;
        let mut line = String::new();
        for raw in text.lines() {
            if let Some(indent) = help {
                let here = column(raw);
                match (raw.trim().is_empty(), indent) {
                    (true, _) => continue,
                    (false, None) if here > 0 => {
                        help = Some(Some(here));
                        continue;
                    }
                    (false, Some(indent)) if here >= indent => continue,
                    _ => help = None,
                }
            }
            match raw.strip_suffix('\\') {
                Some(part) => line.push_str(part),
                None => {
                    line.push_str(raw);
                    let whole = std::mem::take(&mut line);
                    match whole.trim() {
                        "help" | "---help---" => help = Some(None),
                        whole => self.line(whole, path, depth, outside),
                    }
                }
            }
        }
        // A block ends with its file.
        self.blocks.truncate(outside);
        self.at = At::Nothing;
        true
    }

    fn line(&mut self, line: &str, path: &str, depth: usize, outside: usize) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "config" | "menuconfig" => self.config(rest),
            "menu" => self.block(Block::default()),
            "choice" => {
                self.choices += 1;
                self.block(Block {
                    choice: Some(self.choices),
                    ..Block::default()
                });
            }
            "if" => {
                self.block(Block {
                    needs: mentioned(rest),
                    choice: None,
                });
                self.at = At::Nothing;
            }
            "endmenu" | "endchoice" | "endif" => {
                if self.blocks.len() > outside {
                    self.blocks.pop();
                }
                self.at = At::Nothing;
            }
            "comment" | "mainmenu" => self.at = At::Nothing,
            "source" | "osource" | "rsource" | "orsource" => {
                let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
                let named = rest.trim_matches(['"', '\'']);
                let named = named
                    .replace("$(SRCARCH)", "x86")
                    .replace("$SRCARCH", "x86");
                match word.ends_with("rsource") && !dir.is_empty() {
                    true => self.file(&format!("{dir}/{named}"), depth + 1),
                    false => self.file(&named, depth + 1),
                };
                self.at = At::Nothing;
            }
            _ => self.attribute(word, rest),
        }
    }

    fn block(&mut self, block: Block) {
        self.blocks.push(block);
        self.at = At::Block;
    }

    fn config(&mut self, name: &str) {
        let symbol = self.symbols.entry(name.to_owned()).or_default();
        for block in &self.blocks {
            symbol.needs.extend(block.needs.iter().cloned());
            symbol.choice = block.choice.or(symbol.choice);
        }
        self.at = At::Symbol(name.to_owned());
    }

    fn attribute(&mut self, word: &str, rest: &str) {
        let symbol = match &self.at {
            At::Nothing => return,
            At::Symbol(name) => self.symbols.entry(name.clone()).or_default(),
            At::Block => {
                if let (Some(block), "depends" | "visible") = (self.blocks.last_mut(), word) {
                    block.needs.extend(mentioned(rest));
                }
                return;
            }
        };
        match word {
            "depends" => symbol.needs.extend(mentioned(rest)),
            "select" => {
                let target = rest.split_whitespace().next().unwrap_or_default();
                symbol.selects.extend(mentioned(target));
            }
            "default" | "def_bool" | "def_tristate" => symbol.defaults.extend(mentioned(rest)),
            "bool" | "tristate" | "int" | "hex" | "string" | "prompt"
                if rest.starts_with(['"', '\'']) =>
            {
                symbol.prompt = true;
                symbol.needs.extend(mentioned(rest));
            }
            _ => {}
        }
    }
}

/// Width of the white space before a line; a tab goes to the next eighth column.
fn column(line: &str) -> usize {
    let mut at = 0;
    for c in line.chars() {
        match c {
            ' ' => at += 1,
            '\t' => at = at / 8 * 8 + 8,
            _ => break,
        }
    }
    at
}

/// The symbols in an expression: no key words, numbers, quoted texts, macros or comments.
fn mentioned(expression: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let (mut quote, mut macros, mut before) = (None, 0_u32, ' ');
    for c in expression.chars() {
        let mut kept = ' ';
        match (quote, c) {
            (Some(q), _) if c == q && before != '\\' => quote = None,
            (Some(_), _) => {}
            (None, '(') if macros > 0 || before == '$' => macros += 1,
            (None, ')') if macros > 0 => macros -= 1,
            (None, _) if macros > 0 => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => break,
            (None, _) => kept = c,
        }
        plain.push(kept);
        before = c;
    }
    plain
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| is_name(word))
        .map(str::to_owned)
        .collect()
}

fn is_name(word: &str) -> bool {
    let number = word.bytes().all(|b| b.is_ascii_digit()) || word.starts_with("0x");
    !number && !matches!(word, "y" | "n" | "m" | "if" | "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Symbols {
        let mut load = |path: &str| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        parse(&mut load).unwrap()
    }

    fn words(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn dependencies_come_from_blocks_attributes_and_included_files() {
        let root = "mainmenu \"x\"\nsource \"fs/Kconfig\"\nsource \"arch/$(SRCARCH)/Kconfig\"\n";
        let fs = "menu \"File systems\" # not config\n\tdepends on BLOCK && \\\n\t\t!S390\n\
                  config BTRFS_FS\n\ttristate \"Btrfs, don't panic\" if EXPERT\n\
                  \tselect CRC32 if LIBCRC\n\tdefault y if SMALL = \"a b\"\n\
                  \thelp\n\t  config NOT_ME\n\t    depends on NOR_ME\n\n\t  if unsure say n\n\
                  if BTRFS_FS\nrsource \"more/Kconfig\"\nendif\nendmenu\n\
                  config CRC32\n\ttristate\n\tdepends on (A=y || B>0x1F) && $(cc-option,-mC D)\n";
        let more = "config ACL\n\tbool 'ACLs'\nendif\nsource \"Kconfig\"\nchoice\n\
                    \tprompt \"one\"\n\tdepends on ACL\nconfig ONE\n\tbool \"1\"\n\
                    config TWO\n\tbool \"2\"\n";
        let symbols = read(&[
            ("Kconfig", root),
            ("fs/Kconfig", fs),
            ("fs/more/Kconfig", more),
            ("arch/x86/Kconfig", "config X86\n\tdef_bool y\n"),
        ]);
        let btrfs = &symbols["BTRFS_FS"];
        assert!(btrfs.prompt);
        assert_eq!(words(&btrfs.needs), ["BLOCK", "EXPERT", "S390"]);
        assert_eq!(words(&btrfs.selects), ["CRC32"]);
        assert_eq!(words(&btrfs.defaults), ["SMALL"]);
        assert_eq!(words(&symbols["CRC32"].needs), ["A", "B"]);
        assert!(!symbols["CRC32"].prompt && !symbols["X86"].prompt);
        // Blocks of a file end with it, whatever it says itself.
        assert_eq!(words(&symbols["ACL"].needs), ["BLOCK", "BTRFS_FS", "S390"]);
        let one = &symbols["ONE"];
        assert_eq!(words(&one.needs), ["ACL", "BLOCK", "BTRFS_FS", "S390"]);
        assert_eq!((one.choice, symbols["TWO"].choice), (Some(1), Some(1)));
        assert!(!symbols.contains_key("NOT_ME"), "{symbols:?}");
        assert_eq!(parse(&mut |_| None), None);
    }
}
