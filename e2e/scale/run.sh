#!/usr/bin/env bash
# Measures the operator with many resources, and tests it under churn and behind slow connections, on an API server and a
# PostgreSQL of its own. KEYWRIGHT names the program.
#   SIZES          how many clients are measured ("1000 5000")
#   FAR            what counts as missing an aim by far (2)
#   KEY_SETS       how many key sets turn in the same minute, with the fewest clients (1000)
#   CHURN_SECONDS  how long clients are applied and deleted (120)
#   DOCUMENT       a file whose table is written anew, such as docs/performance.md
# Usage: run.sh [measure | SCENARIO…]
set -euo pipefail
: "${KEYWRIGHT:?names the program}" "${SIZES:=1000 5000}" "${KEY_SETS:=1000}"
KEYWRIGHT=$(realpath "$KEYWRIGHT")
export KEYWRIGHT
[ -z "${DOCUMENT:-}" ] || DOCUMENT=$(realpath "$DOCUMENT")
cd "$(dirname "$0")"
. ../lib.sh

for program in python3 psql; do command -v "$program" >/dev/null || die "install $program"; done
RESULT=$(mktemp)
trap 'rm -f "$RESULT" "$RESULT.document"' EXIT

# measured_on: the machine and what was measured
measured_on() {
  local cpu changes=
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1 × /')
  [ -z "$(git status --porcelain --untracked-files=no -- ../../crates ../../Cargo.lock)" ] || changes=" with changes"
  echo "Measured on $(date -u +%F) at commit $(git rev-parse --short HEAD)$changes, on $cpu, with the API server, PostgreSQL" \
    "and the tests on the same machine; load before it: $(cut -d ' ' -f 1 /proc/loadavg)."
}

measure() {
  local size key_sets=$KEY_SETS
  measured_on | tee "$RESULT"
  for size in $SIZES; do
    echo | tee -a "$RESULT"
    ../postgres.sh python3 measure.py "$size" "$key_sets" | tee -a "$RESULT"
    key_sets=0
  done
}

document() {
  awk -v result="$RESULT" '
    /^<!-- scale: begin -->$/ { print; print ""; while ((getline line < result) > 0) print line; print ""; inside = 1 }
    /^<!-- scale: end -->$/ { inside = 0 }
    !inside { print }' "$1" >"$RESULT.document"
  cat "$RESULT.document" >"$1"
}

case ${1:-} in
  "")
    measure
    ../postgres.sh python3 scenarios.py
    ;;
  measure) measure ;;
  *) ../postgres.sh python3 scenarios.py "$@" ;;
esac
if [ -n "${DOCUMENT:-}" ] && [ -s "$RESULT" ]; then document "$DOCUMENT"; fi
