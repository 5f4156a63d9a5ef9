"""The explorer: which appliances, which period, and what happened there."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import ipywidgets
import pandas as pd
from matplotlib.axes import Axes

from backupkit import plots
from backupkit.assessment import Assessment, evaluate
from backupkit.policy import Policy
from backupkit.report.page import fragment, image, render
from backupkit.report.rows import job_facts
from backupkit.settings import Instant, parse_instant

__all__ = ["Explorer", "Selection", "explore"]

_PERIODS = (("24 h", "24h"), ("7 days", "7d"), ("30 days", "30d"), ("90 days", "90d"))
_PAGE = 25


class _History(Protocol):
    def jobs(self, *, at: Instant | None = None) -> pd.DataFrame: ...
    def polls(self, *, at: Instant | None = None) -> pd.DataFrame: ...
    def schedules(self, *, at: Instant | None = None) -> pd.DataFrame: ...
    def observations(self, *, at: Instant | None = None) -> pd.DataFrame: ...


class _Snapshot(Protocol):
    @property
    def jobs(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...
    @property
    def observations(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What the explorer shows.

    Attributes
    ----------
    appliances : tuple of str
        Their names; none means all.
    last : str
        The length of the period, such as ``"7d"``.
    """

    appliances: tuple[str, ...] = ()
    last: str = "30d"


@dataclass(frozen=True, slots=True)
class _Frames:
    """What is known, read once."""

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    observations: pd.DataFrame

    @classmethod
    def of(cls, source: _History | _Snapshot, at: Instant | None) -> "_Frames":
        parts = [getattr(source, name) for name in cls.__dataclass_fields__]
        return cls(*(part(at=at) if callable(part) else part for part in parts))

    @property
    def names(self) -> set[str]:
        return {str(name) for frame in self._all() for name in frame["appliance"].unique()}

    def only(self, appliances: tuple[str, ...]) -> "_Frames":
        return _Frames(*(frame[frame["appliance"].isin(appliances)] for frame in self._all()))

    def _all(self) -> tuple[pd.DataFrame, ...]:
        return self.jobs, self.polls, self.schedules, self.observations


class Explorer:
    """Filters, a verdict and four views of one fleet, wired together.

    Parameters
    ----------
    source : History or Snapshot
        What is known; it is read once.
    policy : Policy
        The numbers to judge by.
    appliances : iterable of str, optional
        The appliances selected at first; all by default.
    last : str
        The period shown at first.
    now : datetime or str, optional
        The moment of the judgement; by default the current time.

    Attributes
    ----------
    box : ipywidgets.VBox
        The widget itself, to be put into a larger one.
    """

    def __init__(
        self,
        source: _History | _Snapshot,
        policy: Policy,
        *,
        appliances: Iterable[str] | None = None,
        last: str = "30d",
        now: Instant | None = None,
    ) -> None:
        self._frames = _Frames.of(source, now)
        self._policy = policy
        self._now = pd.Timestamp.now("UTC") if now is None else parse_instant(now, where="now")
        members = {member.appliance for member in policy.members}
        self._names = tuple(sorted(self._frames.names | members))
        self._page = 0
        self._setting = False
        self._assessment: Assessment | None = None
        self._build(last)
        self.value = Selection(appliances=tuple(appliances or ()), last=last)

    @property
    def value(self) -> Selection:
        """What is shown; set it to show something else."""
        return Selection(appliances=tuple(self._chosen.value), last=self._period.value)

    @value.setter
    def value(self, selection: Selection) -> None:
        unknown = sorted(set(selection.appliances) - set(self._names))
        if unknown:
            raise ValueError(f"no such appliance: {', '.join(unknown)}; known: {self._names}")
        self._setting = True  # one change of the selection is one judgement
        self._search.value = ""
        self._offer_period(selection.last)
        self._chosen.value = selection.appliances
        self._period.value = selection.last
        self._setting = False
        self._refresh()

    @property
    def assessment(self) -> Assessment | None:
        """The judgement of what is shown; None while it cannot be made."""
        return self._assessment

    @property
    def jobs(self) -> pd.DataFrame:
        """The jobs of the selected appliances that started in the period, the newest first."""
        if self._assessment is None:
            return self._frames.jobs.iloc[:0]
        jobs, start = self._assessment.jobs, self._assessment.start
        shown = jobs[(jobs["start_time"] >= start) & (jobs["start_time"] < self._assessment.end)]
        return shown.sort_values(
            ["start_time", "appliance"], ascending=[False, True], kind="stable", ignore_index=True
        )

    @property
    def box(self) -> ipywidgets.VBox:
        """The widget itself, to be put into a larger one."""
        return self._box

    def _build(self, last: str) -> None:
        filled = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(placeholder="Search appliances", layout=filled)
        self._chosen = ipywidgets.SelectMultiple(options=self._names, rows=8, layout=filled)
        self._period = ipywidgets.ToggleButtons(options=_PERIODS, value=_PERIODS[2][1])
        self._offer_period(last)
        self._verdict = ipywidgets.HTML()
        self._error = ipywidgets.HTML()
        self._views = {name: ipywidgets.HTML() for name in self._drawings()}
        self._table = ipywidgets.HTML()
        self._back = ipywidgets.Button(description="Newer", icon="arrow-left")
        self._forth = ipywidgets.Button(description="Older", icon="arrow-right")
        self._place = ipywidgets.Label()
        paging = ipywidgets.HBox([self._back, self._forth, self._place])
        jobs = ipywidgets.VBox([paging, self._table])
        self._tabs = ipywidgets.Tab(
            children=[*self._views.values(), jobs], titles=[*self._views, "Jobs"]
        )
        wide = ipywidgets.Layout(flex="1 1 auto", min_width="0")
        beside = ipywidgets.Layout(flex="0 0 220px", margin="0 12px 0 0")
        hint = ipywidgets.Label("none chosen = all")
        side = ipywidgets.VBox([self._search, self._chosen, hint], layout=beside)
        top = ipywidgets.VBox([self._period, self._verdict], layout=wide)
        self._box = ipywidgets.VBox([ipywidgets.HBox([side, top]), self._error, self._tabs])
        self._search.observe(self._on_search, names="value")
        self._chosen.observe(self._on_change, names="value")
        self._period.observe(self._on_change, names="value")
        self._tabs.observe(self._on_tab, names="selected_index")
        self._back.on_click(lambda _button: self._turn(-1))
        self._forth.on_click(lambda _button: self._turn(1))

    def _offer_period(self, last: str) -> None:
        if last not in [value for _, value in self._period.options]:
            self._period.options = (*self._period.options, (last, last))

    def _drawings(self) -> Mapping[str, Callable[[Assessment], Axes]]:
        return {
            "Timeline": lambda a: plots.timeline(self.jobs, slots=a.slots),
            "Progress": lambda a: plots.progress(self._observed(a)),
            "Failures": lambda a: plots.failures(a.failures),
        }

    def _observed(self, assessment: Assessment) -> pd.DataFrame:
        seen = self._frames.observations
        chosen = seen["appliance"].isin(self.value.appliances or self._names)
        return seen[chosen & seen["observed_at"].between(assessment.start, assessment.now)]

    def _on_search(self, change: Mapping[str, Any]) -> None:
        wanted = change["new"].casefold()
        # what is selected stays on the list, so that searching never changes the selection
        kept, before = self._chosen.value, self._setting
        self._setting = True
        self._chosen.options = [n for n in self._names if wanted in n.casefold() or n in kept]
        self._chosen.value = kept
        self._setting = before

    def _on_change(self, _change: Mapping[str, Any]) -> None:
        if not self._setting:
            self._refresh()

    def _on_tab(self, _change: Mapping[str, Any]) -> None:
        self._guarded(self._show)

    def _turn(self, pages: int) -> None:
        self._page += pages
        self._guarded(self._show)

    def _refresh(self) -> None:
        self._page = 0
        self._assessment = None
        self._guarded(self._judge)
        self._guarded(self._show)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; what goes wrong is shown, because Jupyter drops a callback's errors."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 # whatever it is, the person must see it
            self._error.value = render("error.html", kind=type(error).__name__, message=str(error))

    def _judge(self) -> None:
        self._error.value = ""
        self._verdict.value = ""
        chosen = self.value.appliances
        frames = self._frames.only(chosen) if chosen else self._frames
        members = tuple(m for m in self._policy.members if not chosen or m.appliance in chosen)
        policy = replace(self._policy, members=members)
        self._assessment = evaluate(frames, policy, now=self._now, last=self.value.last)
        self._verdict.value = render("strip.html", a=self._assessment)

    def _show(self) -> None:
        """Draw the tab that is open, and only that."""
        drawings = list(self._drawings().items())
        place = self._tabs.selected_index or 0
        if self._assessment is None:
            for view in (*self._views.values(), self._table):
                view.value = ""
        elif place < len(drawings):
            name, draw = drawings[place]
            self._views[name].value = render(
                "image.html", src=image(draw(self._assessment)), alt=f"{name} of the selection"
            )
        else:
            self._show_jobs()

    def _show_jobs(self) -> None:
        jobs = self.jobs
        pages = max(-(-len(jobs) // _PAGE), 1)
        self._page = min(max(self._page, 0), pages - 1)
        first = self._page * _PAGE
        rows = job_facts(jobs.iloc[first : first + _PAGE])
        self._table.value = render("jobs.html", rows=rows)
        self._place.value = f"page {self._page + 1} of {pages}, {len(jobs):,} jobs"
        self._back.disabled = self._page == 0
        self._forth.disabled = self._page == pages - 1

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:  # noqa: ANN401 # as IPython asks
        """Show the widget, and a picture of it where no widget can be shown."""
        # the method's name is IPython's protocol, not a private matter of the box
        return {**self._box._repr_mimebundle_(**options), "text/html": self._still()}

    def _still(self) -> str:
        if self._assessment is None:
            return str(self._error.value)
        drawn = plots.timeline(self.jobs, slots=self._assessment.slots)
        picture = render("image.html", src=image(drawn), alt="Timeline of the selection")
        return fragment(self._assessment) + picture


def explore(
    source: _History | _Snapshot,
    policy: Policy,
    *,
    appliances: Iterable[str] | None = None,
    last: str = "30d",
    now: Instant | None = None,
) -> Explorer:
    """Click through a fleet: appliances and period to choose, figures and jobs to look at.

    Parameters
    ----------
    source : History or Snapshot
        What is known; it is read once.
    policy : Policy
        The numbers to judge by.
    appliances : iterable of str, optional
        The appliances selected at first; all by default.
    last : str
        The period shown at first, such as ``"7d"``.
    now : datetime or str, optional
        The moment of the judgement; by default the current time.

    Returns
    -------
    Explorer
        Its ``.value`` is the selection, ``.jobs`` the selected jobs, ``.assessment`` the judgement.
    """
    return Explorer(source, policy, appliances=appliances, last=last, now=now)
