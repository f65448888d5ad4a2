//! A stand-in for a kernel tree, small enough to build in a second.

use std::collections::BTreeMap;

use firstbad_api::lease::{BuildWork, ConfigBase, ConfigRequest, Fragment};

/// Targets, variables and files of the real build that the worker relies on.
pub const MAKEFILE: &str = r##"
KNOWN := CONFIG_A CONFIG_B
.PHONY: tinyconfig olddefconfig bzImage extra headers
tinyconfig:
	echo '# CONFIG_A is not set' >$(O)/.config
olddefconfig:
	awk -F= '/^CONFIG_/ { v[$$1] = $$2 } / is not set$$/ { split($$0, w, " "); delete v[w[2]] } END { split("$(KNOWN)", k, " "); for (i = 1; i in k; i++) if (k[i] in v) print k[i] "=" v[k[i]]; else print "# " k[i] " is not set" }' $(O)/.config >$(O)/new
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
headers:
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
        packaged: None,
        kselftest: vec![],
        kselftest_rev: None,
        fstests: None,
        deadline_s: 60,
    }
}

/// Stands in for `tools/testing/selftests`: `a` has two programs, one of which cannot be built.
#[allow(dead_code)] // not every test has selftests
pub const SELFTESTS: [(&str, &str); 4] = [
    (
        "tools/testing/selftests/Makefile",
        r#"
install:
	mkdir -p $(KSFT_INSTALL_PATH)
	for t in $(TARGETS); do $(MAKE) -C $$t install TO=$(KSFT_INSTALL_PATH)/$$t; done
"#,
    ),
    (
        "tools/testing/selftests/a/Makefile",
        r#"
install: good broken
	mkdir -p $(TO)
	cp $(TO)/../../good $(TO)/good
	cp $(TO)/../../broken $(TO)/broken
good broken:
	$(CC) $(LDFLAGS) -o $(KSFT_INSTALL_PATH)/../$@ $@.c
"#,
    ),
    (
        "tools/testing/selftests/a/good.c",
        "int main(void) { return 0; }\n",
    ),
    ("tools/testing/selftests/a/broken.c", "int main(\n"),
];
