"""The two verdicts of an assessment: on the period, and on its last instant."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from backupkit.display.format import Ratio
from backupkit.tables import STATES, TARGET_STATES, VERDICTS

__all__ = [
    "TARGET_LABELS",
    "PeriodVerdict",
    "TargetResult",
    "Verdict",
    "build_ratio",
    "choose_tone",
    "list_verdicts",
]

TARGET_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rpo_strict": "of the time inside the RPO",
        "slot_strict": "of scheduled backups completed",
        "window": "of runs inside the backup window",
        "duration": "of runs within the duration limit",
    }
)
"""What each figure with a target is a share of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state of the fleet at the period's end.

    Attributes
    ----------
    compliant, breach, unknown, excluded, unobserved : int
        Number of appliances in each state at the period's end.

    Examples
    --------
    >>> verdict = Verdict(compliant=7, breach=3, unknown=1)
    >>> verdict.state, verdict.in_scope
    ('breach', 11)
    >>> verdict.heading
    'BREACH 3 of 11'
    >>> verdict.sentence
    '3 of 11 in scope breach their RPO, 1 unknown'
    """

    compliant: int = 0
    breach: int = 0
    unknown: int = 0
    excluded: int = 0
    unobserved: int = 0

    @classmethod
    def of(cls, states: pd.Series) -> "Verdict":
        """Return the verdict on appliances in these states."""
        counts = states.value_counts()
        return cls(**{state: int(counts.get(state, 0)) for state in STATES})

    @property
    def in_scope(self) -> int:
        """Number of appliances that are compliant, in breach or unknown."""
        return self.compliant + self.breach + self.unknown

    @property
    def state(self) -> str:
        """The worst state: breach, else unknown, else compliant.

        Without a breach, it is also unknown if no appliance is in scope or one is unobserved.
        """
        if self.breach:
            return "breach"
        if self.unknown or self.unobserved or not self.in_scope:
            return "unknown"
        return "compliant"

    @property
    def word(self) -> str:
        """The state in one word: BREACH, UNKNOWN or OK."""
        return {"breach": "BREACH", "unknown": "UNKNOWN", "compliant": "OK"}[self.state]

    @property
    def heading(self) -> str:
        """The state and the number of its appliances, such as ``BREACH 3 of 11``."""
        if self.state == "unknown":
            count, total = self.unknown + self.unobserved, self.in_scope + self.unobserved
        else:
            count, total = getattr(self, self.state), self.in_scope
        return f"{self.word} {count:,} of {total:,}"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with its counts."""
        mentioned: tuple[str, ...] = ()
        if not self.in_scope:
            sentence = "nothing to judge, no appliance is in scope"
        elif self.breach:
            verb = "breaches its" if self.breach == 1 else "breach their"
            sentence = f"{self.breach:,} of {self.in_scope:,} in scope {verb} RPO"
            mentioned = ("unknown",)
        elif self.unknown:
            verb = "is" if self.unknown == 1 else "are"
            sentence = f"{self.unknown:,} of {self.in_scope:,} in scope {verb} unknown"
            mentioned = ("compliant",)
        elif self.in_scope == 1:
            sentence = "the one appliance in scope is inside its RPO"
        else:
            sentence = f"all {self.in_scope:,} in scope are inside their RPO"
        counts = [(getattr(self, state), state) for state in (*mentioned, "unobserved", "excluded")]
        return ", ".join([sentence, *(f"{number:,} {state}" for number, state in counts if number)])


def choose_tone(verdict: str, target: str, *, is_current: bool) -> str:
    """Return the state of appliances whose colour stands for both verdicts.

    It is that of the appliances now, or of a period that is over. If only the other one is bad,
    it is ``late``.

    Examples
    --------
    >>> choose_tone("compliant", "missed", is_current=True)
    'late'
    """
    of_target = {"met": "compliant", "missed": "breach", "unknown": "unknown"}
    states = [verdict, of_target[target]]
    first, second = states if is_current else reversed(states)
    return "late" if first == "compliant" != second else first


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """A figure of the period that has a target.

    Attributes
    ----------
    metric : str
        Its row of `backupkit.tables.METRICS`.
    label : str
        What the figure is a share of.
    ratio : Ratio
        The figure, with its target.
    state : str
        ``met``, ``missed``, or ``unknown`` if what could not be read decides.
    """

    metric: str
    label: str
    ratio: Ratio
    state: str

    def __str__(self) -> str:
        target = f"{self.ratio.target:.6%}".rstrip("%").rstrip("0").rstrip(".")
        return f"{self.ratio} {self.label} (target {target} %)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodVerdict:
    """The verdict on the targets of a fleet, a site or a group in the period.

    Attributes
    ----------
    targets : tuple of TargetResult
        The figures that have a target and data.
    appliances : Ratio
        Appliances that met all of their own targets, of those with data.

    Examples
    --------
    >>> ratio = Ratio(266, 744, "h", target=0.99)
    >>> time = TargetResult(
    ...     metric="rpo_strict_micro",
    ...     label="of the time inside the RPO",
    ...     ratio=ratio,
    ...     state="missed",
    ... )
    >>> verdict = PeriodVerdict(targets=(time,), appliances=Ratio(0, 1, "appliances"))
    >>> verdict.heading
    'TARGET MISSED'
    >>> verdict.sentence
    'target missed: 35.8 % (266 of 744 h) of the time inside the RPO (target 99 %)'
    """

    targets: tuple[TargetResult, ...] = ()
    appliances: Ratio = field(default_factory=lambda: Ratio(0, 0, "appliances"))

    @classmethod
    def of(cls, figures: pd.DataFrame) -> "PeriodVerdict":
        """Return the verdict on figures of `backupkit.tables.METRICS`."""
        rows = figures.to_dict("index")
        targets = tuple(
            TargetResult(
                metric=f"{name}_micro",
                label=label,
                ratio=build_ratio(rows[f"{name}_micro"]),
                state=str(rows[f"{name}_micro"]["target_state"]),
            )
            for name, label in TARGET_LABELS.items()
            if pd.notna(rows[f"{name}_micro"]["target_state"])
        )
        return cls(targets=targets, appliances=build_ratio(rows["appliances_target"]))

    @property
    def state(self) -> str:
        """The worst state of a target: missed, else unknown, else met. Unknown without data."""
        states = {target.state for target in self.targets}
        return next((state for state in TARGET_STATES if state in states), "unknown")

    @property
    def heading(self) -> str:
        """The verdict in capitals: TARGET MISSED, TARGET UNKNOWN or TARGET MET."""
        return f"TARGET {self.state.upper()}"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with the figures that decide it."""
        decisive = [str(target) for target in self.targets if target.state == self.state]
        reason = "; what could not be read decides" if self.state == "unknown" else ""
        return (
            f"target {self.state}: {', '.join(decisive)}{reason}"
            if decisive
            else "target unknown: there is nothing to judge in the period"
        )


def build_ratio(row: Mapping[Hashable, Any]) -> Ratio:
    """Return a row of `backupkit.tables.METRICS` as a ratio."""
    target = 1.0 if pd.isna(row["target"]) else row["target"]
    return Ratio(row["numerator"], row["denominator"], row["unit"], target)


def list_verdicts(states: pd.DataFrame, fleet: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return the verdicts on the fleet, each site and each group.

    Parameters
    ----------
    states : DataFrame
        By appliance: state, site and group.
    fleet, groups : DataFrame
        Of `backupkit.tables.METRICS` and ``GROUPS``.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.VERDICTS`, the fleet first.
    """
    rows = [_build_row("fleet", "", states["state"], fleet), *_build_rows(states, groups)]
    return VERDICTS.frame({name: [row[name] for row in rows] for name in VERDICTS.names})


def _build_rows(states: pd.DataFrame, groups: pd.DataFrame) -> Iterator[dict[str, object]]:
    for by in ("site", "group"):
        figures = groups[groups["property"] == by]
        for name, members in states.groupby(by)["state"]:
            own = figures[figures["name"] == name].set_index("metric")
            # without one that counts, there are no figures
            yield _build_row(by, str(name), members, own if len(own) else None)


def _build_row(
    by: str, name: str, states: pd.Series, figures: pd.DataFrame | None
) -> dict[str, object]:
    verdict = Verdict.of(states)
    period = PeriodVerdict() if figures is None else PeriodVerdict.of(figures)
    is_out_of_scope = by != "fleet" and not verdict.in_scope and not verdict.unobserved
    return {
        "property": by,
        "name": name,
        "target_state": None if is_out_of_scope else period.state,
        "state": "excluded" if is_out_of_scope else verdict.state,
        **{state: getattr(verdict, state) for state in STATES},
        "appliances_met": period.appliances.numerator,
        "appliances_judged": period.appliances.denominator,
        "reason": None if is_out_of_scope else period.sentence,
    }
