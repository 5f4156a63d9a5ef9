"""Signatures: what similar messages share, without names, times and counts."""

import re
from collections.abc import Iterable
from typing import Final

from backupkit.causes import MAX_SEARCHED_LENGTH

__all__ = ["NO_MESSAGE", "signature_of"]

NO_MESSAGE: Final = "(no message)"
"""The signature of a failed job without a message."""

_MAX_SIGNATURE_LENGTH: Final = 300  # characters of a signature
_MAX_ARGS: Final = 10  # args that are replaced
_MAX_ARG_LENGTH: Final = 60  # a longer arg is a sentence and is kept

_HOST_NAME: Final = (  # at least two dots, and not the name of a Java class or a message
    r"(?<![\w.@-])(?!(?:com|org|net|java|javax|python|vmware)\.)"
    r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}\.[a-z]{2,24}(?::\d{1,5})?(?![\w-])"
)

# Each pattern is linear: no nested repetition, bounded lengths where a prefix repeats. A pattern
# is only tried on a text with one of its signs.
_PLACEHOLDERS: Final = tuple(
    (signs, re.compile(pattern, re.IGNORECASE), placeholder)
    for signs, pattern, placeholder in (
        (("://",), r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>,;)]+", "<uri>"),
        (("-",), r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<id>"),
        (
            (":",),
            r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?",
            "<time>",
        ),
        (("-",), r"\b\d{8}-\d{6}(?:-\d{1,12})?\b", "<id>"),
        (("@",), r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}", "<user>"),
        (("\\",), r"(?<![\w/<>\\])[a-z]:\\[^\s'\",;]+|\\\\[^\s'\",;]+", "<path>"),
        (("/",), r"(?<![\w/<>])/[\w.@%+~:/-]{2,}(?<![.:])", "<path>"),
        ((".",), r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![\w.]\d)", "<host>"),
        ((":",), r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}(?![\w:])", "<host>"),
        ((".",), _HOST_NAME, "<host>"),
        (
            tuple("0123456789"),
            r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b",
            "<id>",
        ),
        (("'",), r"(?<!\w)'[^'<>]{1,120}'(?!\w)", "'<name>'"),
        (('"',), r'(?<!\w)"[^"<>]{1,120}"(?!\w)', '"<name>"'),
        (tuple("0123456789"), r"(?<![\w<])[+-]?\d+(?:[.,:]\d+)*", "<n>"),
    )
)
_PLACEHOLDER_NAMES: Final = frozenset(placeholder for _, _, placeholder in _PLACEHOLDERS)

_CODE: Final = re.compile(  # the number of an error distinguishes causes
    r"(?<![\w/.@-])(?:curl(?: error)?|(?:mount )?error(?: code| number)?|errno|err|code|rc"
    r"|(?:exit )?status|returncode|HTTP(?:/\d(?:\.\d)?)?|SQLSTATE|reply|upload|response)"
    r"[ :=#(\[]{0,3}(?:is |was )?(-?\d{1,5}|0x[0-9a-f]{1,8})(?![\w%]|[.,:/]\d"
    r"| (?:[kmgt]i?)?b(?:ytes?)?\b| (?:of|%|files?|parts?|items?|jobs?|times|retries|errors?)\b"
    r"| (?:ms|s|secs?|seconds?|min|minutes?|h|hours?|days?)\b)",
    re.IGNORECASE,
)
_REPLY: Final = re.compile(  # a status of HTTP or FTP before its words, and a pair of libssh2
    r"(?<![\w.,:/-])([45]\d\d)(?= (?:Bad|Unauthorized|Forbidden|Not |No |Method|Proxy|Request"
    r"|Conflict|Gone|Length|Precondition|Payload|Content|URI|Too |Internal|Service|Server|Gateway"
    r"|Insufficient|Login|Permission|Policy|User|Can|Could|Failed|Client|Disk|Quota|Access))"
    r"|\((\d{1,3}/-\d{1,3})\)"
)
_COMPONENT: Final = re.compile(
    r"\b(?:component|service|plugin|module|process)s?\b:? {0,2}"
    r"('[a-z][a-z_-]{1,40}'|\"[a-z][a-z_-]{1,40}\"|[a-z][a-z_-]{1,40}(?![\w.@/:\\-]))",
    re.IGNORECASE,
)
_COMPONENTS: Final = frozenset(  # names of components and services of an appliance
    (
        *("analytics", "applmgmt", "certificateauthority", "certificatemanagement"),
        *("content-library", "eam", "envoy", "hvc", "imagebuilder", "infraprofile", "lookupsvc"),
        *("lotus", "mbcs", "netdumper", "observability", "perfcharts", "pschealth", "rbd"),
        *("rhttpproxy", "sca", "seat", "sps", "statsmonitor", "sts", "topologysvc"),
        *("trustmanagement", "updatemgr", "vapi-endpoint", "vcdb", "vcha", "vlcm", "vmafd"),
        *("vmcad", "vmdir", "vmon", "vpostgres", "vpxd", "vpxd-svcs", "vsan-health", "vsm"),
        *("vsphere-ui", "vstats", "vtsdb", "vum", "wcp"),
    )
)
# A kept character is moved to this private area, where no other pattern sees it.
_AREA: Final = 0xF0000
_WHITESPACE: Final = re.compile("[\\s\x00-\x1f\x7f-\x9f\U000f0000-\U000f00ff]+")
_HIDDEN: Final = {number: _AREA + number for number in range(128)}
_SHOWN: Final = {_AREA + number: number for number in range(128)}


def signature_of(text: str, args: Iterable[str] = ()) -> str:
    """Replace the parts of a message that differ from job to job.

    Numbers of errors, exit codes, statuses and the names of components stay, because they tell
    one cause from another.

    Parameters
    ----------
    text : str
        The message; only its first 4,000 characters are read.
    args : iterable of str
        The values that the appliance inserted into the text.

    Returns
    -------
    str
        The text with ``<uri>``, ``<path>``, ``<host>``, ``<user>``, ``<id>``, ``<time>``,
        ``<name>``, ``<n>`` and ``<arg>`` in place of numbers and names, at most 300 characters.

    Examples
    --------
    >>> signature_of("Error 28 writing /backup/vc-1/db.gz on sftp://nas.example.com:22/vc")
    'Error 28 writing <path> on <uri>'
    >>> signature_of("Component wcp failed on nas-1 after 12.5 s.", args=["wcp", "nas-1"])
    'Component wcp failed on <arg> after <n> s.'
    """
    plain = _WHITESPACE.sub(" ", text[:MAX_SEARCHED_LENGTH]).strip()
    for pattern in (_CODE, _REPLY, _COMPONENT):
        plain = pattern.sub(_hide_groups, plain)
    for arg in sorted(set(_list_short_args(args)), key=lambda name: (-len(name), name)):
        replaced = _insert_placeholders(arg)
        placeholder = replaced if replaced in _PLACEHOLDER_NAMES else "<arg>"
        plain = re.sub(rf"(?<![\w<]){re.escape(arg)}(?![\w>])", placeholder, plain)
    shown = _insert_placeholders(plain).translate(_SHOWN)
    return shown[:_MAX_SIGNATURE_LENGTH] or NO_MESSAGE


def _hide_groups(found: re.Match[str]) -> str:
    """Return a match with its one group in the private area."""
    number = found.lastindex or 0
    begin, end = found.span(number)
    text, offset = found[0], found.start()
    return text[: begin - offset] + found[number].translate(_HIDDEN) + text[end - offset :]


def _list_short_args(args: Iterable[str]) -> list[str]:
    """Return the args that are names, not sentences, single letters or components."""
    given = [
        _WHITESPACE.sub(" ", arg).strip() for arg, _ in zip(args, range(_MAX_ARGS), strict=False)
    ]
    return [
        arg
        for arg in given
        if 1 < len(arg) <= _MAX_ARG_LENGTH
        and arg.count(" ") <= 1
        and arg.casefold() not in _COMPONENTS
    ]


def _insert_placeholders(text: str) -> str:
    for signs, pattern, placeholder in _PLACEHOLDERS:
        if any(sign in text for sign in signs):
            text = pattern.sub(placeholder, text)
    return text
