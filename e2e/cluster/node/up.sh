#!/usr/bin/env bash
# Starts a cluster of one node that runs pods, without a container engine, and prints the path of an admin kubeconfig.
#   NETWORK     first two bytes of a free /16 (default 10.241)
#   DIR         where the cluster keeps everything; one cluster for each NETWORK and DIR
#   OWNER_PID   when that process ends, so does the cluster, as by down.sh
# Needs root, and ip, nft, nsenter, unshare and openssl.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
umask 022

kubectl() { "$ASSETS/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }

credentials() {
  local names="IP:$NODE_ADDRESS,IP:$API_ADDRESS,IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default"
  pki_authority
  pki_certificate apiserver /CN=kube-apiserver "$names,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
  pki_certificate kubelet-server /CN=node "IP:$NODE_ADDRESS,DNS:node"
  pki_certificate front-proxy /CN=front-proxy
  pki_kubeconfig admin /O=system:masters/CN=admin "$DIR/kubeconfig"
  pki_kubeconfig controller-manager /CN=system:kube-controller-manager "$DIR/controller-manager.kubeconfig"
  pki_kubeconfig scheduler /CN=system:kube-scheduler "$DIR/scheduler.kubeconfig"
  pki_kubeconfig kubelet /O=system:nodes/CN=system:node:node "$DIR/kubelet.kubeconfig"
  pki_kubeconfig kube-proxy /CN=system:kube-proxy "$DIR/kube-proxy.kubeconfig"
}

# Root may lack the capability to lower its OOM score.
containerd_settings() {
  cat >"$DIR/containerd.toml" <<TOML
version = 3
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$ASSETS"]
  conf_dir = "$DIR/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "$ASSETS/runc"
    SystemdCgroup = false
TOML
  cat >"$DIR/cni/10-test.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "test", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam",
            "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"}
]}
JSON
}

# Images are never collected: one that was removed could not be pulled again. Since 1.35 cgroup v1 must be allowed.
kubelet_settings() {
  : >"$DIR/resolv.conf" # outside cluster DNS nothing is resolved, so a pull fails at once
  cat >"$DIR/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $DIR/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $DIR/pki/kubelet-server.crt
tlsPrivateKeyFile: $DIR/pki/kubelet-server.key
clusterDNS: [$DNS_ADDRESS]
clusterDomain: cluster.local
resolvConf: $DIR/resolv.conf
makeIPTablesUtilChains: false
volumePluginDir: /var/lib/kubelet/volumeplugins
imageGCHighThresholdPercent: 100
evictionHard:
  {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%, imagefs.inodesFree: 1%}
YAML
  cat >"$DIR/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $DIR/kube-proxy.kubeconfig}
clusterCIDR: $PODS
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}

# start_node: its first process, in namespaces and cgroups of its own: with it ends everything of the cluster
start_node() {
  local groups group file unshare
  groups=$(cgroups)
  echo "$groups" >"$DIR/cgroups"
  for group in $groups; do
    mkdir -p "$group"
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "$group/$file" ] || cat "${group%/*}/$file" >"$group/$file"
    done
  done
  # shellcheck disable=SC2016
  DIR=$DIR NETWORK=$NETWORK ASSETS=$ASSETS spawn node bash -c '
    for group in $1; do echo $$ >"$group/cgroup.procs"; done
    shift
    exec unshare --mount --net --pid --ipc --uts --cgroup --fork --kill-child "$@"' - "$groups" "$NODE/init.sh"
  unshare=$!
  wait_for 10 "the node" grep -q . "/proc/$unshare/task/$unshare/children"
  INIT=$(cut -d' ' -f1 "/proc/$unshare/task/$unshare/children")
  echo "$INIT $(start_time "$INIT") init" >>"$DIR/pids"
}

has_own_network() { [ "$(readlink "/proc/$INIT/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# link: this machine's way to the node, its pods and Services
link() {
  wait_for 10 "the node's network" has_own_network
  ip link add "$LINK" type veth peer name eth0 netns "$INIT"
  ip address add "$MACHINE_ADDRESS/24" dev "$LINK"
  ip link set "$LINK" up
  ip route add "$NETWORK.0.0/16" via "$NODE_ADDRESS" dev "$LINK"
}

[ "$(id -u)" = 0 ] || die "a node needs root"
for command in ip nft nsenter unshare openssl; do
  command -v "$command" >/dev/null || die "install $command (Debian: iproute2 nftables util-linux openssl)"
done
[ -n "$(cgroup_controllers)" ] || die "this machine has cgroup v2 alone, for which these scripts are not made: use kind"
if running; then die "a cluster runs in $DIR already; end it with down.sh"; fi
! ip link show "$LINK" >/dev/null 2>&1 || die "$NETWORK is in use; set NETWORK"
"$HERE/build.sh" node >/dev/null

rm -rf "$DIR"
mkdir -p "$DIR/log" "$DIR/cni" "$DIR/inner/log"
trap '[ $? = 0 ] || { tail -n 3 "$DIR"/log/*.log "$DIR"/inner/log/*.log >&2; KEEP=1 "$NODE/down.sh"; }' EXIT
credentials
containerd_settings
kubelet_settings
start_node
link

wait_for 60 containerd enter ctr version
"$NODE/load_image.sh" localhost/pause:1 "$ASSETS/pause"
"$NODE/load_image.sh" localhost/coredns:1 "$ASSETS/coredns"
wait_for 120 kube-apiserver kubectl get --raw /readyz
sed "s/DNS_ADDRESS/$DNS_ADDRESS/" "$NODE/coredns.yaml" | kubectl apply -f - >/dev/null
wait_for 60 "the node to register" kubectl get node node
kubectl wait --for=condition=Ready node/node --timeout=120s >/dev/null
# The kubelet has looked at them; covered, no pod could mount its /proc.
# shellcheck disable=SC2016
enter sh -c 'umount $(grep -o " /proc/sys/[^ ]*" /proc/self/mountinfo)'
wait_for 60 "the default service account" kubectl get serviceaccount default
kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null
if [ -n "${OWNER_PID:-}" ]; then
  # shellcheck disable=SC2016
  spawn owner-watch bash -c '. "$0"; while alive "$1" "$2"; do sleep 1; done; exec "$NODE/down.sh"' \
    "$NODE/lib.sh" "$OWNER_PID" "$(start_time "$OWNER_PID" || true)"
fi
echo "$DIR/kubeconfig"
