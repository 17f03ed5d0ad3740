#!/usr/bin/env python3
"""Makes an image of one static binary without a container engine: an archive that `ctr images import`, `docker load`,
`podman load`, `skopeo` and `crane` take (OCI image layout, and the older layout of `docker save`).

The same inputs give the same bytes; times are SOURCE_DATE_EPOCH, else 1970.
Usage: archive.py --name NAME:TAG --binary FILE --output FILE [--certificates FILE] [--version VERSION] [--revision COMMIT]
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import tarfile
import time

USER = 65532
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def entry(name, mode, owner=0, size=None):
    made = tarfile.TarInfo(name)
    made.mode, made.uid, made.gid, made.mtime = mode, owner, owner, EPOCH
    made.type, made.size = (tarfile.DIRTYPE, 0) if size is None else (tarfile.REGTYPE, size)
    return made


def layer(binary, certificates):
    """A tar file with the binary, what it needs of certificates, and a folder that it may write to."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.GNU_FORMAT) as tar:
        def file(name, mode, content):
            tar.addfile(entry(name, mode, size=len(content)), io.BytesIO(content))

        for folder in ("etc", "etc/ssl", "etc/ssl/certs", "tmp", "var", "var/lib"):
            tar.addfile(entry(folder, 0o1777 if folder == "tmp" else 0o755))
        file("etc/passwd", 0o644, f"keywright:x:{USER}:{USER}::/var/lib/keywright:/sbin/nologin\n".encode())
        file("etc/group", 0o644, f"keywright:x:{USER}:\n".encode())
        if certificates:
            file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates.read_bytes())
        tar.addfile(entry("var/lib/keywright", 0o700, owner=USER))
        file(binary.name, 0o755, binary.read_bytes())
    return held.getvalue()


def described(arguments, content):
    """The image's configuration."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH))
    labels = {
        "org.opencontainers.image.title": "Keywright",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": arguments.version,
        "org.opencontainers.image.revision": arguments.revision,
    }
    return {
        "created": created,
        "architecture": ARCHITECTURES[arguments.architecture],
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "Entrypoint": [f"/{arguments.binary.name}"],
            "Env": ["PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
            "ExposedPorts": {"4444/tcp": {}, "4445/tcp": {}},
            "WorkingDir": "/",
            "Labels": {name: value for name, value in labels.items() if value},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
        "history": [{"created": created, "created_by": "image/archive.py"}],
    }


def archive(arguments):
    """File name → content of the archive."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(content, kind):
        digest = hashlib.sha256(content).hexdigest()
        files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def path(descriptor):
        return "blobs/" + descriptor["digest"].replace(":", "/")

    content = layer(arguments.binary, arguments.certificates)
    held = blob(gzip.compress(content, mtime=0), "layer.v1.tar+gzip")
    config = blob(json.dumps(described(arguments, content)).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [held]}
    name, tag = arguments.name.rsplit(":", 1)
    # containerd takes an image's whole name from the first of these, others its tag from the second.
    named = {"io.containerd.image.name": f"{name}:{tag}", "org.opencontainers.image.ref.name": tag}
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json") | {"annotations": named}]}
    files["index.json"] = json.dumps(index).encode()
    saved = [{"Config": path(config), "RepoTags": [arguments.name], "Layers": [path(held)]}]
    files["manifest.json"] = json.dumps(saved).encode()
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--certificates", type=pathlib.Path)
    parser.add_argument("--architecture", default=platform.machine(), choices=ARCHITECTURES)
    parser.add_argument("--version", default="")
    parser.add_argument("--revision", default="")
    arguments = parser.parse_args()
    with tarfile.open(arguments.output, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(archive(arguments).items()):
            tar.addfile(entry(name, 0o644, size=len(content)), io.BytesIO(content))


main()
