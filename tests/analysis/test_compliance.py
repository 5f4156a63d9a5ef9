"""Ratios and the figures of a fleet."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import coverage_ratio, fleet_metrics, ratio, ratios
from backupkit.tables import SLOT_STATES


def facts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Build the facts of some appliances; what is not given is 0."""
    columns: dict[str, pd.Series] = {
        "state": pd.Series([row.get("state", "compliant") for row in rows], dtype="str")
    }
    for name in ("compliant", "breach", "unknown"):
        spent = [pd.Timedelta(hours=row.get(name, 0)) for row in rows]
        columns[name] = pd.Series(spent, dtype="timedelta64[us]")
    for name in ("attempts", "attempts_ok", *(f"slots_{state}" for state in SLOT_STATES)):
        columns[name] = pd.Series([row.get(name, 0) for row in rows], dtype="Int64")
    table = pd.DataFrame(columns)
    return table.join(ratios(table))


def test_ratio_of_nothing() -> None:
    """A ratio without a denominator is missing, neither 0 nor 1."""
    assert ratio(pd.Series([0]), pd.Series([0])).isna().all()


def test_strict_and_observed() -> None:
    """Unknown stays in the strict denominator only; pending and excluded are in none."""
    row = facts(
        {
            "compliant": 6,
            "breach": 2,
            "unknown": 2,
            "slots_met": 1,
            "slots_rescued": 1,
            "slots_late": 1,
            "slots_missed_failed": 1,
            "slots_missed_norun": 1,
            "slots_missed_overrun": 1,
            "slots_unknown": 4,
            "slots_pending": 9,
            "slots_excluded": 9,
        }
    ).loc[0]
    assert list(row[["rpo_strict", "rpo_observed"]]) == [0.6, 0.75]
    assert list(row[["slot_strict", "slot_observed"]]) == [0.3, 0.5]


def test_coverage() -> None:
    """Coverage is observed over in-scope time."""
    row = coverage_ratio(facts({"compliant": 6, "breach": 2, "unknown": 2})).loc[0]
    assert row["observed"] == pd.Timedelta(hours=8)
    assert row["in_scope"] == pd.Timedelta(hours=10)
    assert row["ratio"] == 0.8


class TestFleetMetrics:
    """Micro, macro and the count of appliances."""

    def test_micro_and_macro(self) -> None:
        """P: 30 of 30 and 2 of 4 are 32/34 together, and 0.75 on average."""
        nightly = {"slots_met": 30, "attempts": 30, "attempts_ok": 30}
        weekly = {"slots_met": 2, "slots_missed_norun": 2, "attempts": 2, "attempts_ok": 2}
        got = fleet_metrics(facts(nightly, weekly, {}))
        assert got.loc["slot_strict_micro", "value"] == pytest.approx(32 / 34)
        assert list(got.loc["slot_strict_macro", ["value", "denominator"]]) == [0.75, 2]
        assert list(got.loc["attempts_macro", ["numerator", "denominator"]]) == [2, 2]
        assert got.loc["slot_strict_micro", "unit"] == "slots"

    def test_appliances(self) -> None:
        """P: 6 compliant, 2 in breach, 1 unknown of 9 in scope; others are out of it."""
        states = ["compliant"] * 6 + ["breach"] * 2 + ["unknown", "excluded", "unobserved"]
        got = fleet_metrics(facts(*({"state": state} for state in states)))
        names = ["appliances_strict", "appliances_observed", "coverage_appliances"]
        assert list(got.loc[names, "value"]) == pytest.approx([6 / 9, 6 / 8, 8 / 9])

    def test_nobody(self) -> None:
        """A fleet of none has no figures, and fractions of nothing."""
        got = fleet_metrics(facts())
        assert got["value"].isna().all()
        assert (got["denominator"] == 0).all()
