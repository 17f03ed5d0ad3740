#!/usr/bin/env bash
# Ends the cluster that up.sh started with the same NETWORK and DIR, and removes what it kept. KEEP=1 leaves that.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

stop # with the node's first process end all others, and its mounts and interfaces
ip link delete "$LINK" 2>/dev/null || true
groups=()
[ ! -f "$DIR/cgroups" ] || mapfile -t groups <"$DIR/cgroups"
for group in "${groups[@]}"; do
  for _ in {1..50}; do # emptied groups take a moment to go
    [ -d "$group" ] || break
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
  done
done
[ -n "${KEEP:-}" ] || rm -rf "${DIR:?}"
