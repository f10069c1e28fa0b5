"""The part of JSON schema (draft 2020-12) that report.schema.json uses."""

import re
from typing import Any

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip
KNOWN = {
    "$schema", "$defs", "$ref", "title", "description", "type", "const", "enum", "properties", "required",
    "additionalProperties", "items", "minItems", "maxItems", "minimum", "exclusiveMinimum", "pattern",
}  # fmt: skip


def errors(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> list[str]:
    """What is wrong with a value, one line each."""
    assert set(schema) <= KNOWN, f"{path}: the schema uses {set(schema) - KNOWN}, which is not checked here"
    found = []
    if "$ref" in schema:
        found += errors(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path)
    if "type" in schema and not any(_is(value, kind) for kind in _list(schema["type"])):
        return [*found, f"{path}: must be {schema['type']}, got {value!r}"]
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        found.append(f"{path}: {value!r} is none of {schema.get('enum', schema.get('const'))}")
    if _is(value, "number"):
        low = value < schema.get("minimum", value)
        if low or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]):
            found.append(f"{path}: {value} is too small")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{path}: {value!r} does not match {schema['pattern']}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{path}: has {len(value)} items")
        for k, item in enumerate(value):
            found += errors(item, schema.get("items", {}), root, f"{path}[{k}]")
    if isinstance(value, dict):
        found += _object(value, schema, root, path)
    return found


def _object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: has no {key!r}" for key in schema.get("required", ()) if key not in value]
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for key, item in value.items():
        if key in properties:
            found += errors(item, properties[key], root, f"{path}.{key}")
        elif others is False:
            found.append(f"{path}: {key!r} is not known")
        elif isinstance(others, dict):
            found += errors(item, others, root, f"{path}.{key}")
    return found


def _list(kinds: Any) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
