# Each target installs what it needs itself (Debian 12, root); see scripts/.

.PHONY: demo test up audit bench-determinism bench-search

# CULPRIT=direct-io|busy-inodes|dio-slow|dio-2pct|fix|in-broken|noisy-warning  MODE=exact|real  KEEP=1
demo:
	@CULPRIT="$(CULPRIT)" MODE="$(MODE)" KEEP="$(KEEP)" scripts/demo.sh

test:
	@scripts/test.sh

# The server and worker of the demo, until Ctrl-C.
up:
	@scripts/up.sh

# Exact runs, repeated: the same bytes? RUNS=20 SUITES='btrfs/smoke' KERNEL=bzImage
bench-determinism:
	@scripts/bench-determinism.sh

# Every target of the search with what is measured. DAG_REPOS='u-boot git' ONLY='T2 T5' SCALE=1
bench-search:
	@scripts/bench-search.sh

# Known vulnerabilities and licences of the dependencies; needs cargo-deny.
audit:
	cargo deny --locked check
