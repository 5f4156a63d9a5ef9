"""Opens an explorer of a fleet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backupkit.history import History
from backupkit.policy import Policy
from backupkit.settings import Instant
from backupkit.widgets.explorer import Explorer
from backupkit.widgets.explorer_data import ExplorerData, Source
from backupkit.widgets.selection import LISTS, Selection

__all__ = ["explore"]


def explore(
    source: Source | str | Path,
    policy: Policy,
    *,
    last: str = "30d",
    tab: str = "Overview",
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    now: Instant | None = None,
    folder: str | Path = ".",
    theme: str = "light",
    **chosen: Any,  # noqa: ANN401 # the attributes of Selection, checked there
) -> Explorer:
    """Open an explorer of a fleet: filters, figures and jobs.

    Parameters
    ----------
    source : History, Snapshot, str or Path
        Source of the data; jobs, polls and schedules are read once. A text or path is opened as
        a history.
    policy : Policy
        SLA parameters.
    last : str
        Length of the initial period, such as ``"7d"``.
    tab : str
        Tab to open first: Overview, Appliances, Timeline, Matrix, Failures, Durations or Jobs.
    tables : mapping of str to mapping, optional
        Sort and column filters of the tables of Appliances, Failures and Jobs, by tab.
        ``sort`` has titles of columns, with ``-`` for the largest first. ``where`` has a part of
        the text, a range or a list of values by title:
        ``{"Jobs": {"sort": ["-Size"], "where": {"Took": "1h..", "Type": ["MANUAL"]}}}``.
    now : datetime or str, optional
        Time of the assessment; by default the current time.
    folder : str or Path
        Folder of the exports.
    theme : {"light", "dark"}
        Colour theme of the figures. With anywidget, JupyterLab's theme replaces it.
    **chosen
        Initial filters, by the attributes of `Selection`: ``appliances=["vc-1"]``,
        ``states=["breach"]``, ``outcomes=["failure"]``, ``start=...`` and so on.

    Returns
    -------
    Explorer
        ``.value`` is the selection, ``.jobs`` the selected jobs, ``.assessment`` the assessment.

    Raises
    ------
    TypeError
        If `Selection` has no such attribute, or a str is given instead of a list of str.
    ValueError
        If an appliance, site, group, state, outcome, type of job, tab or table does not exist.
    SettingsError
        If `now` cannot be parsed.
    """
    lists: Mapping[str, Any] = {
        name: value or () if name in LISTS else value for name, value in chosen.items()
    }
    selection = Selection(last=last, **lists)
    opened = History(source) if isinstance(source, str | Path) else source
    data = ExplorerData(opened, policy, now=now)
    return Explorer(data, selection, tab=tab, tables=tables, folder=folder, theme=theme)
