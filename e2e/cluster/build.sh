#!/usr/bin/env bash
# Builds from Go modules what a test cluster runs, where it is missing, and prints the folder.
# Usage: build.sh [kube-controller-manager]   (etcd, kube-apiserver and kubectl in any case)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# missing NAME...: those that are not in the folder
missing() {
  local name
  for name; do [ -x "$ASSETS/$name" ] || echo "$name"; done
}

# build PACKAGE OUTPUT: OUTPUT appears only when it is complete
build() {
  local module=kubernetes
  [ "$2" != etcd ] || module=etcd
  echo "building $2 ..." >&2
  CGO_ENABLED=0 go -C "$HERE/mod/$module" build -trimpath -buildvcs=false -ldflags "$LDFLAGS" -o "$ASSETS/.$2.new" "$1" >&2
  mv "$ASSETS/.$2.new" "$ASSETS/$2"
}

# What `kubectl version` and clients see as the server's version.
LDFLAGS="-s -w"
minor=${KUBERNETES_VERSION#v1.}
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  LDFLAGS+=" -X $package.gitVersion=$KUBERNETES_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  LDFLAGS+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
done

wanted=(etcd kube-apiserver kubectl "$@")
if [ -n "$(missing "${wanted[@]}")" ]; then
  [ -z "${KUBEBUILDER_ASSETS:-}" ] || die "KUBEBUILDER_ASSETS=$ASSETS lacks: $(missing "${wanted[@]}" | xargs)"
  command -v go >/dev/null || die "Go is needed to build: $(missing "${wanted[@]}" | xargs)"
  mkdir -p "$ASSETS"
  exec 9>"$ASSETS/.lock"
  flock 9 # a build beside another one would only repeat its work
  for name in $(missing "${wanted[@]}"); do
    case $name in
      etcd) build go.etcd.io/etcd/server/v3 etcd ;;
      *) build "k8s.io/kubernetes/cmd/$name" "$name" ;;
    esac
  done
fi
echo "$ASSETS"
