#!/usr/bin/env bash
# The chart's tests, on an API server of their own: nothing runs in it. Builds Helm where it is missing.
# Usage: check.sh [TEST…]   (ChartTest.test_…)
set -euo pipefail
cd "$(dirname "$0")"

assets=$(../e2e/cluster/build.sh helm)
DIR=$(mktemp -d "${TMPDIR:-/tmp}/keywright-chart-XXXXXX")
export DIR
trap '../e2e/cluster/down.sh; rm -rf "$DIR"' EXIT
KUBECONFIG=$(../e2e/cluster/up.sh)
export KUBECONFIG HELM=$assets/helm KUBECTL=$assets/kubectl HELM_CACHE_HOME=$DIR/helm HELM_CONFIG_HOME=$DIR/helm HELM_DATA_HOME=$DIR/helm

./describe.py --check
./kustomize.py --check
python3 tests.py "$@"
