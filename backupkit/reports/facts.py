"""View models of the report: texts are final, but not yet HTML-escaped."""

from dataclasses import dataclass

from backupkit.display.format import STATE_LABELS

__all__ = [
    "STATE_LABELS",
    "ActionItem",
    "ApplianceFacts",
    "Change",
    "ChangeGroup",
    "Changes",
    "Count",
    "DataSource",
    "Details",
    "Exclusion",
    "Figure",
    "Growth",
    "JobRow",
    "LateStart",
    "Link",
    "LintFinding",
    "Load",
    "Matrix",
    "MatrixBlock",
    "MatrixRow",
    "Outlier",
    "Picture",
    "Running",
    "Signature",
    "Sizes",
    "Summary",
    "TargetLoad",
    "Trend",
    "TrendDay",
    "Unreachable",
]


@dataclass(frozen=True, slots=True)
class Link:
    """Name of an appliance and the anchor of its row."""

    name: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Figure:
    """Key figure: name, percentage and fraction."""

    name: str
    percent: str
    fraction: str


@dataclass(frozen=True, slots=True)
class Count:
    """Number of appliances in a state, and the anchor of the first one; "" without one."""

    state: str
    label: str
    number: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Change:
    """Change of one appliance or of one failure signature."""

    appliance: Link | None
    text: str
    was: str
    now: str
    detail: str


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """Changes of one kind; `omitted` is the number of omitted ones."""

    kind: str
    count: int
    changes: tuple[Change, ...]
    omitted: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes since an earlier report."""

    against: str
    since: str
    sentence: str
    groups: tuple[ChangeGroup, ...]


@dataclass(frozen=True, slots=True)
class ActionItem:
    """Action item: an appliance that needs attention, and the next step."""

    appliance: Link
    state: str
    label: str
    exposure: str
    last_success: str
    age: str
    strikes: int
    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Unreachable appliance: its data are missing or out of date."""

    appliance: Link
    state: str
    label: str
    since: str
    kind: str
    detail: str
    last_ok: str
    age: str
    advice: str


@dataclass(frozen=True, slots=True)
class Signature:
    """Failure signature and the affected appliances; `omitted` is the number of omitted names."""

    text: str
    message_id: str
    example: str
    jobs: int
    share: str
    appliances: int
    names: tuple[Link, ...]
    omitted: int
    first_seen: str
    last_seen: str
    builds: str
    targets: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """Days of one appliance: cells of (state, symbol), and a text summary of them."""

    appliance: Link
    cells: tuple[tuple[str, str], ...]
    summary: str


@dataclass(frozen=True, slots=True)
class MatrixBlock:
    """Rows of one site or group; `name` is "" if there is only one block."""

    name: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Slot states by appliance and day.

    `days` holds the days of the month; `omitted` is the number of omitted appliances.
    """

    days: tuple[str, ...]
    first: str
    last: str
    blocks: tuple[MatrixBlock, ...]
    omitted: int
    legend: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class JobRow:
    """Job of an appliance."""

    start: str
    local: str
    duration: str
    outcome: str
    label: str
    type: str
    size: str
    job_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ApplianceFacts:
    """Assessment of one appliance and its newest jobs; `job_count` counts all its jobs."""

    appliance: Link
    site_and_group: str
    state: str
    label: str
    reason: str
    exposure: str
    last_success: str
    rpo: str
    slots: str
    attempts: str
    strikes: str
    schedules: tuple[str, ...]
    zone: str
    jobs: tuple[JobRow, ...]
    job_count: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Figure as a data URI, with its alternative text."""

    source: str
    alt: str


@dataclass(frozen=True, slots=True)
class TrendDay:
    """Slots and compliance of the fleet on one day."""

    day: str
    share: str
    unknown: str
    met: int
    rescued: int
    late: int
    missed: int
    unknown_slots: int


@dataclass(frozen=True, slots=True)
class Trend:
    """Compliance of the fleet by day."""

    picture: Picture | None
    finding: str
    days: tuple[TrendDay, ...]


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """Load of one backup target."""

    name: str
    appliances: str
    runs: str
    peak: str
    scheduled_peak: str
    bytes_sent: str


@dataclass(frozen=True, slots=True)
class Running:
    """Job that was running when it was last observed."""

    appliance: Link
    start: str
    elapsed: str
    progress: str
    typical_duration: str
    remark: str
    message: str


@dataclass(frozen=True, slots=True)
class LateStart:
    """Job that started more than 5 min before or after its slot."""

    appliance: Link
    planned: str
    started: str
    delay: str


@dataclass(frozen=True, slots=True)
class Load:
    """Running jobs, start delays of the last day, and load of the backup targets."""

    running: tuple[Running, ...]
    running_omitted: int
    start_summary: str
    starts: tuple[LateStart, ...]
    picture: Picture | None
    finding: str
    targets: tuple[TargetLoad, ...]
    targets_omitted: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """Job with an unusual duration or size, or a stalled or overrunning job."""

    appliance: Link
    start: str
    kind: str
    value: str
    typical: str
    rule: str


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of the backups of one appliance."""

    appliance: Link
    typical_size: str
    share: str
    footprint: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Unusual durations and sizes, and growth of the backups."""

    picture: Picture | None
    finding: str
    outliers: tuple[Outlier, ...]
    outliers_omitted: int
    growths: tuple[Growth, ...]
    baseline_note: str


@dataclass(frozen=True, slots=True)
class LintFinding:
    """Failed configuration check and the affected appliances."""

    severity: str
    rule: str
    finding: str
    advice: str
    count: int
    names: tuple[Link, ...]
    omitted: int


@dataclass(frozen=True, slots=True)
class DataSource:
    """Data basis of the assessment of one appliance."""

    appliance: Link
    polls: str
    last_ok: str
    age: str
    known_since: str
    ratio: str
    zone: str
    skew: str
    version: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Excluded appliance and the reason."""

    appliance: Link
    reason: str


@dataclass(frozen=True, slots=True)
class Details:
    """Detail sections of the page, below the summary."""

    trend: Trend
    matrix: Matrix
    load: Load
    sizes: Sizes
    lint: tuple[LintFinding, ...]
    lint_omitted: int
    lint_checked: int
    appliances: tuple[ApplianceFacts, ...]
    sources: tuple[DataSource, ...]
    sources_omitted: int
    other_figures: tuple[Figure, ...]
    policy: tuple[tuple[str, str], ...]
    policies: tuple[tuple[str, str], ...]
    windows: tuple[tuple[str, str, str], ...]
    reproduce_command: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary sections of the page and the mail."""

    title: str
    heading: str
    state: str
    sentence: str
    period: str
    generated: str
    data_until: str
    data_version: str
    verify_command: str
    policy: str
    counts: tuple[Count, ...]
    changes: Changes | None
    figures: tuple[Figure, ...]
    action_items: tuple[ActionItem, ...]
    action_items_omitted: int
    unreachable: tuple[Unreachable, ...]
    unreachable_omitted: int
    finding: str
    failed_jobs: int
    signatures: tuple[Signature, ...]
    signatures_omitted: int
    shared: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    versions: str
