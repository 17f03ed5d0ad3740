#!/usr/bin/env bash
# Ends the cluster in DIR, all at once, and removes what up.sh put there.
# Usage: down.sh [--keep-data]   (with it, the next up.sh in DIR goes on with the same data, port and kubeconfig)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

stop
case ${1:-} in
  --keep-data) ;;
  "")
    for name in etcd log pki audit.log kubeconfig port; do rm -rf "${DIR:?}/$name"; done
    rmdir "$DIR" 2>/dev/null || true # what else is there is not ours
    ;;
  *) die "usage: down.sh [--keep-data]" ;;
esac
