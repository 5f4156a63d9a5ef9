"""What the page says, as values: every text in it is final, none of it is escaped yet."""

from dataclasses import dataclass

from backupkit.display.wording import STATE_WORDS

__all__ = [
    "STATE_WORDS",
    "Act",
    "ApplianceFacts",
    "Change",
    "ChangeGroup",
    "Changes",
    "Count",
    "Details",
    "Exclusion",
    "Figure",
    "Growth",
    "LateStart",
    "Link",
    "LintFinding",
    "Load",
    "Matrix",
    "MatrixBlock",
    "MatrixRow",
    "Outlier",
    "Picture",
    "Run",
    "Running",
    "Signature",
    "Sizes",
    "Source",
    "Summary",
    "TargetLoad",
    "Trend",
    "TrendDay",
    "Unread",
]


@dataclass(frozen=True, slots=True)
class Link:
    """An appliance by name, and the anchor of its row."""

    name: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One key number: what it is, the percentage, and the fraction behind it."""

    name: str
    percent: str
    fraction: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many appliances are in a state, and the anchor of the first of them; "" without one."""

    state: str
    word: str
    number: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed; about an appliance, or about a failure signature."""

    appliance: Link | None
    text: str
    was: str
    now: str
    detail: str


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """All changes of one kind; `more` counts what is left out."""

    kind: str
    count: int
    changes: tuple[Change, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since an earlier report."""

    against: str
    since: str
    sentence: str
    groups: tuple[ChangeGroup, ...]


@dataclass(frozen=True, slots=True)
class Act:
    """One appliance that needs a person, and what to do about it."""

    appliance: Link
    state: str
    word: str
    exposure: str
    last_success: str
    age: str
    strikes: int
    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class Unread:
    """One appliance of which nothing current is known."""

    appliance: Link
    state: str
    word: str
    since: str
    kind: str
    detail: str
    last_ok: str
    age: str
    advice: str


@dataclass(frozen=True, slots=True)
class Signature:
    """One failure signature, with whom it hits."""

    text: str
    message_id: str
    example: str
    jobs: int
    share: str
    appliances: int
    names: tuple[Link, ...]
    more: int
    first_seen: str
    last_seen: str
    builds: str
    targets: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One appliance's days: symbols for the eye (state, symbol), words for everybody."""

    appliance: Link
    cells: tuple[tuple[str, str], ...]
    words: str


@dataclass(frozen=True, slots=True)
class MatrixBlock:
    """The rows of one site or group; `name` is "" where all are together."""

    name: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Appliance by day; `days` holds the day of the month, `more` counts what is left out."""

    days: tuple[str, ...]
    first: str
    last: str
    blocks: tuple[MatrixBlock, ...]
    more: int
    legend: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One job of an appliance."""

    start: str
    local: str
    duration: str
    outcome: str
    word: str
    type: str
    size: str
    job_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ApplianceFacts:
    """One appliance: its judgement and its newest runs."""

    appliance: Link
    place: str
    state: str
    word: str
    reason: str
    exposure: str
    last_success: str
    rpo: str
    slots: str
    attempts: str
    strikes: str
    schedules: tuple[str, ...]
    zone: str
    runs: tuple[Run, ...]
    jobs: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as a data URI, and in words what it shows."""

    source: str
    alt: str


@dataclass(frozen=True, slots=True)
class TrendDay:
    """One day of the fleet."""

    day: str
    share: str
    unknown: str
    met: int
    rescued: int
    late: int
    missed: int
    unread: int


@dataclass(frozen=True, slots=True)
class Trend:
    """The fleet day by day."""

    picture: Picture | None
    finding: str
    days: tuple[TrendDay, ...]


@dataclass(frozen=True, slots=True)
class TargetLoad:
    """What one backup target bears."""

    name: str
    appliances: str
    runs: str
    most: str
    planned: str
    sent: str


@dataclass(frozen=True, slots=True)
class Running:
    """One job that was running when it was last seen."""

    appliance: Link
    start: str
    elapsed: str
    progress: str
    usual: str
    remark: str
    message: str


@dataclass(frozen=True, slots=True)
class LateStart:
    """One run that began well before or after its time."""

    appliance: Link
    planned: str
    started: str
    delay: str


@dataclass(frozen=True, slots=True)
class Load:
    """What runs now, how runs of the last day began, and what the targets bear."""

    running: tuple[Running, ...]
    running_more: int
    punctual: str
    starts: tuple[LateStart, ...]
    picture: Picture | None
    finding: str
    targets: tuple[TargetLoad, ...]
    targets_more: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """One job that is not as those before it."""

    appliance: Link
    start: str
    kind: str
    value: str
    typical: str
    rule: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How one appliance's backups grow."""

    appliance: Link
    typical: str
    share: str
    footprint: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Unusual durations and sizes, and growth."""

    picture: Picture | None
    finding: str
    outliers: tuple[Outlier, ...]
    outliers_more: int
    growths: tuple[Growth, ...]
    learnt: str


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing that is wrong with the plan, and for whom."""

    severity: str
    rule: str
    finding: str
    advice: str
    count: int
    names: tuple[Link, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Source:
    """What the judgement of one appliance rests on."""

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
    """One appliance that is out of scope, and why."""

    appliance: Link
    reason: str


@dataclass(frozen=True, slots=True)
class Details:
    """What the page says below its first sections."""

    trend: Trend
    matrix: Matrix
    load: Load
    sizes: Sizes
    lint: tuple[LintFinding, ...]
    lint_more: int
    lint_checked: int
    appliances: tuple[ApplianceFacts, ...]
    sources: tuple[Source, ...]
    sources_more: int
    other_figures: tuple[Figure, ...]
    policy: tuple[tuple[str, str], ...]
    policies: tuple[tuple[str, str], ...]
    windows: tuple[tuple[str, str, str], ...]
    again: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What the first sections say, and the mail: the answers."""

    title: str
    heading: str
    state: str
    sentence: str
    period: str
    generated: str
    data_until: str
    data_version: str
    check: str
    policy: str
    counts: tuple[Count, ...]
    changes: Changes | None
    figures: tuple[Figure, ...]
    acts: tuple[Act, ...]
    acts_more: int
    unread: tuple[Unread, ...]
    unread_more: int
    finding: str
    failed_jobs: int
    signatures: tuple[Signature, ...]
    signatures_more: int
    shared: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]
    versions: str
