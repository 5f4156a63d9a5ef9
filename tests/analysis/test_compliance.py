"""Ratios and the metrics of a fleet."""

from typing import Any

import pandas as pd
import pytest

from backupkit.analysis import (
    coverage_ratio,
    fleet_metrics,
    group_metrics,
    ratio,
    ratios,
    target_state,
)
from backupkit.tables import SLOT_STATES

WEEK_AGO = pd.Timestamp("2026-11-02T00:00Z")
COUNTS = (
    "attempts",
    "attempts_ok",
    "first_attempts",
    "first_attempts_ok",
    "days",
    "days_missed",
    "window_runs",
    "window_ok",
    "duration_runs",
    "duration_ok",
    "incidents",
    "incidents_closed",
)


def facts(*rows: dict[str, Any]) -> pd.DataFrame:
    """Build the facts of some appliances; the default of each is 0."""
    columns: dict[str, pd.Series] = {
        "state": pd.Series([row.get("state", "compliant") for row in rows], dtype="str")
    }
    for name in ("compliant", "breach", "unknown", "restore_time", "incident_free"):
        spent = [pd.Timedelta(hours=row.get(name, 0)) for row in rows]
        columns[name] = pd.Series(spent, dtype="timedelta64[us]")
    for name in (*COUNTS, *(f"slots_{state}" for state in SLOT_STATES)):
        columns[name] = pd.Series([row.get(name, 0) for row in rows], dtype="Int64")
    exposed = ("exposure_integral", "exposed_time")
    for name in ("rpo_allowed", "window_allowed", "duration_allowed"):
        columns[name] = pd.Series([row.get(name, 0) for row in rows], dtype="Float64")
    for name in ("allowed", "missed_24h", "allowed_24h", "missed_7d", "allowed_7d", *exposed):
        columns[name] = pd.Series([row.get(name, 0) for row in rows], dtype="Float64")
    for name in ("site", "group", "exclude"):
        columns[name] = pd.Series([row.get(name) for row in rows], dtype="str")
    for name in ("last_success_end", "last_ok"):
        moments = pd.Series([row.get(name) for row in rows], dtype="datetime64[us, UTC]")
        columns[name] = moments
    columns["lookback_from"] = pd.Series([WEEK_AGO] * len(rows), dtype="datetime64[us, UTC]")
    columns["read"] = columns["last_ok"] >= columns["lookback_from"]
    columns["configured"] = pd.Series([row.get("configured", True) for row in rows], dtype="bool")
    table = pd.DataFrame(columns)
    return table.join(ratios(table)).assign(target_state=target_state(table))


def test_ratio_of_nothing() -> None:
    """A ratio with the denominator 0 is missing, neither 0 nor 1."""
    assert ratio(pd.Series([0]), pd.Series([0])).isna().all()


def test_strict_and_observed() -> None:
    """Unknown slots are only in the strict denominator; pending and excluded ones are in none."""
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
    """Coverage is observed time divided by time in scope."""
    row = coverage_ratio(facts({"compliant": 6, "breach": 2, "unknown": 2})).loc[0]
    assert row["observed"] == pd.Timedelta(hours=8)
    assert row["in_scope"] == pd.Timedelta(hours=10)
    assert row["ratio"] == 0.8


class TestFleetMetrics:
    """Micro, macro and the number of appliances."""

    def test_micro_and_macro(self) -> None:
        """Example P: 30 of 30 and 2 of 4 are 32/34 together, and 0.75 on average."""
        nightly = {"slots_met": 30, "attempts": 30, "attempts_ok": 30}
        weekly = {"slots_met": 2, "slots_missed_norun": 2, "attempts": 2, "attempts_ok": 2}
        got = fleet_metrics(facts(nightly, weekly, {}))
        assert got.loc["slot_strict_micro", "value"] == pytest.approx(32 / 34)
        assert list(got.loc["slot_strict_macro", ["value", "denominator"]]) == [0.75, 2]
        assert list(got.loc["attempts_macro", ["numerator", "denominator"]]) == [2, 2]
        assert got.loc["slot_strict_micro", "unit"] == "slots"

    def test_macro_of_runs(self) -> None:
        """2 of 8 and 1 of 1 are 3/9 together and 0.625 on average, without the third appliance."""
        busy = {"slots_met": 2, "slots_late": 2, "slots_missed_norun": 2, "slots_unknown": 2}
        calm = {"slots_rescued": 1}
        for name in ("first_attempts", "window_runs", "duration_runs"):
            busy |= {name: 8, name.removesuffix("_runs") + "_ok": 2}
            calm |= {name: 1, name.removesuffix("_runs") + "_ok": 1}
        rows = facts(busy, calm, {})
        rows.loc[2, ["window_runs", "window_ok", "duration_runs", "duration_ok"]] = pd.NA
        got = fleet_metrics(rows)
        for name in ("on_time_strict", "first_attempts", "window", "duration"):
            assert list(got.loc[f"{name}_micro", ["numerator", "denominator"]]) == [3, 9], name
            assert list(got.loc[f"{name}_macro", ["value", "denominator"]]) == [0.625, 2], name
            assert got.loc[f"{name}_macro", "unit"] == "appliances"
        # without the unknown slots 2 of 6 and 1 of 1
        assert got.loc["on_time_observed_micro", "value"] == pytest.approx(3 / 7)
        assert got.loc["on_time_observed_macro", "value"] == pytest.approx((2 / 6 + 1) / 2)

    def test_appliances(self) -> None:
        """Example P: 6 compliant, 2 in breach and 1 unknown of 9 in scope."""
        states = ["compliant"] * 6 + ["breach"] * 2 + ["unknown", "excluded", "unobserved"]
        got = fleet_metrics(facts(*({"state": state} for state in states)))
        names = ["appliances_strict", "appliances_observed", "coverage_appliances"]
        assert list(got.loc[names, "value"]) == pytest.approx([6 / 9, 6 / 8, 8 / 9])

    def test_empty_fleet(self) -> None:
        """An empty fleet has denominators of 0 and no values."""
        got = fleet_metrics(facts())
        assert got["value"].isna().all()
        assert (got["denominator"] == 0).all()
        assert group_metrics(facts()).empty

    def test_budget(self) -> None:
        """Example Q: 45 of 60 allowed misses are 75 %, with 9 unknown 90 %."""
        share = {"slots_met": 5_946, "slots_missed_norun": 40, "slots_missed_failed": 5}
        day = {"allowed": 60, "missed_24h": 8, "allowed_24h": 2, "missed_7d": 7, "allowed_7d": 14}
        got = fleet_metrics(facts(share | day | {"slots_unknown": 9}))["value"]
        assert got["error_budget"] == 0.75
        assert got["error_budget_strict"] == 0.9
        assert (got["burn_rate_24h"], got["burn_rate_7d"]) == (4, 0.5)

    def test_means(self) -> None:
        """A, B and C: 5.25 h in 1 closed incident, 427.833 h in 2, and the mean of all hours."""
        a = {"incident_free": 168, "exposure_integral": 2072, "exposed_time": 168}
        b = {"incident_free": 162.75, "incidents": 1, "incidents_closed": 1, "restore_time": 5.25}
        c = {"incident_free": 97 + 1 / 12, "incidents": 1, "exposed_time": 42}
        got = fleet_metrics(facts(a, b, c))
        assert list(got.loc["mttr", ["numerator", "denominator"]]) == [5.25, 1]
        assert got.loc["mtbf", "value"] == pytest.approx(213 + 11 / 12)
        assert got.loc["mtbf", "unit"] == "h per incident"
        assert list(got.loc["mean_exposure", ["numerator", "denominator"]]) == [2072, 210]
        quiet = fleet_metrics(facts(a)).loc["mtbf"]
        assert pd.isna(quiet["value"])
        assert list(quiet[["numerator", "denominator"]]) == [168, 0]

    def test_lookback_and_polled(self) -> None:
        """The lookback counts recent successes, and coverage_polled the appliances read."""
        hour = pd.Timedelta(hours=1)
        got = fleet_metrics(
            facts(
                {"last_success_end": WEEK_AGO, "last_ok": WEEK_AGO},
                {"last_success_end": WEEK_AGO - hour, "last_ok": WEEK_AGO - hour},
                {"state": "breach"},
                {"state": "excluded", "last_success_end": WEEK_AGO, "configured": False},
            )
        )
        columns = ["numerator", "denominator"]
        assert list(got.loc["appliances_lookback", columns]) == [1, 3]
        assert list(got.loc["coverage_polled", columns]) == [1, 3]


def test_groups() -> None:
    """Each site and each group has its own metrics."""
    got = group_metrics(
        facts(
            {"site": "Oslo", "group": "test", "slots_met": 3},
            {"site": "Oslo", "slots_missed_norun": 1},
            {"site": "Bergen", "group": "test", "state": "breach"},
            {"state": "unknown"},
        )
    )
    strict = got[got["metric"] == "appliances_strict"].set_index(["property", "name"])
    assert strict["numerator"].to_dict() == {
        ("site", "Bergen"): 0,
        ("site", "Oslo"): 2,
        ("group", "test"): 1,
    }
    slots = got[got["metric"] == "slot_strict_micro"].set_index("name")["value"]
    assert slots["Oslo"] == 0.75
    assert pd.isna(slots["Bergen"])
