"""The builder as a part of a form: what was typed, what its buttons do, what is wrong with it. Nothing typed is lost."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from leads import yaml_lines
from leads.builder import ALL, ANY, GROUPS, MAX_GROUPS, MAX_ROWS, Group, Written, groups_of, kept
from leads.builder_rows import OTHER, Row, RowError, condition_of
from leads.conditions import ConditionError, Place, parse
from leads.known_fields import Choice, Offer

#: The inputs of a row, as they are called behind its place: g0r1-value.
INPUTS = "path op kind value value2 event times number of within within-unit every every-unit span span-unit".split()
INPUTS += "where-what where-op where-kind where-value where-value2".split()
MAX_TEXT = 20_000
# Which input an error of the language belongs to.
INPUT_OF = {"times": "number", "at_least": "number", "at_most": "number", "exactly": "number", "in_stage_for": "span", "idle_for": "span"}
DEFAULT_OPS = {"flag": "is", "number": "gte", "stage": "is", "text": "is"}
NEW_ROW = {"times": "at_least", "of": "lead"}


@dataclass(slots=True)
class Builder:
    """Conditions while they are written: groups, or `text` (YAML) for what groups can't show."""

    place: Place
    gate: bool = False
    groups: list[Group] = field(default_factory=list)
    text: str | None = None
    match: str = ALL
    errors: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    problem: str = ""
    focus: str = ""
    is_open: bool = False  # the text is being edited

    # --- where it comes from

    @classmethod
    def of_document(cls, place: Place, before: Written, *, gate: bool = False) -> "Builder":
        """The builder for conditions as they stand in the draft."""
        groups = groups_of(before.conditions, before.match)
        if groups is None:
            return cls(place, gate, text=yaml_lines.write(before.conditions), match=before.match)
        return cls(place, gate, groups or [Group(ALL)])

    @classmethod
    def of_post(cls, place: Place, data: QueryDict, *, gate: bool = False) -> "Builder":
        """The builder as somebody has left it."""
        match = ANY if data.get("match") == ANY else ALL
        if (text := data.get("conditions-text")) is not None:
            return cls(place, gate, text=text[:MAX_TEXT].replace("\r\n", "\n"), match=match, is_open=True)
        groups: list[Group] = []
        while len(groups) < MAX_GROUPS and (kind := data.get(f"g{len(groups)}")) is not None:
            groups.append(Group(kind if kind in GROUPS else ALL, read_group(data, len(groups))))
        return cls(place, gate, groups or [Group(ALL)])

    # --- what its buttons do

    def act(self, wish: str) -> None:
        """Do what a button asks for: add:0, remove:0:1, group:any, drop:1, text, rows."""
        word, _, rest = wish.partition(":")
        numbers = [int(each) for each in rest.split(":") if each.isascii() and each.isdigit() and len(each) < 4]
        acts: dict[str, Callable[[], None]] = {
            "add": lambda: self.add_row(*numbers[:1]),
            "remove": lambda: self.remove_row(*numbers[:2]),
            "group": lambda: self.add_group(rest),
            "drop": lambda: self.drop_group(*numbers[:1]),
            "text": self.to_text,
            "rows": self.to_rows,
        }
        if word in acts:
            acts[word]()

    def add_row(self, place: int = -1) -> None:
        """One more row in a group."""
        if 0 <= place < len(self.groups) and len(self.groups[place].rows) < MAX_ROWS:
            self.groups[place].rows.append(Row())
            self.focus = f"g{place}r{len(self.groups[place].rows) - 1}-what"

    def remove_row(self, place: int = -1, index: int = -1) -> None:
        """One row less."""
        if 0 <= place < len(self.groups) and 0 <= index < len(self.groups[place].rows):
            del self.groups[place].rows[index]
            self.focus = f"g{place}-add"

    def add_group(self, kind: str) -> None:
        """One more group, with a row to begin with."""
        if kind in GROUPS and len(self.groups) < MAX_GROUPS:
            self.groups = [group for group in self.groups if group.rows]
            self.groups.append(Group(kind, [Row()]))
            self.focus = f"g{len(self.groups) - 1}r0-what"

    def drop_group(self, place: int = -1) -> None:
        """One group less, with its rows."""
        if 0 <= place < len(self.groups):
            del self.groups[place]
            self.groups = self.groups or [Group(ALL)]
            self.focus = "builder-more"

    def to_text(self) -> None:
        """From rows to YAML, if the rows can be read."""
        if written := self.read(Written([])):
            self.text, self.match = yaml_lines.write(written.conditions), written.match
            self.focus, self.is_open = "conditions-text", True

    def to_rows(self) -> None:
        """From YAML to rows, if rows can say it."""
        if self.text is None or (written := self.read(Written([]))) is None:
            return
        groups = groups_of(written.conditions, written.match)
        if groups is None:
            self.problem = "These conditions are deeper than groups can show. They stay as text, and work all the same."
            return
        self.text, self.groups, self.focus = None, groups or [Group(ALL)], "builder-more"

    # --- what it says

    def settle(self, offer: Offer) -> None:
        """Give rows that have just got their field an operator and a kind that suit it."""
        for group in self.groups:
            for row in group.rows:
                if row.path:
                    settle_field(row, "", offer.find(row.path))
                if row.get("where-what"):
                    settle_field(row, "where-", offer.find(row.get("where-what"), row.get("event")))

    def read(self, before: Written) -> Written | None:
        """The conditions, written as `before` where they say the same; None when something is wrong, which `errors` then tell."""
        self.errors, self.problem = {}, ""
        return self.read_text() if self.text is not None else self.read_groups(before)

    def read_groups(self, before: Written) -> Written | None:
        """The conditions in the rows; everything wrong with any of them is noted."""
        for place, group in enumerate(self.groups):
            for index, row in enumerate(group.rows):
                try:
                    self.check_row(place, index, condition_of(row))
                except RowError as error:
                    self.errors.setdefault((place, index), {})[error.name] = str(error)
        return None if self.errors else kept(self.groups, before, gate=self.gate)

    def check_row(self, place: int, index: int, condition: dict[str, Any]) -> None:
        """Note what the language finds wrong with one row."""
        try:
            parse([condition], place=self.place)
        except ConditionError as error:
            words = [str(step) for step in error.path[1:] if isinstance(step, str)]
            name = INPUT_OF.get(words[-1], words[-1]) if words else "what"
            if name == "field":
                name = "path" if self.groups[place].rows[index].what == OTHER else "what"
            self.errors.setdefault((place, index), {})[f"where-{name}" if words[:1] == ["when"] else name] = sentence(str(error))

    def read_text(self) -> Written | None:
        """The conditions in the text."""
        try:
            document = yaml_lines.read(self.text or "")
        except yaml_lines.ReadError as error:
            self.problem = " ".join(f"{f'Line {line}: ' if line else ''}{said}." for line, _, said in error.problems[:3])
            return None
        value = [] if document.value is None else document.value
        if not isinstance(value, list | dict) or (self.gate and isinstance(value, dict)):
            self.problem = "Write a list of conditions, each on a line that begins with “- ”, for example: - {score: {at_least: 80}}"
            return None
        try:
            parse(value, place=self.place)
        except ConditionError as error:
            line = document.line_of(tuple(error.path))
            self.problem = f"{f'Line {line}: ' if line else ''}{sentence(str(error))}"
            return None
        return Written(value, self.match if self.gate else ALL)

    def refuse(self, message: str) -> None:
        """Say what is wrong with the conditions as a whole."""
        self.problem = f"{self.problem} {message}".strip()


def read_group(data: QueryDict, place: int) -> list[Row]:
    """The rows of one group as posted; a row that got another field loses what belonged to the old one."""
    rows: list[Row] = []
    while len(rows) < MAX_ROWS and (what := data.get(f"g{place}r{len(rows)}-what")) is not None:
        here = f"g{place}r{len(rows)}-"
        typed = {name: "\n".join(data.getlist(here + name)) for name in INPUTS if here + name in data}
        typed = {name: text.replace("\r\n", "\n")[:MAX_TEXT] for name, text in typed.items()}
        if data.get(f"{here}shown", what) != what:
            typed = NEW_ROW | {name: typed[name] for name in ("value",) if name in typed}
        elif data.get(f"{here}where-shown", typed.get("where-what", "")) != typed.get("where-what", ""):
            typed = {name: text for name, text in typed.items() if name not in ("where-op", "where-kind")}
        rows.append(Row(what, typed))
    return rows


def settle_field(row: Row, before: str, choice: Choice | None) -> None:
    """An operator and a kind of value where there is none yet; what is fixed is fixed."""
    kind = choice.kind if choice else "text"
    if not row.get(f"{before}kind"):
        row.typed[f"{before}kind"] = "text" if kind == "stage" else kind
        row.typed[f"{before}op"] = row.get(f"{before}op") or DEFAULT_OPS[kind]


def sentence(text: str) -> str:
    """A message as a sentence."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


def wished(data: Mapping[str, str]) -> str:
    """What a button of the builder asks for; "" when the form itself was sent."""
    wish = data.get("do", "")
    return wish if not wish or re.fullmatch(r"[a-z]+(:[a-z0-9]+)*", wish) else "show"
