"""Reads a stored report, and says in one sentence what a damaged one lacks."""

import json
from os import PathLike
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Union

FORMAT = "gradspike.report"
VERSIONS = (2, 3)
_NEW_IN_3 = ("calibration", "since")
_TYPES: Dict[str, Any] = {
    "object": Mapping, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip


def schema() -> Dict[str, Any]:
    """The JSON schema of a report of the current version."""
    path = Path(__file__).with_name("report.schema.json")
    result: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def read_data(
    source: Union[str, "PathLike[str]", Mapping[str, Any]],
    name: str = "the earlier report",
    versions: Sequence[int] = VERSIONS,
) -> Mapping[str, Any]:
    """The data of a report: as a dictionary, as JSON text, or in a file.

    Args:
        source: Where it is.
        name: What errors call it.
        versions: Those that are read.

    Raises:
        ValueError: it is no report, one of another version, or one that lacks something.
        OSError: the file cannot be read.
    """
    data: Any = source
    if not isinstance(source, Mapping):
        text = str(source)
        if not text.lstrip().startswith("{"):
            text = Path(source).read_text(encoding="utf-8", errors="replace")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} must be JSON: {error}") from None
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise ValueError(f"{name} must be JSON of the format {FORMAT}")
    version = data.get("version")
    if version not in versions:
        raise ValueError(f"{name} must be of version {' or '.join(map(str, versions))}, got {version}")
    root = schema()
    if version == 2:  # has all of version 3 but what is new
        root = {**root, "required": [key for key in root["required"] if key not in _NEW_IN_3]}
    wrong = _wrong(data, root, root["$defs"], "")
    if wrong is not None:
        raise ValueError(f"{name} is damaged: {wrong}")
    return data


def _wrong(value: Any, rule: Mapping[str, Any], rules: Mapping[str, Any], place: str) -> Optional[str]:
    """The first key that is missing or of another type; None where there is none."""
    while "$ref" in rule:
        rule = rules[rule["$ref"].rpartition("/")[2]]
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"'{place}' must be {' or '.join(kinds)}"
    if isinstance(value, Mapping):
        missing = [key for key in rule.get("required", ()) if key not in value]
        if missing:
            return f"it lacks '{_join(place, missing[0])}'"
        others, known = rule.get("additionalProperties", {}), rule.get("properties", {})
        parts = [(_join(place, key), item, known.get(key, others or {})) for key, item in value.items()]
    elif isinstance(value, list):
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            return f"'{place}' must have {rule['minItems']} items, got {len(value)}"
        parts = [(f"{place}[{k}]", item, rule.get("items", {})) for k, item in enumerate(value)]
    else:
        return None
    return next((found for where, item, of in parts if (found := _wrong(item, of, rules, where))), None)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else str(key)
