# Each target installs what it needs itself (Debian 12, root); see scripts/.

.PHONY: demo demo-wsl2 test up screenshots audit bench-bisection bench-determinism bench-exploration bench-order bench-powercut bench-replay bench-search bench-web fuzz-api

# CULPRIT=direct-io|busy-inodes|dio-slow|dio-2pct|fix|in-broken|noisy-warning  MODE=exact|real  KEEP=1
demo:
	@CULPRIT="$(CULPRIT)" MODE="$(MODE)" KEEP="$(KEEP)" scripts/demo.sh

# The kernel of WSL2, built, booted and tested; a big build. CONFIG=Microsoft/config-wsl RELEASE=source/6.18.15
demo-wsl2:
	@CONFIG="$(CONFIG)" RELEASE="$(RELEASE)" scripts/demo-wsl2.sh

test:
	@scripts/test.sh

# The server and worker of the demo, until Ctrl-C.
up:
	@scripts/up.sh

# Every kind of page in a browser: pictures, and what is wrong. DATA=DIR OUT=DIR PAGES='/jobs/7'
screenshots:
	@DATA="$(DATA)" OUT="$(OUT)" PAGES="$(PAGES)" scripts/screenshots.sh

# Exact runs, repeated: the same bytes? RUNS=20 SUITES='btrfs/smoke' KERNEL=bzImage
bench-determinism:
	@scripts/bench-determinism.sh

# Exact runs on a host that delays QEMU where it hurts: the same bytes? RUNS=12 SUITE=btrfs/smoke CASE= KERNEL=bzImage
bench-order:
	@scripts/bench-order.sh

# A recorded run again, with firstbad and without: ATTEMPT=60 RUNS=20, server as in FIRSTBAD_SERVER
bench-replay:
	@scripts/bench-replay.sh

# A planted search, each time from an empty database: the same probes, bytes and answer? CULPRIT=busy-inodes RUNS=2
bench-bisection:
	@scripts/bench-bisection.sh

# Which knob reaches most schedules? RUNS=100 ROWS='exact shift=3' BUSY_KERNEL=bzImage
bench-exploration:
	@scripts/bench-exploration.sh

# Power cuts of Btrfs, on a good kernel and on kernels that leave out a flush. SEEDS='1 2' MUTANTS=no-fua-super
bench-powercut:
	@scripts/bench-powercut.sh

# Every target of the search with what is measured. DAG_REPOS='u-boot git' ONLY='T2 T5' SCALE=1
bench-search:
	@scripts/bench-search.sh

# p95 of each kind of page with 10^4 jobs and 10^5 attempts stored. JOBS=10000 RUNS=10000 RATE=50 KEEP=1
bench-web:
	@JOBS="$(JOBS)" RUNS="$(RUNS)" RATE="$(RATE)" KEEP="$(KEEP)" scripts/bench-web.sh

# Every request that the API's description allows, and many that it does not, for ten minutes. SECONDS_IN_ALL=600
fuzz-api:
	@SECONDS_IN_ALL="$(SECONDS_IN_ALL)" scripts/fuzz-api.sh

# Known vulnerabilities and licences of the dependencies; needs cargo-deny.
audit:
	cargo deny --locked check
