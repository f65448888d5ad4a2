# Reads what `firstbad attempts JOB --json` prints (one JSON value a line).
# usage: awk -v kind=build -v key=started_at -f attempts.awk
# prints one line an attempt of that kind: the value, or for key=config the digest of that artefact.

function value(line) {
    sub(/^ *"[a-z_0-9]+": /, "", line)
    sub(/,$/, "", line)
    gsub(/"/, "", line)
    return line
}

/^    "kind": / { here = (value($0) == kind); next }
!here { next }
/^        "name": / { name = value($0); next }
/^        "sha256": / && name == key { print value($0); next }
$0 ~ "^    \"" key "\": " && value($0) != "null" { print value($0) }
