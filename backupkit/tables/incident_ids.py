"""Ids of incidents: the appliance and the onset, so that they need no register."""

from datetime import UTC, datetime

__all__ = ["format_incident_id", "parse_incident_id"]

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def format_incident_id(appliance: str, onset: datetime) -> str:
    """Return the id of an incident: its appliance, and its onset to the second.

    Parameters
    ----------
    appliance : str
        The appliance.
    onset : datetime
        When the incident began [UTC].

    Returns
    -------
    str
        The same in each report, as long as the jobs and slots of that time are the same.

    Examples
    --------
    >>> format_incident_id("vc-1", datetime(2026, 11, 6, 1, 5, tzinfo=UTC))
    'vc-1/2026-11-06T01:05:00Z'
    """
    return f"{appliance}/{onset.astimezone(UTC).strftime(_FORM)}"


def parse_incident_id(text: str) -> tuple[str, datetime]:
    """Return the appliance and the onset [UTC] of an id.

    Raises
    ------
    ValueError
        If the text is no id.

    Examples
    --------
    >>> appliance, onset = parse_incident_id("site/vc-1/2026-11-06T01:05:00Z")
    >>> appliance, onset.isoformat()
    ('site/vc-1', '2026-11-06T01:05:00+00:00')
    """
    appliance, _, onset = text.strip().rpartition("/")
    if not appliance:
        raise ValueError("an id has an appliance and a time")
    return appliance, datetime.strptime(onset, _FORM).replace(tzinfo=UTC)
