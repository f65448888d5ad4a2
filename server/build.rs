//! Rebuilds when data compiled into the binary changes; Cargo does not see it otherwise.

fn main() {
    for dir in ["../migrations", "../suites", "../static", "../templates"] {
        println!("cargo::rerun-if-changed={dir}");
    }
}
