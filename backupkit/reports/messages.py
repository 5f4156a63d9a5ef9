"""Text of the messages of a job."""

import numpy as np

__all__ = ["messages_text"]


def messages_text(messages: object) -> str:
    """Join the messages of a job, each in its most readable form.

    Parameters
    ----------
    messages : list of dict, or missing
        A cell of the column ``messages`` of `backupkit.tables.JOBS`.

    Returns
    -------
    str
        One line per message; "" without any.

    Examples
    --------
    >>> messages_text([{"id": "a.b", "default_message": "Disk full", "localized": None}])
    'Disk full'
    """
    if not isinstance(messages, list | np.ndarray):  # pandas returns either type
        return ""
    texts = (
        message.get("localized") or message.get("default_message") or message.get("id") or ""
        for message in messages
        if isinstance(message, dict)
    )
    return "\n".join(text for text in texts if text)
