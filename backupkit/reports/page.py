"""HTML of the report: jinja2 templates with autoescape, style sheet and figures inlined."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from backupkit import plots
from backupkit.assessment import Assessment, Comparison
from backupkit.display import style_sheet, table
from backupkit.display.format import FILTERS, format_timestamp
from backupkit.plots.picture import without_pyplot
from backupkit.policy.policy import digest_of
from backupkit.reports.details import build_details
from backupkit.reports.exceptions import leave_out_good
from backupkit.reports.facts import COLUMN_WIDTH, Summary, build_data_uri
from backupkit.reports.notes import describe_incidents, format_notes
from backupkit.reports.overview import build_overview
from backupkit.reports.period import find_period_jobs
from backupkit.reports.sparks import draw_meter
from backupkit.reports.summary import build_links, summarize
from backupkit.tables.notes import Note

__all__ = ["render", "render_fragment", "render_page"]

_SMALL_FLEET = 100  # appliances; of a larger fleet, only those with problems are printed


@without_pyplot()
def render_page(
    assessment: Assessment,
    comparison: Comparison | None = None,
    *,
    sidecars: tuple[str, ...] = (),
    aliased: bool = False,
    exceptions_only: bool = False,
    notes: tuple[Note, ...] = (),
) -> str:
    """Render the report as one self-contained document.

    `sidecars` are the names of the data files beside the page; `aliased` says that names are
    replaced by aliases. With `exceptions_only` the page lists what needs attention, and states what
    it leaves out. `notes` are those of operators.
    """
    summary = summarize(assessment, comparison)
    details = build_details(assessment)
    left_out = None
    if exceptions_only:
        summary, details, left_out = leave_out_good(assessment, summary, details)
    print_css = f"{_read_resource('report.css')}{_format_page_rule(summary)}"
    script = _read_resource("tables.js") + _read_resource("hover.js")
    return render(
        "page.html",
        s=summary,
        d=details,
        o=build_overview(assessment, comparison, summary, details),
        figure=_draw_pareto(assessment),
        sidecars=sidecars,
        aliased=aliased,
        left_out=left_out,
        notes=_key_by_anchor(assessment, format_notes(assessment, notes)),
        incidents=_key_by_anchor(assessment, describe_incidents(assessment)),
        rows={"slots": len(assessment.slots), "jobs": int(find_period_jobs(assessment).sum())},
        many=len(assessment.appliances) > _SMALL_FLEET,
        policy_digest=digest_of(assessment.policy),
        style_hash=_hash_text(style_sheet()),
        print_css=Markup(print_css),  # noqa: S704 # our own file, and times
        print_css_hash=_hash_text(print_css),
        script=Markup(script),  # noqa: S704 # our own file
        script_hash=_hash_text(script),
        is_full_page=True,
    )


def _key_by_anchor(
    assessment: Assessment, texts: Mapping[str, list[str]]
) -> dict[str | None, list[str]]:
    links = build_links(assessment)
    return {links[name].anchor: own for name, own in texts.items() if name in links}


@without_pyplot()
def render_fragment(assessment: Assessment, comparison: Comparison | None = None) -> str:
    """Render the summary sections of the report for a notebook cell."""
    return render(
        "fragment.html",
        s=summarize(assessment, comparison, anchors=False),
        figure=_draw_pareto(assessment),
        left_out=None,
        is_full_page=False,
    )


def render(template: str, /, **values: Any) -> str:  # noqa: ANN401 # a template takes any value
    """Render a template of this package; HTML templates escape every text."""
    style = Markup(style_sheet())  # noqa: S704 # our own file
    return _create_environment().get_template(template).render(css=style, **values)


@cache
def _read_resource(name: str) -> str:
    """Read a file of this package."""
    return files("backupkit.reports").joinpath(name).read_text(encoding="utf-8")


def _format_page_rule(summary: Summary) -> str:
    """Return the CSS rule that prints page numbers and the report's period."""
    text = f"Backups {summary.period}, as of {format_timestamp(summary.generated, 'UTC')}"
    if summary.data_version:  # space is short: only the first digits
        text += f", history {summary.data_version[:16]}"
    return (
        "@page { margin: 14mm 12mm 16mm;"
        f' @bottom-left {{ content: "{text}"; font: 8pt sans-serif; color: #444; }}'
        ' @bottom-right { content: counter(page) " of " counter(pages); font: 8pt sans-serif; '
        "color: #444; } }"
    )


@cache
def _create_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("backupkit.reports"),
        autoescape=lambda name: not (name or "").endswith(".txt"),  # noqa: S701 # plain text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(FILTERS)
    environment.globals["table"] = partial(table, limit=None)
    environment.globals["draw_meter"] = draw_meter
    return environment


def _hash_text(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _draw_pareto(assessment: Assessment) -> str:
    """Draw the failure signatures as a data URI; return "" if no job failed."""
    if assessment.failures.empty:
        return ""
    return build_data_uri(plots.failures(assessment.failures), width=COLUMN_WIDTH)
