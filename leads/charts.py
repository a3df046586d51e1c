"""Charts drawn by the server: bars side by side, as shapes for an SVG and as numbers for the table under it."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
# Of a group's width, what stays empty on its right and left.
GAP = 0.24
# A bar for something that did happen is never invisible.
LEAST = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in a box of WIDTH by HEIGHT."""

    series: int
    x: str
    y: str
    width: str
    height: str
    hint: str


@dataclass(frozen=True, slots=True)
class Group:
    """What stands side by side at one place of the axis."""

    label: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Groups of bars, one bar for each series. `finding` is the title: what one is to see."""

    finding: str
    across: str
    up: str
    series: tuple[str, ...]
    groups: Sequence[Group]

    @property
    def top(self) -> int:
        """The highest value: the end of the axis."""
        return max((value for group in self.groups for value in group.values), default=0)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return self.top == 0

    @property
    def bars(self) -> list[Bar]:
        """All bars, from left to right."""
        step = WIDTH / max(len(self.groups), 1)
        wide = step * (1 - GAP) / max(len(self.series), 1)
        return [
            self.bar(series, value, group.label, x=place * step + step * GAP / 2 + series * wide, width=wide)
            for place, group in enumerate(self.groups)
            for series, value in enumerate(group.values)
        ]

    def bar(self, series: int, value: int, label: str, *, x: float, width: float) -> Bar:
        """One bar; a point of its height is its share of the highest value."""
        high = max(HEIGHT * value / self.top, LEAST) if value and self.top else 0.0
        hint = f"{self.series[series]}, {label}: {value:,}"
        return Bar(series, f"{x:.1f}", f"{HEIGHT - high:.1f}", f"{width:.1f}", f"{high:.1f}", hint)
