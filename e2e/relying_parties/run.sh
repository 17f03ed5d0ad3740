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

binary
workplace relying-parties

free_ports 3
public=http://127.0.0.1:$PORT admin=http://127.0.0.1:$((PORT + 1)) pages=http://127.0.0.1:$((PORT + 2))
mkdir "$WORK/manifests"
cp manifests/*.yaml "$WORK/manifests/"

SERVE_PUBLIC_PORT=$PORT SERVE_ADMIN_PORT=$((PORT + 1)) \
  URLS_LOGIN=$pages/login URLS_CONSENT=$pages/consent URLS_LOGOUT=$pages/logout \
  URLS_DEVICE_VERIFICATION=$pages/device \
  start_dev --sample-app off
python3 login_app.py $((PORT + 2)) "$public" "$admin" "$WORK/manifests/key-sets.yaml" 2>"$WORK/pages.log" &
PIDS+=($!)

until_true "the client is not ready" grep -qs CLIENT_SECRET "$WORK/data/secrets/default/relying-party-oauth2-client.yaml"
until_true "the pages are not served" eval "! port_is_free $((PORT + 2))"

entry() { python3 -c 'import base64, re, sys
text = open(sys.argv[1]).read()
print(base64.b64decode(re.search(sys.argv[2] + r": (\S+)", text)[1]).decode())' \
  "$WORK/data/secrets/default/relying-party-oauth2-client.yaml" "$1"; }

export ISSUER=$public ROTATE_URL=$pages/rotate REDIRECT_URI=http://127.0.0.1:9/callback
CLIENT_ID=$(entry CLIENT_ID) CLIENT_SECRET=$(entry CLIENT_SECRET)
export CLIENT_ID CLIENT_SECRET

go_relying_party() { (cd go && go build -o "$WORK/relying-party" . && "$WORK/relying-party"); }

python_relying_party() {
  python3 -m venv "$WORK/venv"
  "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
  "$WORK/venv/bin/python" python/relying_party.py
}

node_relying_party() {
  cp -r node "$WORK/node"
  (cd "$WORK/node" && npm ci --silent --no-fund --no-audit && node relying_party.mjs)
}

for party in "$@"; do
  "${party}_relying_party" || { grep -v " INFO " "$WORK"/*.log >&2; die "$party failed"; }
done
