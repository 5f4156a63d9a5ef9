"""Mean exposure."""

import pandas as pd
import pytest

from backupkit.analysis import mean_exposure
from tests.builders import moment

Piece = tuple[str, str, str, str, str | None]


def pieces(*rows: Piece) -> pd.DataFrame:
    """Build segments from (appliance, state, start, end, recovery point)."""
    names, states, *times = zip(*rows, strict=True) if rows else ((),) * 5
    columns = {
        name: pd.Series([moment(text) for text in column], dtype="datetime64[us, UTC]")
        for name, column in zip(("start", "end", "point"), times, strict=True)
    }
    return pd.DataFrame(
        {
            "appliance": pd.Series(names, dtype="str"),
            "state": pd.Series(states, dtype="str"),
            **columns,
        }
    )


def mean(*rows: Piece) -> pd.DataFrame:
    """Return the mean exposure of a, b and c."""
    return mean_exposure(pieces(*rows), appliances=pd.Index(["a", "b", "c"], dtype="str"))


def test_it_is_weighted_by_time() -> None:
    """10 h from 2 to 12 h and 2 h from 1 to 3 h are (70 + 4) / 12 h, not the mean of 7 and 2."""
    got = mean(
        ("a", "compliant", "03T00:00", "03T10:00", "02T22:00"),
        ("a", "breach", "03T10:00", "03T12:00", "03T09:00"),
    )
    assert list(got.loc["a", ["exposure_integral", "exposed_time"]]) == [74, 12]
    assert got.loc["a", "mean_exposure"] == pd.Timedelta(hours=74) / 12
    assert got["mean_exposure"].isna().to_list() == [False, True, True]
    assert got.loc["b", "exposed_time"] == 0


def test_what_does_not_count() -> None:
    """Unknown and excluded time, and time without a recovery point, are in neither part."""
    got = mean(
        ("a", "unknown", "03T00:00", "03T06:00", "02T00:00"),
        ("a", "compliant", "03T06:00", "03T08:00", "03T06:00"),
        ("a", "excluded", "03T08:00", "04T00:00", "03T06:00"),
        ("b", "breach", "03T00:00", "04T00:00", None),
        ("b", "compliant", "04T00:00", "04T04:00", "04T00:00"),
        ("c", "breach", "03T00:00", "04T00:00", None),
    )
    expected = [pd.Timedelta(hours=1), pd.Timedelta(hours=2), pd.NaT]
    assert got["mean_exposure"].to_list() == expected


def test_exposure_is_never_negative() -> None:
    """Before its recovery point the exposure is 0: 1 h of 0, then 3 h from 0 to 3 h."""
    got = mean(("a", "compliant", "03T00:00", "03T04:00", "03T01:00"))
    assert list(got.loc["a", ["exposure_integral", "exposed_time"]]) == pytest.approx([4.5, 4])


def test_nothing() -> None:
    """Without a segment every mean is missing."""
    assert mean()["mean_exposure"].isna().all()
