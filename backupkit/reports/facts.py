"""Contents of the report: typed values, which templates and tables format and escape.

The fields of a row stand in the order of the columns of its table.
"""

import base64
import io
from itertools import groupby
from typing import Final, NamedTuple, cast

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from pandas.api.typing import NaTType, NAType
from PIL import Image

from backupkit.display import Badge, Rows
from backupkit.display.format import Ratio, Size, format_relative, format_timestamp
from backupkit.plots.picture import render_png, render_svg

__all__ = [
    "COLUMN_WIDTH",
    "PAGE_WIDTH",
    "ActionItem",
    "Advice",
    "Aged",
    "ApplianceFacts",
    "BreachChance",
    "Change",
    "ChangeGroup",
    "Changes",
    "Count",
    "DataSource",
    "Details",
    "Example",
    "Exclusion",
    "Figure",
    "Finding",
    "Forecast",
    "GroupVerdict",
    "Growth",
    "Incident",
    "JobRow",
    "LateStart",
    "Level",
    "Link",
    "LintFinding",
    "Load",
    "Matrix",
    "MatrixBlock",
    "MatrixRow",
    "Named",
    "Outlier",
    "Picture",
    "ReliabilityRow",
    "Running",
    "Signature",
    "Since",
    "Sizes",
    "Summary",
    "TargetLoad",
    "Trend",
    "TrendDay",
    "TrendTable",
    "UnreadAppliance",
    "build_data_uri",
]

Time = pd.Timestamp | NaTType
Duration = pd.Timedelta | NaTType

COLUMN_WIDTH: Final = 7.6  # of a figure with text beside it [inch]
PAGE_WIDTH: Final = 12.5  # of a figure across the page [inch]
_MAX_SVG_BYTES = 36_000  # bytes
_SVG_POINT_BYTES = 20  # bytes of a point in SVG, at least
_COLOURS = 64  # of an image: few hues, and the edges of texts
_PNG_DPI = 200  # twice that of a screen
_MAX_RUN = 31  # cells; report.css has a width for each length


# --- values that are HTML by themselves -----------------------------------------------------------


class Link(NamedTuple):
    """Name of an appliance and the anchor of its row; without an anchor, only the name."""

    name: str
    anchor: str = ""

    def __html__(self) -> str:
        html = '<a href="#{1}">{0}</a>' if self.anchor else "{0}"
        return Markup(html).format(*self)  # noqa: S704 # our own text


class Named(NamedTuple):
    """Number of appliances or findings, and links to the first appliances."""

    total: int
    links: tuple[Link, ...]

    @property
    def omitted(self) -> int:
        """Number of those that are not named."""
        return self.total - len(self.links)

    def __html__(self) -> str:
        more = f" and {self.omitted:,} more" if self.omitted else ""
        names = [Markup('<span class="name">{},</span>').format(link) for link in self.links[:-1]]
        names += [Markup('<span class="name">{}</span>').format(link) for link in self.links[-1:]]
        return Markup("{:,}: {}{}").format(self.total, Markup(" ").join(names), more)


class Aged(NamedTuple):
    """Time, and the time from which its age counts: the period's end."""

    time: Time
    now: pd.Timestamp

    @property
    def age(self) -> str:
        """Age, such as "2 h ago"; "" if the time is missing."""
        return format_relative(self.time, self.now)

    def __html__(self) -> str:
        time = format_timestamp(self.time)
        return (
            Markup('{}<br><span class="quiet">{}</span>').format(time, self.age)
            if self.age
            else time
        )


class Example(NamedTuple):
    """Failure signature, which opens to the messages of one job, the most general first."""

    signature: str
    message: str
    message_id: str = ""

    def __html__(self) -> str:
        code = Markup(" <code>{}</code>").format(self.message_id) if self.message_id else ""
        return Markup(
            '<details><summary>{}</summary><p class="quiet pre">{}{}</p></details>'
        ).format(self.signature or "(no message)", self.message, code)


class Advice(NamedTuple):
    """Cause of failures if it is known, the next step, and the source of both."""

    cause: str
    next_step: str
    source: str

    def __html__(self) -> str:
        cause = Markup("{}<br>").format(self.cause) if self.cause else ""
        source = Markup('<br><span class="quiet">Source: {}</span>').format(self.source)
        return Markup("{}{}{}").format(cause, self.next_step, source if self.source else "")


class Finding(NamedTuple):
    """Finding of a check, the rule that found it, and whether it stands for others."""

    text: str
    rule: str
    has_others: bool

    def __html__(self) -> str:
        others = Markup(' <span class="quiet">(the first; others alike)</span>')
        return Markup("{}{} <code>{}</code>").format(
            self.text, others if self.has_others else "", self.rule
        )


class Picture(NamedTuple):
    """Figure as a data URI, with its alternative text."""

    source: str
    alt: str

    @classmethod
    def of(cls, ax: Axes, alt: str) -> "Picture":
        """Draw axes with text beside them; the same figures must be in a table below."""
        uri = build_data_uri(ax, width=COLUMN_WIDTH)
        return cls(uri, f"{alt} The same figures are in the table below.")


def build_data_uri(ax: Axes, *, width: float | None = None) -> str:
    """Return a drawn figure as a data URI: SVG, or PNG if the SVG exceeds 36,000 bytes.

    Of a figure with many points, which would exceed it, no SVG is rendered. With a width [inch],
    its texts have their usual size where the page shows it.
    """
    if width is not None:
        figure = cast("Drawing", ax.get_figure(root=True))  # only removed axes have none
        figure.set_size_inches(width, figure.get_size_inches()[1])
    paths = [path for shape in ax.collections for path in shape.get_paths()]
    points = sum(np.shape(path.vertices)[0] for path in paths)
    if points * _SVG_POINT_BYTES <= _MAX_SVG_BYTES:
        svg = render_svg(ax)
        if len(svg) <= _MAX_SVG_BYTES:
            return _encode_uri(svg, "svg+xml")
    return _encode_uri(_reduce_colours(render_png(ax, dpi=_PNG_DPI)), "png")


def _reduce_colours(png: bytes) -> bytes:
    """Return the image with a palette, which takes a third of the bytes."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        reduced = image.convert("RGB").quantize(_COLOURS, Image.Quantize.FASTOCTREE)
        reduced.save(buffer, "PNG")
    return buffer.getvalue()


def _encode_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


# --- summary --------------------------------------------------------------------------------------


class Figure(NamedTuple):
    """Key figure."""

    name: str
    ratio: Ratio


class Count(NamedTuple):
    """Number of appliances in a state, and the anchor of the first one."""

    state: Badge
    number: int
    anchor: str


class Change(NamedTuple):
    """Change of one appliance, or of one failure signature."""

    subject: Link | str
    was: str
    now: str
    detail: str


class ChangeGroup(NamedTuple):
    """Changes of one kind."""

    kind: str
    changes: Rows[Change]


class Changes(NamedTuple):
    """Changes since an earlier report."""

    against: str
    since: pd.Timestamp
    sentence: str
    groups: tuple[ChangeGroup, ...]
    warnings: str = ""
    is_empty: bool = False  # nothing was known then


class Since(NamedTuple):
    """Time since which an appliance is in breach, which may be missing, and a remark on it."""

    time: Time
    remark: str

    def __html__(self) -> str:
        if pd.isna(self.time):
            return Markup()
        html = Markup('<span class="w">{}</span>').format(format_timestamp(self.time))
        return html + Markup("<br>{}").format(self.remark) if self.remark else html


class ActionItem(NamedTuple):
    """Appliance that needs attention, and the next step."""

    appliance: Link
    state: Badge
    breach_since: Since
    exposure: str
    last_success: Time
    strikes: int
    reason: str
    advice: str


class UnreadAppliance(NamedTuple):
    """Appliance whose data are missing, out of date or not complete."""

    appliance: Link
    state: Badge
    error: str
    failing_since: Time
    last_ok: Aged
    detail: str
    advice: str


class Signature(NamedTuple):
    """Failure signature: its share of the failed jobs, and builds and targets it occurred with."""

    example: Example
    share: Ratio
    advice: Advice
    appliances: Named
    first_seen: Time
    last_seen: Time
    origin: str


class Exclusion(NamedTuple):
    """Excluded appliance and the reason."""

    appliance: Link
    reason: str


class GroupVerdict(NamedTuple):
    """Verdicts on a site or a group."""

    name: str
    target: Badge
    state: Badge
    in_scope: Ratio
    rpo: Ratio
    slots: Ratio
    budget_spent: str
    appliances: Ratio


class DomainNode(NamedTuple):
    """Node of an SSO domain, or appliance, that is not in both fleet.toml and a domain."""

    host: str
    appliance: str
    result: str
    read: Aged
    reason: str


class Summary(NamedTuple):
    """Summary sections of the page and the mail.

    `tone` is the colour of both verdicts; `moment` is when the states hold: now, or at the end.
    `next_steps_note` says why there is no next step; "" if there is one. `coming` names the
    breaches that no scheduled run can prevent; "" for none. `causes` says whether the failures have
    one cause or several, `inventory` which vCenters fleet.toml lacks; "" for none.
    """

    title: str
    heading: str
    tone: str
    period_sentence: str
    moment: str
    sentence: str
    never_backed_up: Named
    coming: str
    causes: str
    inventory: str
    domain_nodes: Rows[DomainNode]
    groups: Rows[GroupVerdict]
    period: str
    ages_as_of: pd.Timestamp
    generated: pd.Timestamp
    newest_data: str
    data_version: str
    verify_command: str
    policy: str
    counts: tuple[Count, ...]
    changes: Changes | None
    figures: tuple[Figure, ...]
    next_steps_note: str
    action_items: Rows[ActionItem]
    unread: Rows[UnreadAppliance]
    finding: str
    failed_jobs: int
    signatures: Rows[Signature]
    shared: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    versions: str


# --- details --------------------------------------------------------------------------------------


class TrendDay(NamedTuple):
    """Slots and compliance of the fleet on one day, or in one week or month."""

    day: str
    share: Ratio
    unknown: Ratio
    met: int
    rescued: int
    late: int
    missed: int
    unknown_slots: int


class TrendTable(NamedTuple):
    """Compliance of the fleet by week or by month; `step` is the name of a row."""

    step: str
    rows: tuple[TrendDay, ...]


class Trend(NamedTuple):
    """Compliance of the fleet by day; in a long period also by week and month."""

    picture: Picture | None
    finding: str
    days: tuple[TrendDay, ...]
    longer: tuple[TrendTable, ...] = ()


class Level(NamedTuple):
    """Figure of the fleet that is no share: its result, and what it was computed from."""

    name: str
    result: str
    basis: str


class Incident(NamedTuple):
    """Time without a success after a run that failed or did not start."""

    appliance: Link
    onset: Time
    recovery: Time | str
    duration: str
    beginning: str
    incident: str


class BreachChance(NamedTuple):
    """Probability that an appliance is in breach within a day, and what it was computed from."""

    appliance: Link
    probability: str
    runs_left: int
    breach_at: Time
    next_slot: Time
    missed: Ratio


class ReliabilityRow(NamedTuple):
    """Forecasts of the past with a similar probability, and how many of them came true."""

    probability: str
    predicted: str
    came_true: Ratio


class Forecast(NamedTuple):
    """Most probable breaches of the next day, and how reliable such forecasts were."""

    finding: str
    chances: Rows[BreachChance]
    reliability: tuple[ReliabilityRow, ...]


class MatrixRow(NamedTuple):
    """Days of one appliance: cells of (state, symbol), a text summary, and if all of them is good.

    In HTML equal cells side by side are one element: an element per cell would make the page of a
    large fleet three times as large.
    """

    appliance: Link
    cells: tuple[tuple[str, str], ...]
    summary: str
    good: bool

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """State, symbols and number of equal cells side by side, at most 31 at once."""
        runs: list[tuple[str, str, int]] = []
        for (state, symbol), group in groupby(self.cells):
            number = len(list(group))
            for first in range(0, number, _MAX_RUN):
                length = min(_MAX_RUN, number - first)
                runs.append((state, " ".join([symbol] * length), length))
        return runs


class MatrixBlock(NamedTuple):
    """Rows of one site or group of `total` appliances; `name` is "" if there is only one block."""

    name: str
    rows: tuple[MatrixRow, ...]
    total: int


class Matrix(NamedTuple):
    """Slot states by appliance and day; `omitted` is the number of omitted appliances."""

    days: tuple[pd.Timestamp, ...]
    blocks: tuple[MatrixBlock, ...]
    omitted: int
    legend: tuple[tuple[str, str, str], ...]


class Running(NamedTuple):
    """Job that was running when it was last observed."""

    appliance: Link
    start: Time
    elapsed: Duration
    typical_duration: Duration
    progress: str
    remark: Badge
    message: str


class LateStart(NamedTuple):
    """Job that started more than 5 min before or after its slot."""

    appliance: Link
    planned: pd.Timestamp
    started: pd.Timestamp
    delay: str


class TargetLoad(NamedTuple):
    """Load of one backup target."""

    name: str
    appliances: int
    runs: int
    peak: str
    scheduled_peak: str
    sent: Size
    throughput: str


class Load(NamedTuple):
    """Running jobs if the period ends now, delays of the last day, and load of the targets."""

    is_current: bool
    running: Rows[Running]
    start_summary: str
    starts: tuple[LateStart, ...]
    picture: Picture | None
    finding: str
    targets: Rows[TargetLoad]


class Outlier(NamedTuple):
    """Job with an unusual duration or size, or a stalled or overrunning job."""

    appliance: Link
    start: Time
    kind: str
    value: Size | Duration
    typical: Size | Duration
    rule: str


class Growth(NamedTuple):
    """Growth of the backups of one appliance."""

    appliance: Link
    typical_size: Size
    growth: str
    footprint: Size


class Sizes(NamedTuple):
    """Unusual durations and sizes, and growth of the backups."""

    picture: Picture | None
    finding: str
    outliers: Rows[Outlier]
    growths: tuple[Growth, ...]
    baseline_note: str


class LintFinding(NamedTuple):
    """Failed configuration check and the affected appliances."""

    severity: Badge
    finding: Finding
    appliances: Named
    advice: str


class JobRow(NamedTuple):
    """Job of an appliance; `local` is its start in the time zone of the appliance."""

    start: Time
    local: str
    outcome: Badge
    duration: Duration
    type: str
    size: Size
    job_id: str
    message: str


class ApplianceFacts(NamedTuple):
    """Assessment of one appliance and its newest jobs."""

    appliance: Link
    place: str
    state: Badge
    breach_since: Since
    exposure: str
    last_success: Time
    rpo: Ratio
    slots: Ratio
    attempts: Ratio
    strikes: int | NAType
    reason: str
    levels: str
    schedules: tuple[str, ...]
    zone: str
    jobs: Rows[JobRow]


class DataSource(NamedTuple):
    """Data basis of the assessment of one appliance."""

    appliance: Link
    polls: Ratio
    last_ok: Aged
    staleness: Duration
    known_since: Time
    observed: Ratio
    zone: str
    skew: str
    version: str


class Details(NamedTuple):
    """Detail sections of the page, below the summary."""

    trend: Trend
    levels: tuple[Level, ...]
    incidents: Rows[Incident]
    matrix: Matrix
    forecast: Forecast | None
    load: Load
    sizes: Sizes
    lint: Rows[LintFinding]
    lint_checked: int
    appliances: tuple[ApplianceFacts, ...]
    sources: Rows[DataSource]
    other_figures: tuple[Figure, ...]
    policy: tuple[tuple[str, str], ...]
    policies: tuple[tuple[str, str], ...]
    windows: tuple[tuple[str, str, str], ...]
    reproduce_command: str
    is_selection: bool
