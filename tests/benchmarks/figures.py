"""Results of a benchmark, as text and as JSON."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from tests.benchmarks.measuring import Timing

__all__ = ["Figure", "Section"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure and its target.

    Attributes
    ----------
    what : str
        Its name.
    value : float
        The figure.
    unit : str
        Of the figure.
    target : float or None
        None for a figure without a target.
    at_most : bool
        Whether the target is a maximum and not a minimum.
    """

    what: str
    value: float
    unit: str = "x"
    target: float | None = None
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Return whether the figure meets its target."""
        if self.target is None:
            return True
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        text = f"{self.what:68} {_short(self.value):>8} {self.unit}"
        if self.target is None:
            return text
        verdict = "ok" if self.reached else "MISSED"
        return f"{text:82} target {'<=' if self.at_most else '>='} {self.target:g}: {verdict}"


@dataclass(frozen=True, slots=True)
class Section:
    """Figures of one kind.

    Attributes
    ----------
    title : str
        The measurement.
    timings : mapping of str to Timing
        By contestant.
    figures : sequence of Figure
        Computed from the timings.
    """

    title: str
    timings: Mapping[str, Timing]
    figures: Sequence[Figure] = field(default=())

    def __str__(self) -> str:
        head = (
            f"{'':42} {'jobs':>9} {'seconds':>9} {'jobs/s':>9} {'CPU s':>8} {'user':>7} {'sys':>7}"
        )
        rows = [
            f"{one.name:42} {_count(one):>9} {one.seconds:9.3f} "
            f"{_rate(one):>9} {one.cpu:8.3f} {one.user:7.3f} {one.system:7.3f}"
            for one in self.timings.values()
        ]
        title = textwrap.fill(self.title, 110)
        table = [head, *rows, ""] if rows else []
        return "\n".join(["", title, *table, *map(str, self.figures)])

    def without_targets(self) -> Self:
        """Return the section for a run that is too small for the targets."""
        return replace(self, figures=[replace(one, target=None) for one in self.figures])

    def plain(self) -> dict[str, Any]:
        """Return the section as values of JSON."""
        return {
            "title": self.title,
            "timings": [asdict(one) for one in self.timings.values()],
            "figures": [{**asdict(one), "reached": one.reached} for one in self.figures],
        }


def _count(one: Timing) -> str:
    return f"{one.jobs:,.0f}" if one.jobs else ""


def _rate(one: Timing) -> str:
    return f"{one.rate:,.0f}" if one.jobs else ""


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
