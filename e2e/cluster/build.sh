#!/usr/bin/env bash
# Builds from source what a test cluster runs, where it is missing, and prints the folder.
# Usage: build.sh [NAME…]   (etcd, kube-apiserver and kubectl in any case)
#   kube-controller-manager, helm, …  that too
#   node                              all that a node needs which runs pods
set -euo pipefail
. "$(dirname "$0")/lib.sh"

CONTAINERD=github.com/containerd/containerd/v2@v2.4.2
CNI=github.com/containernetworking/plugins@v1.9.1
RUNC=github.com/opencontainers/runc@v1.5.2
HELM=helm.sh/helm/v3@v3.22.0

NODE=(kube-controller-manager kube-scheduler kubelet kube-proxy containerd containerd-shim-runc-v2 ctr runc pause
  ptp loopback host-local portmap coredns)

# module NAME: the module and version of a program that is built as its authors publish it
module() {
  case $1 in
    containerd | containerd-shim-runc-v2 | ctr) echo "$CONTAINERD" ;;
    ptp | loopback | host-local | portmap) echo "$CNI" ;;
    runc) echo "$RUNC" ;;
    helm) echo "$HELM" ;;
  esac
}

# missing NAME…: those that are not in the folder, or there in another version
missing() {
  local name
  for name; do
    if ! [ -x "$ASSETS/$name" ] || [ "$(module "$name")" != "$(cat "$ASSETS/.$name.module" 2>/dev/null)" ]; then
      echo "$name"
    fi
  done
}

# build NAME MODULE PACKAGE: one that a module below mod/ pins
build() {
  CGO_ENABLED=0 go -C "$HERE/mod/$2" build -trimpath -buildvcs=false -ldflags "$LDFLAGS" -o "$ASSETS/.new/$1" "$3"
}

# install NAME PATH [FLAG…]: the command at PATH of its module
install() {
  local module
  module=$(module "$1")
  GOBIN=$ASSETS/.new go install -trimpath -buildvcs=false "${@:3}" "${module%@*}$2@${module#*@}"
}

# make_one NAME
make_one() {
  local helm="-s -w -X helm.sh/helm/v3/internal/version.version=${HELM#*@}" package
  case $1 in
    etcd) build "$1" etcd go.etcd.io/etcd/server/v3 ;;
    coredns) build "$1" coredns . ;;
    pause) gcc -Os -static -s -o "$ASSETS/.new/pause" "$HERE/mod/pause.c" ;;
    containerd | containerd-shim-runc-v2 | ctr) CGO_ENABLED=0 install "$1" "/cmd/$1" -ldflags "-s -w" ;;
    ptp | loopback) CGO_ENABLED=0 install "$1" "/plugins/main/$1" -ldflags "-s -w" ;;
    host-local) CGO_ENABLED=0 install "$1" "/plugins/ipam/$1" -ldflags "-s -w" ;;
    portmap) CGO_ENABLED=0 install "$1" "/plugins/meta/$1" -ldflags "-s -w" ;;
    # Its first stage is C, and pods that ask for a seccomp profile need the tag.
    runc) CGO_ENABLED=1 install "$1" "" -tags "seccomp netgo osusergo urfave_cli_no_docs" \
      -ldflags "-s -w -linkmode external -extldflags -static" ;;
    # What a chart without a cluster is told that the cluster's version is.
    helm)
      for package in pkg/chartutil pkg/lint/rules; do
        helm+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=1 -X helm.sh/helm/v3/$package.k8sVersionMinor=${minor%%.*}"
      done
      CGO_ENABLED=0 install "$1" /cmd/helm -ldflags "$helm"
      ;;
    *) build "$1" kubernetes "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

# What `kubectl version` and clients see as the server's version.
LDFLAGS="-s -w"
minor=${KUBERNETES_VERSION#v1.}
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  LDFLAGS+=" -X $package.gitVersion=$KUBERNETES_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  LDFLAGS+=" -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"
done

wanted=(etcd kube-apiserver kubectl)
for name; do
  if [ "$name" = node ]; then wanted+=("${NODE[@]}"); else wanted+=("$name"); fi
done
if [ -n "$(missing "${wanted[@]}")" ]; then
  [ -z "${KUBEBUILDER_ASSETS:-}" ] || die "KUBEBUILDER_ASSETS=$ASSETS lacks: $(missing "${wanted[@]}" | xargs)"
  command -v go >/dev/null || die "Go is needed to build: $(missing "${wanted[@]}" | xargs)"
  mkdir -p "$ASSETS"
  exec 9>"$ASSETS/.lock"
  flock 9 # a build beside another one would only repeat its work
  for name in $(missing "${wanted[@]}"); do
    echo "building $name ..." >&2
    mkdir -p "$ASSETS/.new"
    make_one "$name" >&2
    mv "$ASSETS/.new/$name" "$ASSETS/$name" # appears only when it is complete
    module "$name" >"$ASSETS/.$name.module"
  done
  rm -rf "$ASSETS/.new"
fi
echo "$ASSETS"
