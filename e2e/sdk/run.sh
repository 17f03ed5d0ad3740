#!/usr/bin/env bash
# Ory's client library for Go against a running server: both APIs, through logins, consents and logouts.
# KEYWRIGHT_BINARY names the binary; without it, it is built.
# Usage: run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

command -v go >/dev/null || die "install go"
if [ -z "${KEYWRIGHT_BINARY:-}" ]; then
  (cd ../.. && cargo build --quiet -p keywright --bin keywright)
  KEYWRIGHT_BINARY=${CARGO_TARGET_DIR:-../../target}/debug/keywright
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/keywright-sdk-XXXXXX")
pids=()
# shellcheck disable=SC2317  # the trap below calls it
stop() {
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap stop EXIT

free_ports 3
export PUBLIC_URL=http://127.0.0.1:$PORT ADMIN_URL=http://127.0.0.1:$((PORT + 1)) PAGES=127.0.0.1:$((PORT + 2))
mkdir "$work/manifests"
cp ../relying_parties/manifests/key-sets.yaml "$work/manifests/"
go build -o "$work/sdk" .

SERVE_PUBLIC_PORT=$PORT SERVE_ADMIN_PORT=$((PORT + 1)) OIDC_DYNAMIC_CLIENT_REGISTRATION_ENABLED=true \
  URLS_LOGIN=http://$PAGES/login URLS_CONSENT=http://$PAGES/consent URLS_LOGOUT=http://$PAGES/logout \
  "$KEYWRIGHT_BINARY" dev --sample-app off --manifests "$work/manifests" --data "$work/data" >"$work/dev.log" 2>&1 &
pids+=($!)
end=$((SECONDS + 60))
until grep -q "Ctrl-C stops" "$work/dev.log"; do
  if [ $SECONDS -ge $end ] || ! kill -0 "${pids[@]}" 2>/dev/null; then
    cat "$work/dev.log" >&2
    die "the server does not start"
  fi
  sleep 0.1
done

"$work/sdk" || { grep -v " INFO " "$work/dev.log" >&2; die "the library cannot work with the server"; }
