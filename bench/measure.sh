#!/usr/bin/env bash
# Measures one configuration and prints its table: servers with keys of an algorithm on a new database.
# Usage: measure.sh sqlite|postgres ALGORITHM PROCESSES
# With postgres, DATABASE_URL names one that nobody else uses. KEYWRIGHT and BENCH name the two programs;
# BENCH_SECONDS, BENCH_USERS and BENCH_OPERATIONS change what is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
. e2e/lib.sh

[ $# = 3 ] || die "usage: measure.sh sqlite|postgres ALGORITHM PROCESSES"
DATABASE=$1 ALGORITHM=$2 PROCESSES=$3
DATA=$(mktemp -d "${TMPDIR:-/tmp}/keywright-bench-XXXXXX")
PIDS=() PUBLIC=() ADMIN=()

# shellcheck disable=SC2317  # the trap below calls it
stop() {
  [ ${#PIDS[@]} = 0 ] || kill "${PIDS[@]}" 2>/dev/null || true
  wait
  rm -rf "$DATA"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

SECRETS_SYSTEM=$(random_hex)
export SECRETS_SYSTEM KEYS_ALGORITHM=$ALGORITHM SERVE_PUBLIC_HOST=127.0.0.1 SERVE_ADMIN_HOST=127.0.0.1
case $DATABASE in
  sqlite) export DSN="sqlite://$DATA/keywright.db" ;;
  postgres) export DSN=$DATABASE_URL BENCH_DATABASE_URL=$DATABASE_URL ;;
  *) die "no such database: $DATABASE" ;;
esac

# answers PORT PATH: true where a GET is answered with 200
answers() {
  local status
  exec 7<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&7
  read -r _ status _ <&7 || status=
  exec 7>&-
  [ "$status" = 200 ]
} 2>/dev/null

# wait_for PORT PATH
wait_for() {
  for _ in {1..600}; do
    if answers "$1" "$2"; then return; fi
    kill -0 "${PIDS[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$DATA"/*.log >&2
  die "the server does not answer $2"
}

# one_server: sets PORT, the public one; the next is the admin API's
one_server() {
  free_ports 2
  export SERVE_PUBLIC_PORT=$PORT SERVE_ADMIN_PORT=$((PORT + 1))
  # All processes are one issuer.
  export URLS_SELF_ISSUER=${URLS_SELF_ISSUER:-http://127.0.0.1:$PORT/}
}

for ((process = 1; process <= PROCESSES; process++)); do
  one_server
  "$KEYWRIGHT" serve 2>"$DATA/server-$process.log" &
  PIDS+=($!) PUBLIC+=("127.0.0.1:$PORT") ADMIN+=("127.0.0.1:$((PORT + 1))")
  wait_for "$PORT" /health/ready
done

list() { local IFS=,; echo "$*"; }
operations=()
[ -z "${BENCH_OPERATIONS:-}" ] || operations=(--operations "$BENCH_OPERATIONS")
"$BENCH" load --public "$(list "${PUBLIC[@]}")" --admin "$(list "${ADMIN[@]}")" --pid "$(list "${PIDS[@]}")" \
  --users "${BENCH_USERS:-32}" --time "${BENCH_SECONDS:-10}" --algorithm "$ALGORITHM" "${operations[@]}"

# The last one's settings, once more: the keys are there.
if [ "$PROCESSES" = 1 ]; then
  kill "${PIDS[@]}"
  wait
  PIDS=()
  echo
  "$BENCH" startup --public "${PUBLIC[0]}" -- "$KEYWRIGHT" serve 2>"$DATA/startup.log" ||
    { tail -n 20 "$DATA/startup.log" >&2; die "the server does not start"; }
fi
