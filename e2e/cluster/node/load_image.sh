#!/usr/bin/env bash
# Brings an image into the node: an archive of one, or a static binary, of which one is made that holds nothing else.
# Names need a tag other than `latest`, or the kubelet tries to pull.
# Usage: load_image.sh NAME:TAG FILE
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# = 2 ] || die "usage: load_image.sh NAME:TAG FILE"

archive=$2
case $archive in
  *.tar) ;;
  *)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    archive=$work/image.tar
    python3 "$HERE/../../image/archive.py" --name "$1" --binary "$2" --output "$archive"
    ;;
esac
enter ctr -n k8s.io images import - <"$archive" >/dev/null
