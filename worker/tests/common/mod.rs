//! A stand-in for a kernel tree, small enough to build in a second.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstbad_api::lease::{BuildWork, ConfigBase, ConfigRequest, Fragment};
use firstbad_worker::process::Until;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Targets, variables and files of the real build that the worker relies on.
pub const MAKEFILE: &str = r##"
KNOWN := CONFIG_A CONFIG_B
.PHONY: tinyconfig olddefconfig bzImage extra
tinyconfig:
	echo '# CONFIG_A is not set' >$(O)/.config
olddefconfig:
	awk -F= '/^CONFIG_/ { v[$$1] = $$2 } END { split("$(KNOWN)", k, " "); for (i = 1; i in k; i++) if (k[i] in v) print k[i] "=" v[k[i]]; else print "# " k[i] " is not set" }' $(O)/.config >$(O)/new
	mv $(O)/new $(O)/.config
bzImage: extra $(O)/vmlinux
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	echo 6.12.0-fixture >$(O)/include/config/kernel.release
$(O)/main.o: main.c $(O)/.config
	@echo '  CC      main.o'
	@$(CC) -O2 -c -o $@ main.c
$(O)/vmlinux: $(O)/main.o
	ld -e go -o $@ $<
extra:
"##;

pub const MAIN: &str = "int go(void)\n{\n\treturn 1;\n}\n";

/// Files of the stand-in, some replaced or added.
pub fn files(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let base = [("Makefile", MAKEFILE), ("main.c", MAIN)];
    base.iter()
        .chain(changes)
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// Writes the stand-in below `dir`; unchanged files keep their time stamps.
pub fn write_tree(dir: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(&tree).unwrap();
    for (name, text) in files(changes) {
        let path = tree.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::write(path, text).unwrap();
        }
    }
    tree
}

pub fn work(rev: &str, fragment: &str) -> BuildWork {
    BuildWork {
        tree: "fixture".to_owned(),
        rev: rev.to_owned(),
        config: ConfigRequest {
            base: ConfigBase::Tinyconfig,
            fragments: vec![Fragment {
                name: "user".to_owned(),
                text: fragment.to_owned(),
            }],
        },
        fixups: vec![],
        deadline_s: 60,
    }
}

pub fn until() -> Until {
    Until {
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
    }
}
