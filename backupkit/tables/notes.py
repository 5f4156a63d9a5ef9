"""Note of an operator about an appliance: what was done, by whom, by which ticket."""

from dataclasses import dataclass
from datetime import datetime

__all__ = ["Note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Note of an operator. Its texts are untrusted, as those of appliances.

    Attributes
    ----------
    appliance : str
        The appliance.
    at : datetime
        Time that it is about [UTC]. An incident that was open then is the one it belongs to.
    by : str
        Who wrote it.
    ticket : str
        Number of a ticket or a change; "" if there is none.
    text : str
        What was found or done.
    added_at : datetime
        When it was added [UTC].
    number : int
        Its number in the history; 0 before it is stored.
    withdrawn_at : datetime or None
        When it was withdrawn [UTC]; it is kept.
    withdrawn_by : str
        Who withdrew it; "" while it is valid.
    """

    appliance: str
    at: datetime
    by: str
    ticket: str
    text: str
    added_at: datetime
    number: int = 0
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""
