"""From facts to HTML: jinja2 templates with autoescape, one style sheet, figures inlined."""

import base64
import hashlib
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.axes import Axes

from backupkit import plots
from backupkit.assessment import Assessment
from backupkit.display import style_sheet
from backupkit.plots.picture import png, svg
from backupkit.report.summary import summarize

__all__ = ["fragment", "image", "page", "render", "style_sheet"]

_LARGEST_SVG = 120_000  # bytes; about a hundred marks


def page(assessment: Assessment, *, sidecars: tuple[str, ...] = ()) -> str:
    """Render the report as one self-contained document.

    Parameters
    ----------
    assessment : Assessment
        The judgement of one period.
    sidecars : tuple of str
        The names of the files that are written beside it.

    Returns
    -------
    str
        HTML.
    """
    return render(
        "page.html",
        s=summarize(assessment),
        figure=_pareto(assessment),
        sidecars=sidecars,
        rows={"slots": len(assessment.slots), "jobs": len(assessment.jobs)},
        style_hash=_hash(style_sheet()),
        whole=True,
    )


def fragment(assessment: Assessment) -> str:
    """Render the report's first sections for a notebook cell.

    Parameters
    ----------
    assessment : Assessment
        The judgement of one period.

    Returns
    -------
    str
        HTML without a document around it; its style applies to nothing else.
    """
    return render("fragment.html", s=summarize(assessment), figure=_pareto(assessment), whole=False)


def render(template: str, /, **values: Any) -> str:  # noqa: ANN401 # a template takes any value
    """Fill one of the package's templates.

    Parameters
    ----------
    template : str
        Its name.
    **values
        What it shows; every text is escaped.

    Returns
    -------
    str
        HTML.
    """
    style = Markup(style_sheet())  # noqa: S704 # our own file; nothing else is ever marked as safe
    return _environment().get_template(template).render(css=style, **values)


def image(ax: Axes) -> str:
    """Give a drawn figure as a data URI: an SVG, or a PNG where that is far smaller.

    Parameters
    ----------
    ax : Axes
        Drawn axes.

    Returns
    -------
    str
        For the ``src`` of an ``img``.
    """
    drawn, kind = svg(ax), "svg+xml"
    if len(drawn) > _LARGEST_SVG:
        drawn, kind = png(ax), "png"
    return f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("backupkit.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _pareto(assessment: Assessment) -> str:
    """Draw the failure signatures as a data URI; "" when nothing failed."""
    return "" if assessment.failures.empty else image(plots.failures(assessment.failures))
