# Helpers of the idmapped cases; sourced, not run.
. "${0%/*}/lib/container.sh"
DATA=/mnt/data

# `mapped NAME FIRST COMMAND`: a bundle with DATA at /data, where the owners
# FIRST, FIRST + 1 ... on the medium are 0, 1 ... inside, ten of them.
mapped() {
    bundle "$1" "$3"
    at=$STORE/c/$1/config.json
    map="uids=$2-0-10;gids=$2-0-10"
    sed -i "s|\"mounts\": \[|&\n    { \"destination\": \"/data\", \"type\": \"bind\", \"source\": \"$DATA\", \"options\": [\"bind\", \"idmap=$map\"] },|" "$at"
    mkdir -p "$STORE/c/$1/upper/data"
}
enter() { crun run -b "$STORE/c/$1" "$1"; }
owner() { stat -c %u:%g "$DATA/$1"; }

files() {
    mkdir -p "$DATA"
    for id in 5 1000 1001; do
        echo "of $id" >"$DATA/$id"
        chown "$id:$id" "$DATA/$id"
        chmod 600 "$DATA/$id"
    done
    chown 1000:1000 "$DATA"
}

exercise() {
    files
    mapped one 1000 'cd /data; busybox stat -c %n=%u:%g 5 1000 1001; echo new >new; mkdir dir; busybox chown 1:1 new; busybox ln -s new link; mv 1001 moved; echo more >>moved; cat 1000'
    enter one >/tmp/out 2>&1 || { cat /tmp/out; fail "the container"; }
    printf '5=65534:65534\n1000=0:0\n1001=1:1\nof 1000\n' >/tmp/wanted
    diff /tmp/wanted /tmp/out || fail "seen from inside"
    unbundle one
    [ "$(owner new)" = 1001:1001 ] || fail "chown inside arrived as $(owner new)"
    [ "$(owner dir)" = 1000:1000 ] || fail "a new folder belongs to $(owner dir)"
    [ "$(owner moved)" = 1001:1001 ] || fail "a moved file belongs to $(owner moved)"
    [ "$(cat "$DATA/moved")" = "$(printf 'of 1001\nmore')" ] || fail "what was appended"
    # Owners outside the mapping stay out of reach, also for one who may override permissions.
    mapped two 1000 'cd /data; cat 5; echo x >>5 && echo wrote; busybox chown 20:20 1000 && echo outside; busybox chmod 777 5 && echo chmod; true'
    enter two >/tmp/out 2>/tmp/err || { cat /tmp/err; fail "the second container"; }
    [ ! -s /tmp/out ] || { cat /tmp/out; fail "something succeeded on unmapped owners"; }
    unbundle two
    [ "$(owner 5)" = 5:5 ] || fail "a foreign file belongs to $(owner 5) now"
    [ "$(owner 1000)" = 1000:1000 ] || fail "a file went to $(owner 1000)"
    # Without a mapping the numbers are those of the medium.
    mapped three 0 'busybox stat -c %u /data/5'
    [ "$(enter three)" = 5 ] || fail "the identity mapping"
    unbundle three
}
