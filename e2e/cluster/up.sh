#!/usr/bin/env bash
# Starts etcd and kube-apiserver on loopback, on free ports, and prints the path of an admin kubeconfig.
# Data that `down.sh --keep-data` left in DIR is taken up again, on the same port.
#   DIR=PATH              where the cluster keeps everything; one cluster for each DIR
#   AUDIT=1               log every request to DIR/audit.log, one JSON object a line, without bodies
#   CONTROLLER_MANAGER=1  also collect garbage, end namespaces and aggregate cluster roles
#   OWNER_PID=PID         when that process ends, so does the cluster, as by down.sh
set -euo pipefail
. "$(dirname "$0")/lib.sh"
umask 077

kubectl() { "$ASSETS/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }

start_etcd() {
  local client=http://127.0.0.1:$((PORT + 1)) peer=http://127.0.0.1:$((PORT + 2))
  spawn etcd "$ASSETS/etcd" --data-dir "$DIR/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
}

# The API server makes its own serving certificate at the first start; its key signs the tokens of service
# accounts too. No controller makes default service accounts, so their admission plugin is off.
start_apiserver() {
  local audit=()
  [ -z "${AUDIT:-}" ] ||
    audit=(--audit-policy-file "$HERE/audit-policy.yaml" --audit-log-path "$DIR/audit.log" --audit-log-maxsize 10000)
  spawn kube-apiserver "$ASSETS/kube-apiserver" --etcd-servers "http://127.0.0.1:$((PORT + 1))" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$PORT" \
    --endpoint-reconciler-type none --service-cluster-ip-range 10.0.0.0/24 --authorization-mode RBAC \
    --cert-dir "$DIR/pki" --token-auth-file "$DIR/pki/tokens.csv" \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$DIR/pki/apiserver.key" \
    --service-account-signing-key-file "$DIR/pki/apiserver.key" \
    --disable-admission-plugins ServiceAccount "${audit[@]}"
}

start_controller_manager() {
  spawn kube-controller-manager "$ASSETS/kube-controller-manager" --kubeconfig "$DIR/kubeconfig" \
    --secure-port 0 --leader-elect=false \
    --controllers garbage-collector-controller,namespace-controller,clusterrole-aggregation-controller
}

# The file that the API server made holds its own certificate and then that of the authority for it.
kubeconfig() {
  local ca token
  ca=$(awk '/BEGIN CERTIFICATE/ { n++ } n == 2' "$DIR/pki/apiserver.crt" | base64 | tr -d '\n')
  token=$(cut -d, -f1 "$DIR/pki/tokens.csv")
  cat <<YAML
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: "https://127.0.0.1:$PORT", certificate-authority-data: "$ca"}
users:
- name: admin
  user: {token: "$token"}
contexts:
- name: test
  context: {cluster: test, user: admin}
current-context: test
YAML
}

components=()
[ -z "${CONTROLLER_MANAGER:-}" ] || components=(kube-controller-manager)
"$HERE/build.sh" "${components[@]}" >/dev/null

if running; then die "a cluster runs in $DIR already; end it with down.sh"; fi
rm -f "$DIR/pids"
mkdir -p "$DIR/log" "$DIR/pki"
if [ -f "$DIR/port" ]; then
  PORT=$(cat "$DIR/port")
  # What ran here before may take a moment to let go of them.
  wait_for 30 "the ports of $DIR, $PORT to $((PORT + 2))" reserve_ports "$PORT" 3
else
  free_ports 3
  echo "$(random_hex),admin,admin,system:masters" >"$DIR/pki/tokens.csv"
  echo "$PORT" >"$DIR/port"
fi
trap '[ $? = 0 ] || { tail -n 5 "$DIR"/log/*.log >&2; stop; }' EXIT

start_etcd
start_apiserver
wait_for 60 "the serving certificate" test -s "$DIR/pki/apiserver.key"
kubeconfig >"$DIR/kubeconfig"
wait_for 120 kube-apiserver kubectl get --raw /readyz
wait_for 30 "the default namespace" kubectl get namespace default
[ -z "${CONTROLLER_MANAGER:-}" ] || start_controller_manager
if [ -n "${OWNER_PID:-}" ]; then
  # shellcheck disable=SC2016
  spawn owner-watch bash -c '. "$0"; while alive "$1" "$2"; do sleep 1; done; DIR=$3 exec "$HERE/down.sh"' \
    "$HERE/lib.sh" "$OWNER_PID" "$(start_time "$OWNER_PID" || true)" "$DIR"
fi
echo "$DIR/kubeconfig"
