"""The course of a score: one point a day, drawn by the server."""

from dataclasses import dataclass
from datetime import date

DAYS = 90
WIDTH, HEIGHT, EDGE = 360, 64, 4


@dataclass(frozen=True, slots=True)
class Curve:
    """The score at the end of each of the last days, the oldest first."""

    first: date
    scores: list[int]

    @property
    def change(self) -> int:
        """How much it changed over the last 30 days."""
        return self.scores[-1] - self.scores[-31]

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to draw."""
        return len(set(self.scores)) == 1

    @property
    def top(self) -> int:
        """The highest score."""
        return max(self.scores)

    @property
    def low(self) -> int:
        """The lowest score, or 0."""
        return min(0, *self.scores)

    @property
    def points(self) -> str:
        """The line as SVG points, in a box of WIDTH by HEIGHT; a day's score stands until the next day."""
        span = max(self.top - self.low, 1)
        step = WIDTH / (len(self.scores) - 1)
        pairs = [(n * step, EDGE + (HEIGHT - 2 * EDGE) * (1 - (score - self.low) / span)) for n, score in enumerate(self.scores)]
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)

    @property
    def area(self) -> str:
        """The ground below the line."""
        return f"0,{HEIGHT} {self.points} {WIDTH},{HEIGHT}"

    @property
    def finding(self) -> str:
        """What it shows, in words."""
        if not self.change:
            return "Unchanged for 30 days"
        return f"{'Up' if self.change > 0 else 'Down'} {abs(self.change)} in 30 days"
