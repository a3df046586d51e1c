"""The API's document flattened for a page: chapters, fields in words, a curl line for every operation."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

WORDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "object", "null": "null"}
FORMATS = {"uuid": "UUID", "date-time": "time"}
PATH_VALUES = {"uid": "UID", "receipt": "RECEIPT"}
QUERY_VALUES = {"leads": "email=ada@example.com"}


@dataclass(frozen=True)
class Field:
    """One field of a body, or one thing in the address."""

    name: str
    words: str
    required: bool
    text: str
    where: str = ""


@dataclass(frozen=True)
class Section:
    """One operation."""

    id: str
    method: str
    path: str
    summary: str
    text: str
    parameters: list[Field]
    fields: list[Field]
    note: str
    curl: str
    reply: str
    reply_fields: list[Field]
    errors: list[tuple[str, str]]


@dataclass(frozen=True)
class Chapter:
    """Operations that belong together."""

    name: str
    sections: list[Section]


@dataclass(frozen=True)
class Code:
    """One code of a refusal."""

    code: str
    statuses: str
    cure: str


def chapters(document: Json, host: str) -> list[Chapter]:
    """Every operation, by tag."""
    found: dict[str, list[Section]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append(section(document, host, path, method, operation))
    return [Chapter(name, sections) for name, sections in found.items()]


def codes(document: Json) -> list[Code]:
    """Every code; a message listed as rejected in a 200 says so."""
    rows = document["x-codes"].items()
    return [Code(code, ", ".join("rejected" if at == 200 else str(at) for at in row["statuses"]), row["cure"]) for code, row in rows]


def section(document: Json, host: str, path: str, method: str, operation: Json) -> Section:
    """One operation, flattened."""
    asked = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reply = operation["responses"]["200"]["content"]["application/json"]
    return Section(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        text=operation["description"],
        parameters=[
            Field(each["name"], words_of(document, each["schema"]), each["required"], each.get("description", ""), each["in"])
            for each in operation["parameters"]
        ],
        fields=list(fields_of(document, asked.get("schema", {}))),
        note=description_of(document, asked.get("schema", {})),
        curl=curl(host, path, method, operation["operationId"], asked.get("example")),
        reply=json.dumps(reply["example"], indent=2, ensure_ascii=False),
        reply_fields=list(fields_of(document, reply["schema"])),
        errors=[(status, entry["description"]) for status, entry in operation["responses"].items() if status != "200"],
    )


def resolve(document: Json, schema: Json) -> Json:
    """The schema itself, for a pointer; of several the first that is neither null nor a list."""
    if "$ref" in schema:
        return resolve(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "properties" not in schema and "anyOf" in schema:
        return resolve(document, next(each for each in schema["anyOf"] if each.get("type") not in {"null", "array"}))
    return schema


def description_of(document: Json, schema: Json) -> str:
    """What a schema says about itself."""
    return str(resolve(document, schema).get("description", "")) if schema else ""


def fields_of(document: Json, schema: Json, *, prefix: str = "", depth: int = 0) -> Iterator[Field]:
    """The fields of an object, those of the objects in it after their own, as `results[].uid`."""
    whole = resolve(document, schema)
    for name, part in whole.get("properties", {}).items():
        text = part.get("description", "")
        yield Field(prefix + name, words_of(document, part), name in whole.get("required", []), text)
        inner, step = resolve(document, part), f"{prefix}{name}."
        if inner.get("type") == "array":
            inner, step = resolve(document, inner.get("items", {})), f"{prefix}{name}[]."
        if "properties" in inner and depth < 2:
            yield from fields_of(document, inner, prefix=step, depth=depth + 1)


def words_of(document: Json, schema: Json) -> str:
    """The type of a field in words."""
    if "$ref" not in schema and "anyOf" in schema:
        return " or ".join(words_of(document, each) for each in schema["anyOf"])
    schema = resolve(document, schema)
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {words_of(document, schema.get('items', {}))}"
    if "oneOf" in schema:
        return "message"
    return FORMATS.get(schema.get("format", ""), WORDS.get(schema.get("type", ""), "anything"))


def curl(host: str, path: str, method: str, name: str, example: Any) -> str:
    """An operation as one line for a shell."""
    for parameter, value in PATH_VALUES.items():
        path = path.replace(f"{{{parameter}}}", value)
    query = f"?{QUERY_VALUES[name]}" if name in QUERY_VALUES else ""
    line = f'curl "{host}{path}{query}" -H "Authorization: Bearer YOUR_KEY"'
    return line if method == "get" else f"{line} -d '{json.dumps(example, ensure_ascii=False)}'"
