"""What the page says, as values: every text in it is final, none of it is escaped yet."""

from dataclasses import dataclass

from backupkit.display.wording import STATE_WORDS

__all__ = [
    "STATE_WORDS",
    "Act",
    "ApplianceFacts",
    "Exclusion",
    "Figure",
    "Link",
    "Matrix",
    "MatrixRow",
    "Run",
    "Signature",
    "Source",
    "Summary",
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
class Matrix:
    """Appliance by day; `days` holds the day of the month, `more` counts what is left out."""

    days: tuple[str, ...]
    first: str
    last: str
    rows: tuple[MatrixRow, ...]
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
class Summary:
    """Everything the page says."""

    title: str
    heading: str
    state: str
    sentence: str
    period: str
    generated: str
    data_until: str
    policy: str
    figures: tuple[Figure, ...]
    other_figures: tuple[Figure, ...]
    acts: tuple[Act, ...]
    acts_more: int
    unread: tuple[Unread, ...]
    unread_more: int
    finding: str
    failed_jobs: int
    signatures: tuple[Signature, ...]
    signatures_more: int
    matrix: Matrix
    appliances: tuple[ApplianceFacts, ...]
    sources: tuple[Source, ...]
    sources_more: int
    exclusions: tuple[Exclusion, ...]
    versions: str
