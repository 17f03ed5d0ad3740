#!/usr/bin/env bash
# Builds the image, and writes what it is made of to target/image/keywright.cdx.json.
#   IMAGE         its name and tag (default keywright:VERSION)
# With an engine the binary is built from the same paths everywhere, so that it has the same bytes; here, its panics name
# this machine's.
#   ENGINE        docker or podman; by default the one that answers. Without one, and with ENGINE=none, Cargo builds the
#                 binary here and image/archive.py puts it into target/image/keywright.tar
#   CERTIFICATES  the authorities that the image trusts, for the archive (default /etc/ssl/certs/ca-certificates.crt)
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
image=${IMAGE:-keywright:$version}
revision=$(git rev-parse HEAD 2>/dev/null || true)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
target=$(uname -m)-unknown-linux-musl
output=${CARGO_TARGET_DIR:-target}/image
mkdir -p "$output"

engine() {
  local name
  [ -z "${ENGINE:-}" ] || { echo "$ENGINE"; return; }
  for name in docker podman; do
    if command -v "$name" >/dev/null && "$name" info >/dev/null 2>&1; then echo "$name"; return; fi
  done
  echo none
}

archive() {
  rustup target add "$target" >/dev/null 2>&1 || true
  cargo build --locked --release -p keywright --bin keywright --target "$target"
  python3 image/archive.py --name "$image" --binary "${CARGO_TARGET_DIR:-target}/$target/release/keywright" \
    --certificates "${CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}" \
    --version "$version" --revision "$revision" --output "$output/keywright.tar"
  echo "$output/keywright.tar holds $image ($(($(stat -c %s "$output/keywright.tar") / 1024 / 1024)) MiB)"
}

python3 image/sbom.py "$target" >"$output/keywright.cdx.json"
case $(engine) in
  none) archive ;;
  *)
    "$(engine)" build --tag "$image" --build-arg SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \
      --label org.opencontainers.image.version="$version" --label org.opencontainers.image.revision="$revision" .
    echo "$(engine) has $image"
    ;;
esac
