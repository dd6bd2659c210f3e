#!/usr/bin/env python3
"""Takes what the manifests in deploy/kubernetes need out of the schemas of the Kubernetes API.

usage: pip download --no-deps kubernetes-validate==1.33.1
       extract-schemas.py kubernetes_validate-1.33.1-py3-none-any.whl > kubernetes-1.33.json

Names, types and what is required stay; descriptions and defaults go. One definition is one line.
"""
import json
import sys
import zipfile

VERSION = "1.33"
SOURCE = f"kubernetes_validate/kubernetes-json-schema/v{VERSION}.0-local/_definitions.json"
KINDS = ["core.v1.ConfigMap", "core.v1.Pod", "apps.v1.DaemonSet", "batch.v1.Job"]
KEPT = ["$ref", "additionalProperties", "enum", "items", "oneOf", "required", "type"]


def stripped(schema):
    """What of a schema stays."""
    kept = {key: schema[key] for key in KEPT if key in schema}
    for key in ("additionalProperties", "items"):
        if isinstance(kept.get(key), dict):
            kept[key] = stripped(kept[key])
    if "oneOf" in kept:
        kept["oneOf"] = [stripped(one) for one in kept["oneOf"]]
    # Objects accept null for "not there"; the manifests have no such value.
    if isinstance(kept.get("type"), list):
        kept["type"] = next(name for name in kept["type"] if name != "null")
    if "properties" in schema:
        kept["properties"] = {name: stripped(one) for name, one in sorted(schema["properties"].items())}
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].rsplit("/", 1)[1]
    return kept


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def main():
    with zipfile.ZipFile(sys.argv[1]) as archive:
        definitions = json.loads(archive.read(SOURCE))["$defs"]
    wanted = ["io.k8s.api." + kind for kind in KINDS]
    found = {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = stripped(definitions[name])
            wanted += references(found[name])
    print("{")
    print(f'"$comment": "Kubernetes API {VERSION}, The Kubernetes Authors, Apache-2.0; made by extract-schemas.py",')
    lines = [f"{json.dumps(name)}: {json.dumps(found[name], separators=(',', ':'))}" for name in sorted(found)]
    print(",\n".join(lines))
    print("}")


main()
