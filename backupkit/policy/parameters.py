"""The parameters of the SLA, and all that is known of each one.

Parsing, error messages, documentation, the policy's table in the report, its JSON and the JSON
Schema are derived from the declarations in `Parameters`.
"""

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import FrozenInstanceError, dataclass
from datetime import timedelta
from typing import Any, Final, Generic, Literal, TypeVar, overload

from backupkit.display.format import format_exactly
from backupkit.errors import SettingsError
from backupkit.policy.values import (
    COUNT,
    DURATION,
    FLAG,
    NAMES,
    PLAN,
    POSITIVE_DURATION,
    SHARE,
    TIME_OF_DAY,
    TIME_ZONE,
    WINDOW,
    Kind,
    Plan,
    Window,
    build_word_kind,
)

__all__ = ["PARAMETERS", "Anchor", "Field", "Parameter", "Parameters", "UnknownMode"]

Given = TypeVar("Given")
Value = TypeVar("Value")
Anchor = Literal["start", "end"]
UnknownMode = Literal["strict", "evidence"]

_TARGET_SUBJECTS: Final = {
    "rpo_target": "of the time",
    "runs_target": "of the runs",
    "window_target": "inside the window",
    "duration_target": "within the limit",
}


class Field(Generic[Given, Value]):
    """A field of a dataclass that converts its value and can be set only once.

    The two types are what ``__init__`` accepts and what the attribute is.
    """

    name: str

    def __init__(self, default: Given, parse: Callable[[Any], Any]) -> None:
        self.default = default
        self.parse = parse

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Given: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Value: ...

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        # dataclass() takes the default from the class
        return self.default if instance is None else instance.__dict__[self.name]

    def __set__(self, instance: object, value: Given) -> None:
        if self.name in instance.__dict__:
            raise FrozenInstanceError(f'"{self.name}" cannot be changed; use dataclasses.replace')
        instance.__dict__[self.name] = self.parse(value)


class Parameter(Field[Given, Value]):
    """A parameter of the SLA.

    Attributes
    ----------
    name : str
        Key in fleet.toml, attribute of `Policy`, and column of `Policy.rules`.
    kind : Kind
        Its values. If the default is None, None is valid too.
    default : object
        As written in fleet.toml.
    label : str
        Name in a report.
    meaning : str
        One sentence for the documentation.
    section : str
        Anchor in docs/sla.md that defines how it is used.
    shown : str
        Pattern of a value in a report.
    absent : str
        Text for None in a report.
    example : str
        A valid entry of fleet.toml, for error messages.
    """

    def __init__(
        self,
        kind: Kind,
        default: Given,
        *,
        label: str,
        meaning: str,
        section: str,
        shown: str = "{}",
        absent: str = "none",
        example: str = "",
    ) -> None:
        super().__init__(default, self._parse)
        self.kind = kind
        self.label = label
        self.meaning = meaning
        self.section = section
        self.shown = shown
        self.absent = absent
        self._example = example or json.dumps(default)

    @property
    def example(self) -> str:
        """A valid entry of fleet.toml."""
        return f"{self.name} = {self._example}"

    @property
    def json_key(self) -> str:
        """The key in a report's JSON, with the unit."""
        return f"{self.name}_seconds" if self.kind.dtype.startswith("timedelta") else self.name

    def text(self, policy: object) -> str:
        """Return the value in a policy, for people."""
        value = getattr(policy, self.name)
        return self.absent if value is None else self.shown.format(self.kind.format(value))

    def documentation(self) -> str:
        """Return the entry of a numpydoc section."""
        optional = ", optional" if self.default is None else ""
        lines = textwrap.wrap(self.meaning, 92)
        return "\n        ".join([f"{self.name} : {self.kind.accepts}{optional}", *lines])

    def _parse(self, value: object) -> object:
        if value is None and self.default is None:
            return None
        try:
            return self.kind.parse(value)
        except (SettingsError, ValueError) as error:
            raise SettingsError(
                f'"{self.name}" must be {self.kind.must_be}, got {value!r}; '
                f"for example: {self.example}"
            ) from error


Duration = Parameter[str | timedelta, timedelta]
OptionalDuration = Parameter[str | timedelta | None, timedelta | None]
OptionalShare = Parameter[float | None, float | None]


@dataclass(kw_only=True)
class Parameters:
    """The parameters of the SLA.

    A parameter is declared here and nowhere else. ``python docs/generate.py`` and
    ``python -m backupkit.reports.schema`` write what is derived from it into files.
    """

    rpo: Duration = Parameter(
        POSITIVE_DURATION,
        "24h",
        label="RPO",
        meaning="Recovery point objective: the largest accepted age of the newest backup.",
        section="states",
    )
    grace: Duration = Parameter(
        DURATION,
        "2h",
        label="Grace",
        meaning="Time added to the RPO before an appliance is in breach.",
        section="states",
    )
    early: Duration = Parameter(
        DURATION,
        "1h",
        label="A run may start",
        shown="up to {} before its time",
        meaning="How much before its slot a run may start and still be on time.",
        section="slot-schedule-and-attempt",
    )
    late: Duration = Parameter(
        DURATION,
        "1h",
        label="A run is overdue",
        shown="{} after its time",
        meaning="How much after its slot a run may start and still be on time.",
        section="slot-states",
    )
    completion: OptionalDuration = Parameter(
        POSITIVE_DURATION,
        None,
        label="A run must be done",
        shown="within {}",
        absent="before the next one",
        meaning="Time after the slot by which a run must have succeeded.",
        section="slot-schedule-and-attempt",
        example='"4h"',
    )
    anchor: Parameter[Anchor, Anchor] = Parameter(
        build_word_kind({"start": "the job's start", "end": "the job's end"}),
        "start",
        label="Recovery point",
        meaning="Whether a recovery point has the time of its job's start (the safe choice) or "
        "end.",
        section="recovery-point",
    )
    count_local: Parameter[bool, bool] = Parameter(
        FLAG,
        False,  # the default, before the keywords
        label="Backups on the appliance itself count",
        meaning="Whether a backup that was saved on the appliance itself is a recovery point.",
        section="recovery-point",
    )
    target: Parameter[float, float] = Parameter(
        SHARE,
        0.99,
        label="Target",
        meaning="The share of time, of slots and of runs that must be good (SLO).",
        section="period-and-targets",
    )
    rpo_target: OptionalShare = Parameter(
        SHARE,
        None,
        label="Target of the time inside the RPO",
        absent="the target",
        meaning="The target of RPO compliance, if it is another one.",
        section="period-and-targets",
        example="0.995",
    )
    runs_target: OptionalShare = Parameter(
        SHARE,
        None,
        label="Target of completed runs",
        absent="the target",
        meaning="The target of slot compliance and of the error budget, if it is another one.",
        section="period-and-targets",
        example="0.98",
    )
    window_target: OptionalShare = Parameter(
        SHARE,
        None,
        label="Target of runs inside the window",
        absent="the target",
        meaning="The target of runs inside the backup window, if it is another one.",
        section="period-and-targets",
        example="0.9",
    )
    duration_target: OptionalShare = Parameter(
        SHARE,
        None,
        label="Target of runs within the duration limit",
        absent="the target",
        meaning="The target of runs within the duration limit, if it is another one.",
        section="period-and-targets",
        example="0.9",
    )
    staleness: OptionalDuration = Parameter(
        DURATION,
        None,
        label="Data valid for",
        absent="the usual interval between polls, or 24h",
        meaning="How long the newest good poll of an appliance counts as knowledge.",
        section="known_until",
        example='"6h"',
    )
    unknown_mode: Parameter[UnknownMode, UnknownMode] = Parameter(
        build_word_kind(
            {
                "strict": "not compliant",
                "evidence": "not compliant once the last recovery point is too old",
            }
        ),
        "strict",
        label="Unknown is",
        meaning="State of an appliance that cannot be read: unknown (strict), or that of its last "
        "known recovery point until this is too old (evidence).",
        section="states",
    )
    window: Parameter[str | Window | None, Window | None] = Parameter(
        WINDOW,
        None,
        label="Backup window",
        absent="any time",
        meaning="Hours in which backups may run, in the appliance's time zone.",
        section="13-backup-window",
        example='"22:00-06:00"',
    )
    window_tolerance: Duration = Parameter(
        DURATION,
        "0m",
        label="Tolerance before the window",
        meaning="How much before the window a run may start.",
        section="13-backup-window",
        example='"5m"',
    )
    duration_limit: OptionalDuration = Parameter(
        POSITIVE_DURATION,
        None,
        label="A run may take",
        absent="any time",
        meaning="The longest accepted duration of a run.",
        section="14-duration-limit",
        example='"4h"',
    )
    lookback: Duration = Parameter(
        POSITIVE_DURATION,
        "7d",
        label="Looks back",
        meaning="Time before the period's end in which the figure appliances_lookback needs a "
        "success.",
        section="4-fleet-compliance",
    )
    backup_day: Duration = Parameter(
        TIME_OF_DAY,
        "12:00",
        label="A backup day begins at",
        meaning="When a backup day begins, in the appliance's time zone; noon keeps a night in "
        "one day.",
        section="backup-day",
    )
    retention: Parameter[int | None, int | None] = Parameter(
        COUNT,
        None,
        label="Backups to keep",
        shown="at least {}",
        absent="any number",
        meaning="The minimum number of backups that a schedule should keep.",
        section="23-feasibility-of-the-schedule",
        example="14",
    )
    parts: Parameter[Iterable[str] | None, tuple[str, ...] | None] = Parameter(
        NAMES,
        None,
        label="Parts to save",
        absent="any",
        meaning="The parts that a schedule should save.",
        section="23-feasibility-of-the-schedule",
        example='["common", "seat"]',
    )
    report_timezone: Parameter[str, str] = Parameter(
        TIME_ZONE,
        "Etc/UTC",
        label="Time zone of periods",
        meaning="The zone in which months, quarters, and dates without a zone begin and end.",
        section="period",
        example='"Europe/Berlin"',
    )
    schedule: Parameter[str | Mapping[str, Any] | Plan | None, Plan | None] = Parameter(
        PLAN,
        None,
        label="Schedule if none is reported",
        meaning="The schedule of appliances whose API does not report one (6.5).",
        section="slot-schedule-and-attempt",
        example='"01:00" or { time = "01:00", days = ["SUNDAY"] }',
    )

    @property
    def threshold(self) -> timedelta:
        """The exposure beyond which an appliance is in breach: RPO + grace."""
        return self.rpo + self.grace

    def __str__(self) -> str:
        parts = [
            f"RPO {format_exactly(self.rpo)} + {format_exactly(self.grace)} grace",
            f"recovery point = job {self.anchor}",
            f"runs {format_exactly(self.early)} early to {format_exactly(self.late)} late",
        ]
        if self.count_local:
            parts.append("backups on the appliance itself count")
        if self.completion is not None:
            parts.append(f"done within {format_exactly(self.completion)}")
        if self.staleness is not None:
            parts.append(f"answers count for {format_exactly(self.staleness)}")
        parts.append(
            "unknown is not compliant"
            if self.unknown_mode == "strict"
            else "unknown once the last recovery point is too old"
        )
        if self.window is not None:
            parts.append(f"window {self.window}")
        if self.duration_limit is not None:
            parts.append(f"no longer than {format_exactly(self.duration_limit)}")
        own = [
            f"{PARAMETERS[name].text(self)} {subject}"
            for name, subject in _TARGET_SUBJECTS.items()
            if getattr(self, name) is not None
        ]
        target = f"target {PARAMETERS['target'].text(self)}"
        parts.append(f"{target} ({', '.join(own)})" if own else target)
        return ", ".join(parts)


PARAMETERS: Final = {
    name: field for name, field in vars(Parameters).items() if isinstance(field, Parameter)
}
"""All parameters, by name and in the order of the documentation."""
