# Reads one scenario of the plan that firstbad-demo writes (one JSON value a line).
# usage: awk -v want=NAME -f plan.awk plan.json
# prints lines "KEY VALUE": good bad find suite subject signal title metric threshold case outcome rev

function value(line) {
    sub(/^ *("[a-z_]+": )?/, "", line)
    sub(/,$/, "", line)
    if (line ~ /^".*"$/) {
        line = substr(line, 2, length(line) - 2)
        gsub(/\\"/, "\"", line)
        gsub(/\\\\/, "\\", line)
    }
    return line
}

/^    [{]$/ { inside = 1; here = 0; next }
/^    [}],?$/ { inside = 0; here = 0; next }
!inside { next }
/^      "name": / { here = (value($0) == want); next }
!here { next }
/^      "(good|bad|find|suite|subject)": / { split($0, part, "\""); print part[2], value($0); next }
/^      "cases": \[$/ { list = "case"; next }
/^        "revs": \[$/ { list = "rev"; next }
/^ *\],?$/ { list = ""; next }
list != "" { print list, value($0); next }
/^        "kind": / { print "signal", value($0); next }
/^        "title": / { print "title", value($0); next }
/^        "name": / { print "metric", value($0); next }
/^        "threshold": / { print "threshold", value($0); next }
/^        "outcome": / { print "outcome", value($0); next }
/^        "rev": / { print "rev", value($0); next }
