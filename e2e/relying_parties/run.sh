#!/usr/bin/env bash
# Real relying parties against a running server: each logs somebody in with its own library, across a rotation of the
# keys, refreshes, asks and revokes tokens, logs in a device, and logs out.
# KEYWRIGHT_BINARY names the binary; without it, it is built.
# Usage: run.sh [go|python|node]...
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

[ $# -gt 0 ] || set -- go python node
for program in python3 "$@"; do
  case $program in python) program=python3 ;; esac
  command -v "$program" >/dev/null || die "install $program"
done

if [ -z "${KEYWRIGHT_BINARY:-}" ]; then
  (cd ../.. && cargo build --quiet -p keywright --bin keywright)
  KEYWRIGHT_BINARY=${CARGO_TARGET_DIR:-../../target}/debug/keywright
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/keywright-relying-parties-XXXXXX")
pids=()
# shellcheck disable=SC2317  # the trap below calls it
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT

free_ports 3
public=http://127.0.0.1:$PORT admin=http://127.0.0.1:$((PORT + 1)) pages=http://127.0.0.1:$((PORT + 2))
mkdir "$work/manifests"
cp manifests/*.yaml "$work/manifests/"

SERVE_PUBLIC_PORT=$PORT SERVE_ADMIN_PORT=$((PORT + 1)) \
  URLS_LOGIN=$pages/login URLS_CONSENT=$pages/consent URLS_LOGOUT=$pages/logout \
  URLS_DEVICE_VERIFICATION=$pages/device \
  "$KEYWRIGHT_BINARY" dev --manifests "$work/manifests" --data "$work/data" >"$work/dev.log" 2>&1 &
pids+=($!)
python3 login_app.py $((PORT + 2)) "$public" "$admin" "$work/manifests/key-sets.yaml" 2>"$work/pages.log" &
pids+=($!)

# until_true WHAT COMMAND...: a minute at most
until_true() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { cat "$work/dev.log" >&2; die "$what"; }
    kill -0 "${pids[@]}" 2>/dev/null || { cat "$work"/*.log >&2; die "a process ended"; }
    sleep 0.1
  done
}
until_true "the client is not ready" grep -qs CLIENT_SECRET "$work/data/secrets/default/relying-party-oauth2-client.yaml"
until_true "the pages are not served" eval "! port_is_free $((PORT + 2))"

entry() { python3 -c 'import base64, re, sys
text = open(sys.argv[1]).read()
print(base64.b64decode(re.search(sys.argv[2] + r": (\S+)", text)[1]).decode())' \
  "$work/data/secrets/default/relying-party-oauth2-client.yaml" "$1"; }

export ISSUER=$public ROTATE_URL=$pages/rotate REDIRECT_URI=http://127.0.0.1:9/callback
CLIENT_ID=$(entry CLIENT_ID) CLIENT_SECRET=$(entry CLIENT_SECRET)
export CLIENT_ID CLIENT_SECRET

go_relying_party() { (cd go && go build -o "$work/relying-party" . && "$work/relying-party"); }

python_relying_party() {
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
  "$work/venv/bin/python" python/relying_party.py
}

node_relying_party() {
  cp -r node "$work/node"
  (cd "$work/node" && npm ci --silent --no-fund --no-audit && node relying_party.mjs)
}

for party in "$@"; do
  "${party}_relying_party" || { grep -v " INFO " "$work"/*.log >&2; die "$party failed"; }
done
