#!/usr/bin/env bash
# Installs the chart on a cluster that runs pods, with a real PostgreSQL, and tests what an installation must do.
# The cluster is the one that KUBECONFIG names, else one that kind makes where there is a container engine, else one of
# our own (../cluster/node). A cluster of yours has to be one for tests: namespaces are made in it, and the definitions
# removed in the end. It needs IMAGE, which it can pull, and an empty database in DATABASE_URL, which its pods reach.
#   IMAGE_FILE   an archive of the image, in place of building it
#   PUBLIC_URL   where the port 30444 of a node of yours is reached
# Usage: run.sh [TEST…]
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

for program in python3 curl; do command -v "$program" >/dev/null || die "install $program"; done
assets=$(../cluster/build.sh helm)
export HELM=$assets/helm KUBECTL=$assets/kubectl
work=$(mktemp -d "${TMPDIR:-/tmp}/keywright-install-XXXXXX")
export HELM_CACHE_HOME=$work/helm HELM_CONFIG_HOME=$work/helm HELM_DATA_HOME=$work/helm
cleanup=(rm -rf "$work")
# shellcheck disable=SC2317  # the trap below calls it
stop() { "${cleanup[@]}"; rm -rf "$work"; }
trap stop EXIT

engine_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

image_file() {
  [ -n "${IMAGE_FILE:-}" ] || ENGINE=none IMAGE=$IMAGE ../../image/build.sh >&2
  echo "${IMAGE_FILE:-${CARGO_TARGET_DIR:-../../target}/image/keywright.tar}"
}

in_kind() {
  command -v kind >/dev/null || die "install kind, or name a cluster in KUBECONFIG"
  [ -n "${IMAGE_FILE:-}" ] || IMAGE=$IMAGE ../../image/build.sh >&2
  cleanup=(kind delete cluster --name keywright-e2e)
  export KUBECONFIG=$work/kubeconfig
  kind create cluster --name keywright-e2e --config ../kind.yaml --wait 120s
  if [ -n "${IMAGE_FILE:-}" ]; then
    kind load image-archive "$IMAGE_FILE" --name keywright-e2e
  else
    kind load docker-image "$IMAGE" --name keywright-e2e
  fi
  DATABASE_GATEWAY=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 -F .)
  PUBLIC_URL=http://127.0.0.1:30444
}

in_node() {
  local file
  file=$(image_file)
  cleanup=(env DIR="$work/node" ../cluster/node/down.sh)
  KUBECONFIG=$(DIR=$work/node ../cluster/node/up.sh)
  DIR=$work/node ../cluster/node/load_image.sh "$IMAGE" "$file"
  DATABASE_GATEWAY=${NETWORK:-10.241}.0.1
  PUBLIC_URL=http://${NETWORK:-10.241}.0.2:30444
}

if [ -n "${KUBECONFIG:-}" ]; then
  [ -n "${IMAGE:-}" ] || die "with KUBECONFIG, set IMAGE"
  [ -n "${DATABASE_URL:-}" ] || die "with KUBECONFIG, set DATABASE_URL"
  PUBLIC_URL=${PUBLIC_URL:-http://$("$KUBECTL" get nodes -o jsonpath='{.items[0].status.addresses[0].address}'):30444}
else
  IMAGE=${IMAGE:-localhost/keywright:e2e}
  if engine_answers; then in_kind; else in_node; fi
fi
export KUBECONFIG IMAGE PUBLIC_URL DATABASE_GATEWAY=${DATABASE_GATEWAY:-}
../postgres.sh python3 scenarios.py "$@"
