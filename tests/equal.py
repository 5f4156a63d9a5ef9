"""Comparison of two assessments."""

from collections.abc import Collection

from pandas.testing import assert_frame_equal

from backupkit import Assessment
from backupkit.assessment.merged import FRAMES

VALUES = ("start", "end", "now", "timezone", "policy", "as_if", "version")
VERDICTS = ("verdict", "period_verdict")


def assert_equal(one: Assessment, other: Assessment, *, but: Collection[str] = ()) -> None:
    """Check that two assessments are equal in all values and frames, but for some."""
    for name in (*VALUES, *VERDICTS):
        if name not in but:
            assert getattr(one, name) == getattr(other, name), name
    for name in FRAMES:
        if name not in but:
            assert_frame_equal(getattr(one, name), getattr(other, name), obj=name)
