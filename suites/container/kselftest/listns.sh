TARGET=namespaces ONLY=listns_test
. "${0%/*}/run.sh"
