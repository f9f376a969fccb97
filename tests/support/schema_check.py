"""Judging a value by a JSON Schema, as far as the schema of jobs goes (draft 2020-12).

An editor does this with a library; ours is written from the specification, for the tests alone,
and knows no keyword that the schema of jobs does not use: a new one is an error here.
"""

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_SAYS_NOTHING = {"$schema", "$defs", "title", "description", "examples", "default", "format"}


def complies(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether value is one that schema, a part of root, describes."""
    return all(
        _judge(keyword, said, value, schema, root)
        for keyword, said in schema.items()
        if keyword not in _SAYS_NOTHING
    )


def _judge(keyword: str, said: Any, value: Any, schema: dict[str, Any], root: Any) -> bool:
    match keyword:
        case "$ref":
            return complies(value, root["$defs"][said.removeprefix("#/$defs/")], root)
        case "type":
            return any(_is(value, name) for name in ([said] if isinstance(said, str) else said))
        case "enum":
            return value in said
        case "anyOf":
            return any(complies(value, part, root) for part in said)
        case "allOf":
            return all(complies(value, part, root) for part in said)
        case "not":
            return not complies(value, said, root)
    if isinstance(value, str):
        return _judge_text(keyword, said, value)
    if isinstance(value, list) and keyword == "items":
        return all(complies(item, said, root) for item in value)
    return not isinstance(value, dict) or _judge_object(keyword, said, value, schema, root)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name])


def _judge_text(keyword: str, said: Any, value: str) -> bool:
    if keyword == "pattern":
        return re.search(said, value) is not None
    return len(value) >= said if keyword == "minLength" else True


def _judge_object(
    keyword: str, said: Any, value: dict[str, Any], schema: dict[str, Any], root: Any
) -> bool:
    named = schema.get("properties", {})
    match keyword:
        case "properties":
            return all(complies(value[key], said[key], root) for key in value if key in said)
        case "additionalProperties":
            others = [key for key in value if key not in named]
            return (
                not others if said is False else all(complies(value[k], said, root) for k in others)
            )
        case "propertyNames":
            return all(complies(key, said, root) for key in value)
        case "required":
            return all(key in value for key in said)
        case "dependentRequired":
            return all(need in value for key in said if key in value for need in said[key])
        case "pattern" | "minLength" | "items":
            return True
    raise AssertionError(f"{keyword} is not known here")
