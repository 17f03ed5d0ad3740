#!/usr/bin/env python3
"""Writes what the binary is made of, as CycloneDX 1.6: the crates that Cargo.lock pins and that are linked into it.

Usage: sbom.py TARGET > keywright.cdx.json
"""

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).parent.parent


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def linked(graph, root):
    """package id → ids of those that it is linked with, from the root on; what only builds or tests is left out."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    found, waiting = {}, [root]
    while waiting:
        package = waiting.pop()
        if package not in found:
            normal = [one["pkg"] for one in nodes[package]["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]
            found[package] = sorted(normal)
            waiting += normal
    return found


def component(package, checksums):
    name, version = package["name"], package["version"]
    made = {"type": "library", "bom-ref": package["id"], "name": name, "version": version}
    if package["license"]:
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["source"]:
        made["purl"] = f"pkg:cargo/{name}@{version}"
    if (name, version) in checksums:
        made["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    return made


def main():
    graph = metadata(sys.argv[1])
    packages = {package["id"]: package for package in graph["packages"]}
    root = next(package for package in graph["packages"] if package["name"] == "keywright" and not package["source"])
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(one["name"], one["version"]): one["checksum"] for one in lock if "checksum" in one}
    found = linked(graph, root["id"])
    # A path of this machine would make the file differ from machine to machine.
    text = json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": component(root, checksums) | {"type": "application"}},
            "components": [component(packages[one], checksums) for one in sorted(found) if one != root["id"]],
            "dependencies": [{"ref": one, "dependsOn": found[one]} for one in sorted(found)],
        },
        indent=1,
    )
    print(text.replace(f"path+file://{ROOT.resolve()}", "path+file://."))


main()
