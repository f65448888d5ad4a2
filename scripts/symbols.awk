# What fragments changed in a configuration.
# usage: awk -f symbols.awk BASE FRAGMENT... RESOLVED
# prints the changed symbols that a fragment names, and how many others are not as in BASE.

FNR == 1 { file++ }
match($0, /^CONFIG_[A-Za-z0-9_]+=/) {
    symbol = substr($0, 1, RLENGTH - 1)
    set(symbol, substr($0, RLENGTH + 1))
}
match($0, /^# CONFIG_[A-Za-z0-9_]+ is not set/) {
    split($0, word, " ")
    set(word[2], "n")
}

function set(symbol, to) {
    if (file == 1) {
        base[symbol] = to
    } else if (file == ARGC - 1) {
        resolved[symbol] = to
    } else {
        asked[symbol]
    }
    all[symbol]
}

function shown(to) { return to == "" ? "n" : to }

END {
    sort = "sort"
    for (symbol in all) {
        from = shown(base[symbol])
        to = shown(resolved[symbol])
        if (from == to) continue
        if (symbol in asked) {
            named++
            printf "  %s: %s -> %s\n", symbol, from, to | sort
        } else {
            others++
        }
    }
    close(sort)
    printf "  %d in all; %d others follow from them, from the compiler and from the source\n", named, others
}
