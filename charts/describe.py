#!/usr/bin/env python3
"""Makes the chart's README.md and values.schema.json from the comments in values.yaml, and copies the definitions.

HELM names the program, which reads YAML for this one.
Usage: describe.py [--check]     with --check nothing is written, and what is not current is named.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
CHART = HERE / "keywright"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"


def read_yaml(text):
    """As Helm reads values."""
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder)
        (chart / "templates").mkdir()
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: values\nversion: 0.0.0\n")
        (chart / "values.yaml").write_text(text)
        (chart / "templates/values.yaml").write_text("values: {{ .Values | toJson | b64enc }}\n")
        command = [os.environ.get("HELM", "helm"), "template", "values", folder]
        rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(base64.b64decode(rendered.split("values: ")[1]))


def comments(text):
    """The description and the schema of each key: path → (description, schema)."""
    found, path, description, schema = {}, [], [], {}
    for line in text.splitlines():
        comment = re.match(r"\s*# ?(--)?(.*)", line)
        key = re.match(r"( *)([\w-]+):", line)
        if comment and comment[2].strip().startswith("@schema"):
            schema = json.loads(comment[2].strip().removeprefix("@schema"))
        elif comment and comment[1]:
            description = [comment[2].strip()]
        elif comment and description:
            description.append(comment[2].strip())
        elif key:
            path = path[: len(key[1]) // 2] + [key[2]]
            found[tuple(path)] = (" ".join(description), schema)
            description, schema = [], {}
        else:
            description, schema = [], {}
    return found


def is_described(about, path):
    """The key, or one below it, has a description."""
    return any(text for other, (text, _) in about.items() if other[: len(path)] == path)


TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


def schema_of(value, about, path=()):
    description, given = about.get(path, ("", {}))
    made = {"description": description} if description else {}
    if isinstance(value, dict):
        made["type"] = "object"
        # Keys that nothing here describes are the user's own, or Kubernetes'.
        children = {key: schema_of(child, about, (*path, key)) for key, child in in_order(value, about, path) if is_described(about, (*path, key))}
        if children:
            made |= {"properties": children, "additionalProperties": False}
    elif value is not None and "enum" not in given:
        made["type"] = TYPES[type(value)]
    return made | given


def in_order(value, about, path):
    """The keys of a map as the file has them; what reads YAML sorts them."""
    order = {key: index for index, key in enumerate(about)}
    return sorted(value.items(), key=lambda item: order.get((*path, item[0]), 0))


def rows(value, about, path=()):
    for key, child in in_order(value, about, path):
        here = (*path, key)
        description, _ = about.get(here, ("", {}))
        if description:
            inner = isinstance(child, dict) and any(is_described(about, (*here, below)) for below in child)
            shown = "" if inner else f"`{json.dumps(child)}`".replace("|", "\\|")
            yield f"| `{'.'.join(here)}` | {shown} | {description.replace('|', chr(92) + '|')} |"
        if isinstance(child, dict):
            yield from rows(child, about, here)


def main():
    text = (CHART / "values.yaml").read_text()
    values, about = read_yaml(text), comments(text)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values of the chart"} | schema_of(values, about)
    readme = (CHART / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    table = "\n".join(["| Key | Default | |", "|---|---|---|", *rows(values, about)]) + "\n"
    wanted = {
        CHART / "values.schema.json": json.dumps(schema, indent=2) + "\n",
        CHART / "README.md": before + BEGIN + table + END + rest.split(END)[1],
    }
    for name in ("jsonwebkeysets.yaml", "oauth2clients.yaml"):
        wanted[CHART / "files/crds" / name] = (HERE.parent / "crds" / name).read_text()
    stale = [path for path, content in wanted.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is not current; run charts/describe.py", file=sys.stderr)
        sys.exit(bool(stale))
    for path in stale:
        path.write_text(wanted[path])


main()
