"""Small pictures in a line of text, as inline SVG: trend, days, shares and a meter.

They have no colours of their own: the classes of their shapes are those of the states.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from markupsafe import Markup

__all__ = ["draw_days", "draw_line", "draw_meter", "draw_shares"]

_WIDTH: Final = 260
_HEIGHT: Final = 40
_EDGE: Final = 3  # so that neither line nor point is cut
_PITCH: Final = 4  # of a day
_DAY_HEIGHT: Final = 16
_HEIGHTS: Final = {"met": 6, "compliant": 6, "excluded": 6, "pending": 10}
_HIGH: Final = 15  # of a day with a problem
_METER: Final = 100


def draw_line(values: Sequence[float], *, target: float, label: str) -> Markup:
    """Draw values as a line, the last one as a point, above the line of their target.

    Parameters
    ----------
    values : sequence of float
        One value per day; NaN is a gap.
    target : float
        Value of the dashed line.
    label : str
        Text in place of the picture.

    Returns
    -------
    Markup
        An SVG element; nothing if fewer than two values are known.

    Examples
    --------
    >>> (
    ...     "spark" in draw_line([1.0, 0.5], target=0.99, label="Falls."),
    ...     draw_line([1.0], target=1, label=""),
    ... )
    (True, Markup(''))
    """
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:  # noqa: PLR2004 # a line has two points
        return Markup()
    low, high = min(*known, target), max(*known, target)
    step = (_WIDTH - 2 * _EDGE) / (len(values) - 1)
    scale = (_HEIGHT - 2 * _EDGE) / (high - low or 1)

    def place(value: float) -> str:
        return _format(_HEIGHT - _EDGE - (value - low) * scale)

    segments: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if math.isnan(value):
            segments.append([])
        else:
            segments[-1].append(f"{_format(_EDGE + number * step)} {place(value)}")
    drawn = [segment for segment in segments if segment]
    areas = (
        f"M{points[0].split()[0]} {_HEIGHT}L{'L'.join(points)}L{points[-1].split()[0]} {_HEIGHT}z"
        for points in drawn
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img"'
        ' aria-label="{label}"><path class="area" d="{areas}"/>'
        '<path class="goal" d="M0 {goal}H{w}"/><path class="line" d="{lines}"/>'
        '<path class="end" d="M{end}h0"/></svg>'
    ).format(
        w=_WIDTH,
        h=_HEIGHT,
        label=label,
        areas="".join(areas),
        goal=place(target),
        lines="".join(f"M{'L'.join(points)}" for points in drawn),
        end=drawn[-1][-1],
    )


def _format(position: float) -> str:
    return f"{position:.1f}".removesuffix(".0")


def draw_days(states: Iterable[str], *, label: str) -> Markup:
    """Draw a bar per day: high where there was a problem, low where there was none.

    Parameters
    ----------
    states : iterable of str
        State of each day, as in the matrix of the days; "none" is no bar.
    label : str
        Text in place of the picture.

    Returns
    -------
    Markup
        An SVG element with one shape per state.

    Examples
    --------
    >>> print(draw_days(["met", "none", "missed_failed"], label="1 met, 1 failed"))
    <svg class="mini" width="12" height="16" viewBox="0 0 12 16" role="img" aria-label="1 met, 1
    failed"><path class="met" d="M0 10h3v6h-3z"/><path class="missed_failed" d="M8
    1h3v15h-3z"/></svg>
    """
    bars: dict[str, list[str]] = {}
    number = 0
    for number, state in enumerate(states, start=1):
        height = _HEIGHTS.get(state, _HIGH)
        bars.setdefault(state, []).append(
            f"M{(number - 1) * _PITCH} {_DAY_HEIGHT - height}h{_PITCH - 1}v{height}h-{_PITCH - 1}z"
        )
    bars.pop("none", None)
    shapes = Markup().join(
        Markup('<path class="{}" d="{}"/>').format(state, "".join(parts))
        for state, parts in bars.items()
    )
    return Markup(
        '<svg class="mini" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img"'
        ' aria-label="{label}">{shapes}</svg>'
    ).format(w=number * _PITCH, h=_DAY_HEIGHT, label=label, shapes=shapes)


def draw_shares(counts: Mapping[str, int], *, label: str) -> Markup:
    """Draw the shares of states as one bar.

    Examples
    --------
    >>> print(draw_shares({"breach": 1, "compliant": 3}, label="1 of 4 in breach"))
    <svg class="shares" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="1 of 4
    in breach"><path class="breach" d="M0 0h25v8h-25z"/><path class="compliant" d="M25
    0h75v8h-75z"/></svg>
    """
    total = sum(counts.values())
    shapes, start = Markup(), 0.0
    for state, count in counts.items():
        width = _METER * count / total
        shapes += Markup('<path class="{0}" d="M{1:.4g} 0h{2:.4g}v8h-{2:.4g}z"/>').format(
            state, start, width
        )
        start += width
    return Markup(
        '<svg class="shares" viewBox="0 0 100 8" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>'
    ).format(label, shapes)


def draw_meter(value: float, *, target: float, state: str) -> Markup:
    """Draw a share as a bar, with a mark at its target; nothing if the share is NaN.

    It says no more than the number beside it, so it is hidden from screen readers.

    Examples
    --------
    >>> print(draw_meter(0.5, target=0.99, state="breach"))
    <svg class="meter breach" viewBox="0 0 100 8" preserveAspectRatio="none"
    aria-hidden="true"><path d="M0 0h50v8h-50z"/><path class="goal" d="M99 0v8"/></svg>
    """
    if math.isnan(value):
        return Markup()
    width = f"{_METER * min(max(value, 0), 1):.4g}"
    return Markup(
        '<svg class="meter {}" viewBox="0 0 100 8" preserveAspectRatio="none"'
        ' aria-hidden="true"><path d="M0 0h{}v8h-{}z"/><path class="goal" d="M{:.4g} 0v8"/></svg>'
    ).format(state, width, width, _METER * target)
