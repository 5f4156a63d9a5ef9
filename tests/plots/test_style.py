"""The style of figures."""

import sys

import matplotlib as mpl
import pandas as pd
import pytest

from backupkit.plots import themes, timeline
from backupkit.tables import JOBS
from tests.colours import contrast


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "colour",
    sorted(
        {
            *(status_style.colour for status_style in themes.OUTCOME_STYLES.values()),
            *(status_style.colour for status_style in themes.SLOT_STYLES.values()),
            *themes.CURVES,
        }
    ),
)
def test_colours_are_legible(colour: str, theme: str) -> None:
    """Every colour with a meaning has a contrast of at least 4.5 on its background."""
    active_theme = themes.THEMES[theme]
    assert contrast(active_theme.of(colour), active_theme.paper) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_legible(theme: str) -> None:
    """Every text has a contrast of at least 4.5 on its background."""
    active_theme = themes.THEMES[theme]
    assert (
        min(
            contrast(active_theme.ink, active_theme.paper),
            contrast(active_theme.muted, active_theme.paper),
        )
        >= 4.5
    )


def test_no_such_theme() -> None:
    """An unknown theme is an error that names the known ones."""
    with pytest.raises(ValueError, match='theme: "pink" must be one of light, dark'):
        timeline(JOBS.empty(), theme="pink")


def test_drawing_leaves_the_process_as_it_was() -> None:
    """Drawing changes no setting of matplotlib and does not import pyplot."""
    before = mpl.rcParams.copy()  # reading the backend would import pyplot
    timeline(
        JOBS.frame(
            {
                "appliance": ["vc-1"],
                "outcome": ["success"],
                "start_time": [pd.Timestamp("2026-11-08T01:00Z")],
            }
        )
    )
    assert mpl.rcParams.copy() == before
    assert "matplotlib.pyplot" not in sys.modules
