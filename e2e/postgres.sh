#!/usr/bin/env bash
# Runs a command with a PostgreSQL of its own: DATABASE_URL names it, with the rights to create databases.
# Where DATABASE_URL is set already, that server is used. POSTGRES_OPTIONS are more options of the server, such as -c fsync=on.
# Usage: postgres.sh COMMAND...
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || die "usage: postgres.sh COMMAND..."
[ -z "${DATABASE_URL:-}" ] || exec "$@"

# programs: sets BIN, the folder of initdb and pg_ctl: of those in the PATH, else of the newest installed
programs() {
  BIN=$(dirname "$(command -v initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)")
  [ -x "$BIN/initdb" ] && [ -x "$BIN/pg_ctl" ]
}

# install: with the distribution's package manager
install() {
  if command -v apt-get; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy postgresql
  elif command -v apk; then
    apk add postgresql
  elif command -v dnf; then
    dnf install -y postgresql-server
  fi >&2 </dev/null
}

# as_owner COMMAND...: PostgreSQL refuses to run as root
as_owner() {
  if [ "$OWNER" = "$(id -un)" ]; then "$@"; else su -s /bin/bash "$OWNER" -c "cd / && exec ${*@Q}"; fi
}

start() {
  local password
  password=$(random_hex)
  echo "$password" >"$DATA/password"
  [ "$OWNER" = "$(id -un)" ] || chown -R "$OWNER" "$DATA"
  as_owner "$BIN/initdb" --pgdata "$DATA/db" --no-sync --username postgres --pwfile "$DATA/password" \
    --auth password --encoding UTF8 --locale C >"$DATA/initdb.log" 2>&1 ||
    { cat "$DATA/initdb.log" >&2; die "initdb failed"; }
  free_ports 1
  as_owner "$BIN/pg_ctl" start --silent --wait --pgdata "$DATA/db" --log "$DATA/server.log" --options "\
    -c listen_addresses=127.0.0.1 -c port=$PORT -c unix_socket_directories= -c max_connections=200 \
    -c fsync=off -c full_page_writes=off ${POSTGRES_OPTIONS:-}" >&2 ||
    { cat "$DATA/server.log" >&2; die "PostgreSQL did not start"; }
  export DATABASE_URL="postgres://postgres:$password@127.0.0.1:$PORT/postgres"
}

# shellcheck disable=SC2317  # the trap below calls it
stop() {
  [ ! -f "$DATA/db/postmaster.pid" ] ||
    as_owner "$BIN/pg_ctl" stop --silent --mode immediate --pgdata "$DATA/db" >&2 || true
  rm -rf "$DATA"
}

if ! programs; then
  case "$(id -u) ${CI:-}" in
    "0 1" | "0 true") install ;;
  esac
  programs || die "install PostgreSQL (Debian: apt-get install postgresql), or set DATABASE_URL"
fi

OWNER=$(id -un)
if [ "$(id -u)" = 0 ]; then
  OWNER=nobody
  if id postgres >/dev/null 2>&1; then OWNER=postgres; fi
fi
DATA=$(mktemp -d "${TMPDIR:-/tmp}/keywright-postgres-XXXXXX")
trap stop EXIT
# The command gets these signals too, or must end by itself: the server is stopped after it.
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

start
status=0
"$@" || status=$?
exit $status
