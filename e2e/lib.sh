# Helpers of all scripts here; sourced, not run.
# shellcheck shell=bash

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
