# Settings and helpers of the cluster scripts; sourced, not run.
# shellcheck shell=bash

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
. "$HERE/../lib.sh"

# The version that build.sh builds is the one that this go.mod pins.
KUBERNETES_VERSION=$(sed -n 's,^require k8s.io/kubernetes \(v[0-9.]*\).*,\1,p' "$HERE/mod/kubernetes/go.mod")
# shellcheck disable=SC2034  # used by the scripts
ASSETS=${KUBEBUILDER_ASSETS:-${KEYWRIGHT_KUBE_ASSETS:-$CACHE/kubernetes-$KUBERNETES_VERSION}}
DIR=${DIR:-${TMPDIR:-/tmp}/keywright-cluster-$(id -u)}

# A process is recorded in DIR/pids as "PID START-TIME NAME". The start time tells it from a later process
# that was given the same number. A zombie has none.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  [ "${stat%% *}" != Z ] && cut -d' ' -f20 <<<"$stat"
}

# alive PID START-TIME: that process, and no later one, is there
alive() { [ -n "$2" ] && [ "$(start_time "$1")" = "$2" ]; }

# spawn NAME COMMAND...: starts it in the background with its output in DIR/log/NAME.log
spawn() {
  local name=$1
  shift
  setsid "$@" >>"$DIR/log/$name.log" 2>&1 </dev/null &
  echo "$! $(start_time $! || echo ended) $name" >>"$DIR/pids"
}

# recorded: what DIR/pids holds, last started first
recorded() { [ ! -f "$DIR/pids" ] || tac "$DIR/pids"; }

# running: one of the recorded processes is there
running() {
  local pid start
  while read -r pid start _; do
    if alive "$pid" "$start"; then return 0; fi
  done < <(recorded)
  return 1
}

# stop: ends the recorded processes at once, but the caller if it is one of them. etcd writes to the
# page cache before it answers, so its data outlives this.
stop() {
  local pid start
  while read -r pid start _; do
    [ "$pid" != $$ ] || continue
    alive "$pid" "$start" || continue
    kill -9 "$pid"
    while alive "$pid" "$start"; do sleep 0.05; done
  done < <(recorded)
  rm -f "$DIR/pids"
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds; fails at once when a recorded process has ended
wait_for() {
  local end=$((SECONDS + $1)) what=$2 pid start name
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "timed out waiting for $what"
    while read -r pid start name; do
      alive "$pid" "$start" || die "$name ended"
    done < <(recorded)
    sleep 0.1
  done
}
