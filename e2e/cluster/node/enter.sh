#!/usr/bin/env bash
# Runs a command in the node: enter.sh ctr -n k8s.io images ls
set -euo pipefail
. "$(dirname "$0")/lib.sh"
enter "$@"
