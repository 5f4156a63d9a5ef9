"""Formatting of durations."""

from datetime import timedelta

__all__ = ["format_duration"]


def format_duration(span: timedelta) -> str:
    """Format a duration in hours, minutes and seconds.

    Examples
    --------
    >>> format_duration(timedelta(minutes=90))
    '1 h 30 min'
    """
    minutes, seconds = divmod(span.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours} h"] if hours else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{seconds:g} s"] if seconds else []
    return " ".join(parts) or "0 h"
