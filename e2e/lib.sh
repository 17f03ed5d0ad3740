# Helpers of all scripts here; sourced, not run.
# shellcheck shell=bash

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/keywright

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

random_hex() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# port_is_free PORT: nothing listens there on loopback
port_is_free() { ! (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# reserve_ports PORT COUNT: succeeds where PORT and the COUNT-1 after it are free. Nothing can hold a
# port before it is listened on, so a lock says that they are taken; what is started afterwards inherits
# the lock with file descriptor 8, and it ends with the last of these processes.
reserve_ports() {
  local port
  mkdir -p "$CACHE/ports"
  exec 8>"$CACHE/ports/$1"
  flock -n 8 || return 1
  for ((port = $1; port < $1 + $2; port++)); do port_is_free "$port" || return 1; done
}

# free_ports COUNT: sets PORT, the first of COUNT reserved ports, all below those that the kernel hands out
free_ports() {
  for _ in {1..100}; do
    PORT=$((20000 + RANDOM % 4000 * 3))
    if reserve_ports "$PORT" "$1"; then return; fi
  done
  die "found no $1 free ports"
}

# binary: sets KEYWRIGHT_BINARY to an absolute path; without it, a debug build is made
binary() {
  if [ -z "${KEYWRIGHT_BINARY:-}" ]; then
    cargo build --quiet --manifest-path "$E2E/../Cargo.toml" -p keywright --bin keywright
    KEYWRIGHT_BINARY=${CARGO_TARGET_DIR:-$E2E/../target}/debug/keywright
  fi
  KEYWRIGHT_BINARY=$(realpath "$KEYWRIGHT_BINARY")
}

# workplace NAME: sets WORK to a new folder; at the script's end the processes in PIDS end, and it goes
workplace() {
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/keywright-$1-XXXXXX")
  PIDS=()
  trap leave_workplace EXIT
}

leave_workplace() {
  [ ${#PIDS[@]} = 0 ] || kill "${PIDS[@]}" 2>/dev/null || true
  wait
  rm -rf "$WORK"
}

# start_dev OPTION...: `dev` on WORK/manifests, with the environment's further settings
# shellcheck disable=SC2120  # options are optional
start_dev() {
  "$KEYWRIGHT_BINARY" dev "$@" --manifests "$WORK/manifests" --data "$WORK/data" >"$WORK/dev.log" 2>&1 &
  PIDS+=($!)
}

# until_true WHAT COMMAND...: a minute at most, and only while the processes in PIDS run
until_true() {
  local what=$1 end=$((SECONDS + 60)) pid
  shift
  until "$@"; do
    for pid in "${PIDS[@]}"; do
      kill -0 "$pid" 2>/dev/null || { cat "$WORK"/*.log >&2; die "a process ended"; }
    done
    [ $SECONDS -lt $end ] || { cat "$WORK"/*.log >&2; die "$what"; }
    sleep 0.1
  done
}
