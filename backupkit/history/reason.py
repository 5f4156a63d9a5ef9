"""What Delta Lake, Arrow and the system say of a failure, as words for a sentence."""

import re
from typing import Final

from backupkit.errors import one_line

__all__ = ["reason"]

_COLOUR: Final = re.compile(r"\x1b\[[\d;]*m")
_STEP: Final = re.compile(r"\s*\n\s*↳ ")
_REQUEST: Final = re.compile(
    r"Error performing [A-Z]+ (?P<url>\S+) in .*? - "
    r"(?:HTTP error|Server returned non-2xx status code): "
    r"(?:error sending request: )?(?:client error \(\w+\): )?(?P<told>.*)",
    re.DOTALL,
)
_TOLD: Final = re.compile(r"<(Code|Message)>([^<]*)<")
_LONGEST: Final = 400
_OWN_ROLE: Final = "http://169.254.169.254/"  # where a machine in a cloud is told its own keys


def reason(error: Exception) -> str:
    r"""Say on one line why something failed; no key and no signature is in it.

    Parameters
    ----------
    error : Exception
        What Delta Lake, Arrow or the system raised.

    Returns
    -------
    str
        Without a full stop. Of a refused request it is the status, the code and the message of
        the answer, and the address.

    Examples
    --------
    >>> reason(
    ...     OSError(
    ...         "Generic S3 error\n  ↳ Error performing GET http://s3/a?b=c in 1ms - "
    ...         "HTTP error\n  ↳ error sending request\n  ↳ operation timed out"
    ...     )
    ... )
    'operation timed out (http://s3/a)'
    """
    text = _STEP.sub(": ", _COLOUR.sub("", str(error)))
    found = _REQUEST.search(text)
    if found is None:
        plain = one_line(text.removeprefix("Kernel error -> "))
        return plain.rstrip(".") or type(error).__name__
    # an answer may hold what was signed, and an address a signature: only what is known is told
    status, _, body = found["told"].partition(": <")
    told = dict(_TOLD.findall(f"<{body}"))
    words = [status, *(told[name].strip() for name in ("Code", "Message") if name in told)]
    address = re.sub(r"//[^/@]*@", "//", found["url"].partition("?")[0])
    if address.startswith(_OWN_ROLE):
        words.insert(0, "no keys are given, and this machine has no role of its own")
    shown = "" if address == "REDACTED" else f" ({address})"
    return one_line(": ".join(words).strip(" .\n") + shown, limit=_LONGEST)
