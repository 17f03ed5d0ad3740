# Settings and helpers of the node's scripts; sourced, not run.
# shellcheck shell=bash disable=SC2034

# The first two bytes of the addresses tell one node on this machine from another.
NETWORK=${NETWORK:-10.241}
DIR=${DIR:-${TMPDIR:-/tmp}/keywright-node-$NETWORK}
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

NODE=$HERE/node
MACHINE_ADDRESS=$NETWORK.0.1 # this machine, as pods reach it
NODE_ADDRESS=$NETWORK.0.2    # the node: API server, node ports
PODS=$NETWORK.1.0/24
SERVICES=$NETWORK.16.0/20
API_ADDRESS=$NETWORK.16.1 # the first of the range is the Service "kubernetes"
DNS_ADDRESS=$NETWORK.16.10
LINK=kwnode-$NETWORK # 15 characters at most

# pki_authority: DIR/pki with an authority, and a key that signs the tokens of service accounts
pki_authority() {
  mkdir -p "$DIR/pki"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=test-authority \
    -keyout "$DIR/pki/ca.key" -out "$DIR/pki/ca.crt" 2>/dev/null
  openssl genrsa -out "$DIR/pki/accounts.key" 2048 2>/dev/null
}

# pki_certificate NAME SUBJECT [ALTERNATIVE-NAMES]
pki_certificate() {
  local extensions="extendedKeyUsage=clientAuth,serverAuth"
  [ -z "${3:-}" ] || extensions+=$'\n'"subjectAltName=$3"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$DIR/pki/$1.key" 2>/dev/null |
    openssl x509 -req -CA "$DIR/pki/ca.crt" -CAkey "$DIR/pki/ca.key" -CAcreateserial -days 365 \
      -extfile <(echo "$extensions") -out "$DIR/pki/$1.crt" 2>/dev/null
}

# pki_kubeconfig NAME SUBJECT FILE
pki_kubeconfig() {
  pki_certificate "$1" "$2"
  cat >"$3" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster: {server: "https://$NODE_ADDRESS:6443", certificate-authority-data: "$(base64 -w0 "$DIR/pki/ca.crt")"}
users:
- name: $1
  user: {client-certificate-data: "$(base64 -w0 "$DIR/pki/$1.crt")", client-key-data: "$(base64 -w0 "$DIR/pki/$1.key")"}
contexts:
- name: test
  context: {cluster: test, user: $1}
current-context: test
YAML
}

# node_pid: the first process of the node
node_pid() {
  local pid start name
  while read -r pid start name; do
    if [ "$name" = init ] && alive "$pid" "$start"; then
      echo "$pid"
      return
    fi
  done < <(recorded)
  return 1
}

# enter COMMAND…: runs it in the node
enter() {
  local pid
  pid=$(node_pid) || die "no node runs in $DIR"
  CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 PATH=$ASSETS:$PATH nsenter -t "$pid" -m -n -p -i -u -C -- "$@"
}

# cgroup_controllers: those of cgroup v1 that are mounted
cgroup_controllers() { awk -F: '$2 != "" && $2 !~ /=/ { print $2 }' /proc/self/cgroup; }

# cgroups: where the node's groups are, below the caller's own
cgroups() {
  local controller
  for controller in $(cgroup_controllers); do
    awk -F: -v c="$controller" -v name="keywright-node-$NETWORK" \
      '$2 == c { print "/sys/fs/cgroup/" c ($3 == "/" ? "" : $3) "/" name }' /proc/self/cgroup
  done
}
