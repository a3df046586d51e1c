"""Reading and writing YAML (or JSON) as plain data, with the line every key and value stands on.

Only what playbooks and conditions need: mappings with text keys, lists, text, numbers, true/false, null. Words keep
their meaning of YAML 1.2 (`no`, `on` and 10:30 are text). Tags, anchors and aliases are refused, so that
a file can neither create objects nor grow when it is read.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 40
NUMBER_LIMIT = 2**53
# Line breaks that YAML folds into others unless they are escaped.
ODD_BREAKS = re.compile("[\r\x85\u2028\u2029]")

Path = tuple[str | int, ...]


class ReadError(ValueError):
    """The text is not YAML or JSON, or uses something refused here. `problems` holds (line, path, sentence)."""

    def __init__(self, problems: list[tuple[int | None, Path, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(sentence for _, _, sentence in problems))


@dataclass
class Document:
    """What was read: plain data, and the line of each path (a key's own line for the values of mappings)."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest thing around it that stands in the text."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


class Loader(yaml.SafeLoader):
    """SafeLoader with the words of YAML 1.2."""

    yaml_implicit_resolvers = {}


class Dumper(yaml.SafeDumper):
    """SafeDumper that quotes every text which YAML 1.1 or 1.2 would take for something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Indent the items of a list, as people write them."""
        super().increase_indent(flow=flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal things out twice instead of referring back."""
        return True


SCALARS = [
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("tag:yaml.org,2002:float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
]
for tag, pattern, first in SCALARS:
    compiled = re.compile(rf"^(?:{pattern})$")
    Loader.add_implicit_resolver(tag, compiled, first)
    if tag.endswith(("int", "float")):
        Dumper.add_implicit_resolver(tag, compiled, first)


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Texts of several lines as a block, so that a changed line is a changed line."""
    style = '"' if ODD_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, represent_text)


def read(text: str) -> Document:
    """Read one document. Raises ReadError with line, path and cure of everything found."""
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise ReadError([(None, (), f"the file is longer than {MAX_CHARACTERS:,} characters; split it by sections")])
    if is_json(text):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, YAML may not
    try:
        refuse_extras(text)
        node = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        raise ReadError([syntax_problem(error)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise ReadError([(line, (), f"the character {chr(error.character)!r} is not allowed; remove it")]) from error
    reading = Reading()
    value = reading.value_of(node, ()) if node is not None else None
    if reading.problems:
        raise ReadError(reading.problems)
    return Document(value, reading.lines)


def write(value: Any) -> str:
    """The YAML text of plain data; `read` of it gives the same data back."""
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def write_line(value: Any) -> str:
    """Plain data on one line: {key: hot, from: mql}."""
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=True, width=1_000_000)
    return text.removesuffix("...\n").strip()


def is_json(text: str) -> bool:
    """Whether the text is a JSON document."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def refuse_extras(text: str) -> None:
    """Raise ReadError for anchors, aliases, tags and deep nesting, before anything is built from them."""
    problems: list[tuple[int | None, Path, str]] = []
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            problems.append((line, (), f"the alias *{event.anchor} is not supported; write the thing out again"))
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            problems.append((line, (), f"the anchor &{event.anchor} is not supported; remove it"))
        if tag := getattr(event, "tag", None):
            problems.append((line, (), f"the tag {tag} is not supported; remove it"))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            problems.append((line, (), f"nested deeper than {MAX_DEPTH} levels; flatten it"))
            break
    if problems:
        raise ReadError(problems)


def syntax_problem(error: yaml.MarkedYAMLError) -> tuple[int | None, Path, str]:
    """PyYAML's complaint as one sentence with a cure for the usual slips."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    said = str(error.problem or error.context)
    if "'\\t'" in said:
        return line, (), "a tab; indent with spaces"
    if "mapping values are not allowed" in said:
        return line, (), "a second ': ' on one line; put the text in quotes"
    if "single document" in str(error.context):
        return line, (), "a second document begins here; one file holds one playbook, remove the ---"
    return line, (), f"not YAML: {said}; look at the quotes, brackets and indentation on this line and the one before"


@dataclass
class Reading:
    """One walk through the nodes: the lines seen and the problems found."""

    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[int | None, Path, str]] = field(default_factory=list)

    def value_of(self, node: yaml.Node, path: Path) -> Any:
        """The plain value of a node."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return dict(self.pairs(node, path))
        return self.scalar(node, path)

    def pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        """The keys and values of a mapping; keys are text, and stand there once."""
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append((line, path, "a key must be a word; put templates like {{ lead.name }} in quotes"))
                continue
            key = self.text(key_node.value, line, path)
            if key in seen:
                self.problems.append((line, (*path, key), f"stands here a second time (first on line {seen[key]}); keep one"))
                continue
            seen[key] = line
            self.lines[(*path, key)] = line
            yield key, self.value_of(value_node, (*path, key))

    def scalar(self, node: yaml.Node, path: Path) -> Any:
        """Text, a number, true, false or null."""
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind in {"int", "float"}:
            return self.number(text, path, whole=kind == "int")
        return self.text(text, self.lines[path], path)

    def text(self, text: str, line: int, path: Path) -> str:
        """Text that every database can keep: no NUL, no half of a surrogate pair."""
        try:
            whole = text.encode("utf-16", "surrogatepass").decode("utf-16")  # JSON writes 😀 as two escapes
        except UnicodeDecodeError:
            self.problems.append((line, path, "half of a surrogate pair; write the character itself"))
            return ""
        if "\0" in whole:
            self.problems.append((line, path, "the character NUL is not allowed; remove it"))
        return whole

    def number(self, text: str, path: Path, *, whole: bool) -> int | float:
        """A number of a size that JSON and every database keep."""
        number = float(text)
        if abs(number) > NUMBER_LIMIT:
            self.problems.append((self.lines[path], path, f"{text[:40]} is too large; put it in quotes if it is not a quantity"))
            return 0
        return int(text) if whole else number
