"""The selection as a value."""

import pandas as pd
import pytest

from backupkit.errors import SettingsError
from backupkit.widgets import Selection

NOW = pd.Timestamp("2026-11-09T00:00Z")


class TestSelection:
    """`Selection`."""

    def test_lists_become_tuples(self) -> None:
        """Lists of texts become tuples, and equal selections are equal."""
        assert Selection(appliances=["a"], outcomes=["failure"]) == Selection(  # type: ignore[arg-type] # what a user would write
            appliances=("a",), outcomes=("failure",)
        )

    def test_one_text_is_not_several(self) -> None:
        """One text in place of several is an error that shows the right form."""
        with pytest.raises(TypeError, match=r'sites must be several texts, such as \("ham",\)'):
            Selection(sites="ham")  # type: ignore[arg-type] # the mistake

    def test_period_of_its_own(self) -> None:
        """Start and end may be text, and the end is never later than now."""
        own = Selection(start="2026-11-02T00:00:00Z", end="2026-12-24T00:00:00Z")
        assert own.period(NOW) == (pd.Timestamp("2026-11-02", tz="UTC"), NOW)

    def test_last_up_to_an_end(self) -> None:
        """Without a start, `last` counts back from the end."""
        start, end = Selection(last="24h", end="2026-11-03T00:00:00Z").period(NOW)
        assert (end - start, end) == (pd.Timedelta(hours=24), pd.Timestamp("2026-11-03", tz="UTC"))

    def test_empty_period(self) -> None:
        """A period that ends before it begins is an error."""
        with pytest.raises(SettingsError, match="empty"):
            Selection(start="2026-11-10T00:00:00Z").period(NOW)

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"states": ("broken",)}, "no such state: broken; there are: compliant, "),
            ({"outcomes": ("failed", "failure")}, "no such outcome: failed; there are: success, "),
        ],
    )
    def test_unknown_words(self, wrong: dict[str, tuple[str, ...]], why: str) -> None:
        """A state or an outcome that does not exist is an error that names all."""
        with pytest.raises(ValueError, match=why):
            Selection(**wrong)  # type: ignore[arg-type] # lists only
