"""Context of an assessment: the period, the policy, and the rules of each appliance."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import pandas as pd

from backupkit.analysis import Exclusions
from backupkit.errors import SettingsError
from backupkit.policy import Policy
from backupkit.settings import Instant, parse_duration, parse_instant

__all__ = ["Setting", "Times", "Turns"]

_PERIOD: Final = timedelta(days=30)
_EARLIEST: Final = pd.Timestamp("1980-01-01", tz="UTC")

Turns = list[tuple[pd.Timestamp | None, pd.DataFrame]]
"""The rules, each with its effective date; None for the first."""


@dataclass(frozen=True, slots=True)
class Times:
    """The period, half-open, and the time of the assessment [UTC]."""

    start: pd.Timestamp
    end: pd.Timestamp
    now: pd.Timestamp

    @classmethod
    def asked(
        cls,
        *,
        start: Instant | None,
        end: Instant | None,
        now: Instant | None,
        last: str | timedelta | None,
    ) -> "Times":
        """Resolve the options of `backupkit.evaluate`."""
        if start is not None and last is not None:
            raise SettingsError("start and last exclude each other: give one of them.")
        moment = pd.Timestamp.now("UTC") if now is None else parse_instant(now, where="now")
        until = min(moment, moment if end is None else parse_instant(end, where="end"))
        if start is None:
            length = _PERIOD if last is None else last
            span = parse_duration(length, where="last") if isinstance(length, str) else length
            start = until - span
        return cls.checked(start=start, end=until, now=moment)

    @classmethod
    def checked(cls, *, start: Instant, end: Instant, now: Instant) -> "Times":
        """Parse and validate the times of `backupkit.evaluate_frames`."""
        moment = parse_instant(now, where="now")
        begin, until = parse_instant(start, where="start"), parse_instant(end, where="end")
        until = min(until, moment)
        if not _EARLIEST <= begin < until:
            raise SettingsError(
                f"start: the period must begin in 1980 or later and before its end, got {begin} "
                f"to {until}; for example: start 2026-11-02T00:00:00Z, end 2026-11-09T00:00:00Z."
            )
        return cls(begin, until, moment)


@dataclass(frozen=True)
class Setting:
    """Context of an assessment of some appliances.

    Attributes
    ----------
    policy : Policy
        The policy.
    times : Times
        The period and the time of the assessment.
    turns : list of (Timestamp or None, DataFrame)
        Result of `Policy.rules` for each part of the period, with its effective date.
    listed : DataFrame
        Result of `Policy.excluded`.
    as_if : bool
        Whether the policy of `now` applies to all of the past.
    """

    policy: Policy
    times: Times
    turns: Turns
    listed: pd.DataFrame
    as_if: bool

    @classmethod
    def of(cls, policy: Policy, names: Iterable[str], times: Times, *, as_if: bool) -> "Setting":
        """Resolve a policy for its members and the appliances in the data."""
        known = sorted(names)
        moments = [None, *(turn for turn in policy.turns if turn < times.end)]
        turns: Turns = (
            [(None, policy.at(times.now).rules(known))]
            if as_if
            else [(moment, policy.at(moment).rules(known)) for moment in moments]
        )
        return cls(policy, times, turns, policy.excluded(known), as_if)

    def only(self, appliances: pd.Index) -> "Setting":
        """Return the setting of some of the appliances."""
        turns = [(moment, rules.loc[rules.index.isin(appliances)]) for moment, rules in self.turns]
        listed = self.listed[self.listed["appliance"].isin(appliances)]
        return Setting(self.policy, self.times, turns, listed, self.as_if)

    @property
    def rules(self) -> pd.DataFrame:
        """The rules at the period's end, by appliance."""
        return self.turns[-1][1]

    @cached_property
    def excluded(self) -> Exclusions:
        """The dated exclusions."""
        return Exclusions.of(self.listed, self.rules.index)

    @property
    def policy_of_plans(self) -> Policy:
        """The policy that sets the schedules of appliances whose API does not report one."""
        return self.policy.at(self.times.now) if self.as_if else self.policy
