#!/usr/bin/env bash
# The node's first process; up.sh starts it in mount, network, PID, IPC, UTS and cgroup namespaces of its own, so that
# nothing done here shows outside, and all of it goes when this process ends.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
outer=$DIR
DIR=$DIR/inner # what runs in here is recorded there
export PATH=$ASSETS:$PATH

mounts() {
  local controller pair file
  mount --make-rshared / # as volumes need it, but only in here
  mount -t proc proc /proc
  umount -R -l /sys
  mount -t sysfs sysfs /sys # a fresh one shows this network namespace
  mount -t tmpfs tmpfs /sys/fs/cgroup
  for controller in $(cgroup_controllers); do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done
  mkdir -p "$DIR/var-lib/kubelet" "$DIR/var-log"
  mount -t tmpfs tmpfs /run
  mount --bind "$DIR/var-lib" /var/lib
  mount --bind "$DIR/var-log" /var/log
  mount --bind "$outer/resolv.conf" /etc/resolv.conf
  # The kubelet insists on these, which are the whole machine's: it is shown what it wants to see.
  for pair in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$DIR/sysctl/${pair%=*}
    mkdir -p "$(dirname "$file")"
    echo "${pair#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${pair%=*}"
  done
}

network() {
  hostname node
  ip link set lo up
  wait_for 10 "the link" ip link show eth0
  ip address add "$NODE_ADDRESS/24" dev eth0
  ip link set eth0 up
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

control_plane() {
  local pki=$outer/pki
  spawn etcd etcd --data-dir "$DIR/etcd" --unsafe-no-fsync --log-level warn
  spawn kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --bind-address "$NODE_ADDRESS" --advertise-address "$NODE_ADDRESS" --secure-port 6443 \
    --service-cluster-ip-range "$SERVICES" --authorization-mode Node,RBAC --allow-privileged \
    --enable-admission-plugins NodeRestriction --client-ca-file "$pki/ca.crt" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$pki/accounts.key" --service-account-signing-key-file "$pki/accounts.key" \
    --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --requestheader-client-ca-file "$pki/ca.crt" --requestheader-allowed-names front-proxy \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front-proxy.crt" --proxy-client-key-file "$pki/front-proxy.key"
  spawn containerd containerd --config "$outer/containerd.toml"
  wait_for 120 kube-apiserver kubectl --kubeconfig "$outer/kubeconfig" get --raw /readyz
  spawn kube-controller-manager kube-controller-manager --leader-elect=false --bind-address 127.0.0.1 \
    --kubeconfig "$outer/controller-manager.kubeconfig" --use-service-account-credentials \
    --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/accounts.key" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key"
  spawn kube-scheduler kube-scheduler --leader-elect=false --bind-address 127.0.0.1 \
    --kubeconfig "$outer/scheduler.kubeconfig"
}

node() {
  wait_for 30 containerd test -S /run/containerd/containerd.sock
  spawn kubelet kubelet --config "$outer/kubelet.yaml" --kubeconfig "$outer/kubelet.kubeconfig" \
    --hostname-override node --node-ip "$NODE_ADDRESS"
  spawn kube-proxy kube-proxy --config "$outer/kube-proxy.yaml" --hostname-override node
}

mounts
network
control_plane
node
while :; do # reap, and note what ends that should not
  wait -n || true
  while read -r pid start name; do
    alive "$pid" "$start" || echo "$name ended"
  done < <(recorded)
  sleep 5
done
