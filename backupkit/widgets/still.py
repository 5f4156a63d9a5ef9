"""Still picture of the explorer, for pages without a kernel."""

import numpy as np

from backupkit import plots
from backupkit.assessment import Assessment
from backupkit.display import render_container, render_paragraph
from backupkit.plots.picture import without_pyplot
from backupkit.reports.facts import build_data_uri
from backupkit.reports.page import render, render_fragment
from backupkit.widgets import view_html
from backupkit.widgets.table_sources import JobRows
from backupkit.widgets.view import FilteredView

__all__ = ["render_hidden", "render_hiding_style", "render_still"]

_MAX_ROWS = 25


@without_pyplot()
def render_still(view: FilteredView, assessment: Assessment) -> str:
    """Render verdict, worst appliances, timeline and newest jobs of a view as HTML."""
    rows = view.drawn_states.index[:_MAX_ROWS]
    ax = plots.timeline(
        view.timeline_frame(rows),
        slots=view.slots_of(rows),
        states=view.drawn_states,
        anomalies=assessment.anomalies,
        start=view.start,
        end=view.end,
    )
    timeline = render("image.html", src=build_data_uri(ax), alt="Timeline of the selection")
    return "".join((render_fragment(assessment), timeline, _render_newest(view)))


def _render_newest(view: FilteredView) -> str:
    """Render the newest jobs of a view."""
    newest = view.positions[:_MAX_ROWS]
    if not len(newest):
        return render_container(render_paragraph(view_html.explain_no_job(view)))
    jobs = JobRows(view, newest, "newest first")
    rows = np.arange(len(newest))
    return render_container(view_html.render_table(jobs, rows, caption=jobs.caption))


def render_hidden(html: str, name: str) -> str:
    """Put HTML into a box of a class, which `render_hiding_style` hides.

    In a notebook without the widget's kernel, JupyterLab shows an error in its place. Its output
    has a text alone, no element: that is hidden beside the box.
    """
    beside = (
        f".jp-OutputArea:has(.{name}) "
        '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.widget-view+json"]'
        ":not(:has(*))"
    )
    return f"<style>{beside} {{ display: none; }}</style><div class='{name}'>{html}</div>"


def render_hiding_style(name: str) -> str:
    """Return a style that hides a box for as long as a page contains it.

    Examples
    --------
    >>> render_hiding_style("still")
    '<style>.still { display: none; }</style>'
    """
    return f"<style>.{name} {{ display: none; }}</style>"
