#!/usr/bin/env bash
# Ory's client library for Go against a running server: both APIs, through logins, consents and logouts.
# KEYWRIGHT_BINARY names the binary; without it, it is built.
# Usage: run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

command -v go >/dev/null || die "install go"
binary
workplace sdk

free_ports 3
export PUBLIC_URL=http://127.0.0.1:$PORT ADMIN_URL=http://127.0.0.1:$((PORT + 1)) PAGES=127.0.0.1:$((PORT + 2))
mkdir "$WORK/manifests"
cp ../relying_parties/manifests/key-sets.yaml "$WORK/manifests/"
go build -o "$WORK/sdk" .

SERVE_PUBLIC_PORT=$PORT SERVE_ADMIN_PORT=$((PORT + 1)) OIDC_DYNAMIC_CLIENT_REGISTRATION_ENABLED=true \
  URLS_LOGIN=http://$PAGES/login URLS_CONSENT=http://$PAGES/consent URLS_LOGOUT=http://$PAGES/logout \
  start_dev --sample-app off
until_true "the server does not start" grep -q "Ctrl-C stops" "$WORK/dev.log"

"$WORK/sdk" || { grep -v " INFO " "$WORK/dev.log" >&2; die "the library cannot work with the server"; }
