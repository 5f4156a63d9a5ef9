"""Axes of time."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from backupkit.errors import SettingsError
from backupkit.plots.time_axis import format_time_axis, to_span

START = pd.Timestamp("2026-10-25T23:30Z")


@pytest.mark.parametrize(
    "span",
    [
        *("20min", "1h", "2h", "3h", "5h", "9h", "13h", "20h", "26h", "36h", "50h", "60h", "71h"),
        *("3D", "4D", "5D", "7D", "10D", "13D", "16D", "20D", "27D", "31D", "45D", "59D", "70D"),
        *("90D", "110D", "150D", "200D", "300D", "380D", "500D", "800D", "1200D"),
    ],
)
def test_three_ticks(span: str) -> None:
    """A period of any length has three to sixteen ticks."""
    ax = Figure().subplots()
    end = START + pd.Timedelta(span)
    format_time_axis(ax, START, end)
    ticks = np.asarray(ax.get_xticks())
    inside = (ticks >= date2num(START)) & (ticks <= date2num(end))
    assert 3 <= inside.sum() <= 16


def test_no_duration() -> None:
    """A length of time that cannot be read is named, with examples."""
    with pytest.raises(SettingsError, match='last: "3x" is not a duration'):
        to_span("3x")
    with pytest.raises(SettingsError, match=r'last: "999999999999d" is too long: at most \d+d'):
        to_span("999999999999d")
