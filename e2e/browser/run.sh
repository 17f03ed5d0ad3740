#!/usr/bin/env bash
# Clicks through the built-in pages and the sample app with a real browser.
# Usage: run.sh [OPTION of node --test]...
#   KEYWRIGHT_BINARY  the program to test, instead of a fresh debug build
#   BROWSER_BINARY    a Chromium or Chrome, instead of one that is found
#   SCREENSHOTS       a folder for a picture of each page
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

# in_ci: may packages be installed?
in_ci() { case "$(id -u) ${CI:-}" in "0 1" | "0 true") ;; *) return 1 ;; esac; }

# install PACKAGE...: with Debian's package manager
install() {
  command -v apt-get >/dev/null || return 1
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy "$@"; } >&2 </dev/null
}

# find_browser: sets BROWSER_BINARY to one of this machine
find_browser() {
  local name
  [ -z "${BROWSER_BINARY:-}" ] || return 0
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if BROWSER_BINARY=$(command -v "$name"); then return; fi
  done
  return 1
}

# fetch_browser: the one that belongs to the library, into the cache
fetch_browser() {
  export PLAYWRIGHT_BROWSERS_PATH=$CACHE/browsers
  "$here/node_modules/.bin/playwright-core" install --only-shell chromium >&2 || return 1
  BROWSER_BINARY=$(find "$PLAYWRIGHT_BROWSERS_PATH" -type f \( -name headless_shell -o -name chrome-headless-shell \) | sort -V | tail -n 1)
  [ -n "$BROWSER_BINARY" ]
}

if ! command -v npm >/dev/null; then
  if in_ci; then install nodejs npm || true; fi
  command -v npm >/dev/null || die "install Node.js 20 or newer, with npm"
fi
(cd "$here" && npm ci --silent)

if ! find_browser && ! { in_ci && install chromium && find_browser; } && ! fetch_browser; then
  echo "SKIPPED: there is no browser. Install Chromium (Debian: apt-get install chromium), or set BROWSER_BINARY." >&2
  exit 0
fi
export BROWSER_BINARY

binary
export KEYWRIGHT_BINARY

cd "$here"
exec node --test "$@" ./*.test.js
