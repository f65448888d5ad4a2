#!/bin/sh -eu
# A CI run that asks which commit broke the suite, and waits for the signed answer. Needs FIRSTBAD_SERVER and
# FIRSTBAD_TOKEN, what to ask about (TREE, GOOD, BAD, SUITE), a number of its own (RUN), and where it listens and
# is reached (LISTEN, CALLBACK: https, or an address that the server allows with --webhook-allow).
secret=whsec_$(head -c 32 /dev/urandom | base64 -w0)
ask() {
    firstbad submit --tree "$TREE" --good "$GOOD" --bad "$BAD" --suite "$SUITE" --label "ci/$RUN" --json \
        --idempotency-key "ci-$RUN" --callback "$CALLBACK" --callback-secret "$secret"
}
firstbad receive --listen "$LISTEN" --secret "$secret" >event.json &
job=$(ask | sed -n 's/^ *"id": \([0-9]*\),*$/\1/p')
[ "$(ask | grep -c "\"id\": $job,")" = 1 ] # asked again, as after a lost connection, it is the same job
wait $!
firstbad jobs "$job" --answer
