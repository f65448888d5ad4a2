#!/bin/bash
# Server and worker with the demo's state, in the foreground.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

"$ROOT/scripts/setup.sh"
open_step 'compile firstbad' build_all
exec "$FIRSTBAD" up --data "$STATE/data" --listen "127.0.0.1:$(free_port "${FIRSTBAD_PORT:-8610}")"
