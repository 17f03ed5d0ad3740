#!/usr/bin/env bash
# Measures the server on both databases, with both kinds of keys and with several processes, and writes the tables in
# docs/performance.md. KEYWRIGHT and BENCH name the programs; measure.sh says what else can be set.
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh

DOCUMENT=docs/performance.md
: "${KEYWRIGHT:?names the server}" "${BENCH:?names the driver}" "${BENCH_SECONDS:=10}" "${BENCH_USERS:=32}"
KEYWRIGHT=$(realpath "$KEYWRIGHT") BENCH=$(realpath "$BENCH")
export KEYWRIGHT BENCH BENCH_SECONDS BENCH_USERS
# A PostgreSQL as it is installed, but with room for its data in memory and with its statements counted.
export POSTGRES_OPTIONS="-c fsync=on -c full_page_writes=on -c synchronous_commit=on -c shared_buffers=512MB \
  -c max_wal_size=4GB -c shared_preload_libraries=pg_stat_statements -c compute_query_id=on"
unset DATABASE_URL
RESULT=$(mktemp)
trap 'rm -f "$RESULT"' EXIT

# machine: what it was measured on
machine() {
  local cpu memory version changes=
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1 × /')
  memory=$(awk '/^MemTotal:/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
  # shellcheck disable=SC2016  # the inner shell knows DATABASE_URL
  version=$(e2e/postgres.sh sh -c 'psql -AtX "$DATABASE_URL" -c "SHOW server_version"')
  [ -z "$(git status --porcelain --untracked-files=no -- crates Cargo.lock)" ] || changes=" with changes"
  echo "Measured on $(date -u +%F) at commit $(git rev-parse --short HEAD)$changes, on $cpu, $memory, Linux $(uname -r)," \
    "PostgreSQL $version, $BENCH_USERS users at the same time, $BENCH_SECONDS s for each operation; load before it: $(cut -d ' ' -f 1 /proc/loadavg)."
}

# configuration DATABASE ALGORITHM PROCESSES
configuration() {
  local title="$2, $3 processes"
  [ "$3" != 1 ] || title="$2, one process"
  echo "$1: $title" >&2
  case $1 in
    sqlite)
      printf '\n### SQLite, %s\n\n' "$title"
      bench/measure.sh "$@"
      ;;
    postgres)
      printf '\n### PostgreSQL, %s\n\n' "$title"
      e2e/postgres.sh bench/measure.sh "$@"
      ;;
  esac
}

{
  machine
  for algorithm in ES256 RS256; do
    for processes in 1 2 4; do configuration postgres "$algorithm" "$processes"; done
    configuration sqlite "$algorithm" 1
  done
} >"$RESULT"

awk -v result="$RESULT" '
  /^<!-- measured: begin -->$/ { print; print ""; while ((getline line < result) > 0) print line; print ""; inside = 1 }
  /^<!-- measured: end -->$/ { inside = 0 }
  !inside { print }' "$DOCUMENT" >"$RESULT.document"
cat "$RESULT.document" >"$DOCUMENT"
rm -f "$RESULT.document"
echo "written to $DOCUMENT" >&2
