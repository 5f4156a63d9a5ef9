"""Names and texts in which nothing is left of what somebody called something."""

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["Aliases"]

_DIGEST: Final = 5  # bytes: 8 characters; two of 2,000 names are alike once in half a million
_SHORT: Final = 3  # characters; a shorter name is a word of any text
_LONG: Final = 200  # characters; no text of ours quotes a longer name whole
_NAMES: Final = 60  # characters; a longer arg of a message is a sentence
_KEPT: Final = frozenset({"default", "policy"})  # what the appliances call a schedule themselves
_ORDINARY: Final = frozenset(  # words of any report: who is called so is not told by them
    {
        *("admin", "administrator", "root", "user", "host", "vcenter", "vcsa"),
        *("appliance", "appliances", "group", "groups", "site", "sites", "policy", "schedule"),
        *("backup", "backups", "job", "jobs", "run", "runs", "scheduled", "manual"),
        *("daily", "weekly", "monthly", "nightly", "default", "disabled"),
        *("failed", "failure", "failures", "succeeded", "success"),
        *("breach", "compliant", "excluded", "unknown"),
    }
)
_NUMBER: Final = re.compile(r"[\d.,:%+-]*")
_CUT: Final = re.compile(r"\S*…\s*$")
_HELD: Final = re.compile("\ue000(\\d+)\ue001")  # the place of an arg; no text has these two
_AUTHORITY: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,15}://)(?:(?P<user>[^/?#\s]*)@)?"
    r"(?P<host>\[[^\]/]*\]|[^/?#:\s]*)(?P<port>:\d{1,5}(?![^/?#]))?(?P<path>.*)",
    re.IGNORECASE | re.DOTALL,
)

# Each is linear: no repetition inside a repetition, lengths bounded where a prefix repeats.
_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_CODE: Final = r"(?:com|org|net|java|javax|python|vmware)\."  # of a class or of a message
_PATTERNS: Final = (
    ("uri", r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>,;)]+"),
    ("user", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"),
    ("user", r"\b(?<=user )(?!name\b)[\w.\\+-]{3,64}|\b(?<=username )[\w.\\+-]{3,64}"),
    ("path", r"(?<![\w/<>\\])[a-z]:\\[^\s'\",;]+|\\\\[^\s'\",;]+"),
    ("path", r"(?<![\w/<>])/[\w.@%+~:/-]{2,}(?<![.:,])"),
    ("host", r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)"),
    (
        "host",
        r"(?<![\w:.])(?=[0-9a-f:]*(?:::|(?::[0-9a-f]{1,4}){7}))[0-9a-f:]{3,39}(?![\w:])",
    ),
    (
        "host",
        rf"(?<![\w.@-])(?!{_CODE}){_LABEL}(?:\.{_LABEL}){{1,8}}\.[^\W\d_]{{2,24}}(?![\w-])",
    ),
    ("quoted", r"(?<!\w)'[^'<>\n]{1,120}(?:'(?!\w)|…|$)"),
    ("quoted", r'(?<!\w)"[^"<>\n]{1,120}(?:"(?!\w)|…|$)'),
)


class Aliases:
    """Stable aliases: the same secret makes the same ones, and without it none can be undone.

    Parameters
    ----------
    secret : bytes
        The key of the digest (HMAC-SHA256) that names are replaced by.
    names : mapping of str to iterable of str
        The known names by kind (appliance, host, site, ...), to be found in texts as well. A name
        of two kinds gets the alias of the first.

    Examples
    --------
    >>> aliases = Aliases(b"secret", {"appliance": ["vc-1"]})
    >>> aliases.name("appliance", "vc-1")
    'appliance-scxejv73'
    >>> aliases.text("VC-1 cannot write to sftp://joe@nas.example.com:22/vc")
    'appliance-scxejv73 cannot write to sftp://host-kcswgjuv:22/path-wh2d6fjz'
    """

    def __init__(self, secret: bytes, names: Mapping[str, Iterable[str]]) -> None:
        self._secret = secret
        self._given: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._exact: dict[str, str] = {}
        for kind, known in names.items():
            for name in sorted(set(known)):
                alias = self.name(kind, name)
                plain = name.lower()
                words = _SHORT <= len(name) <= _LONG and not _NUMBER.fullmatch(name)
                if words and plain not in _ORDINARY:
                    self._exact.setdefault(plain, alias)
        parts = [f"(?P<p{number}>{pattern})" for number, (_, pattern) in enumerate(_PATTERNS)]
        if self._exact:
            parts.append(rf"(?<![^\W_])(?P<known>{_trie(self._exact)})(?![^\W_])")
        self._pattern = re.compile("|".join(parts), re.IGNORECASE)

    @property
    def key(self) -> dict[str, str]:
        """What stands behind each alias that was given so far."""
        return dict(self._given)

    def name(self, kind: str, name: str) -> str:
        """Give the alias of a name.

        Parameters
        ----------
        kind : str
            What it is the name of: the alias begins with it.
        name : str
            The name.

        Returns
        -------
        str
            The kind, a hyphen and eight characters.
        """
        known = self._kinds.setdefault(f"{kind}\0{name}", "")
        if not known:
            digest = hmac.digest(self._secret, f"{kind}\0{name}".encode(), "sha256")[:_DIGEST]
            known = f"{kind}-{base64.b32encode(digest).decode().lower()}"
            self._kinds[f"{kind}\0{name}"] = known
            self._given[known] = name
        return known

    def schedule(self, name: str) -> str:
        """Give the alias of a schedule, unless it has the name that the appliances give it."""
        return (
            name if name in _KEPT else self._exact.get(name.lower()) or self.name("schedule", name)
        )

    def location(self, uri: str) -> str:
        """Put aliases into a URI; its scheme and port stay, a user or a password does not.

        Parameters
        ----------
        uri : str
            Such as ``sftp://joe@nas.example.com:22/vc``. What is no URI becomes a path's alias.

        Returns
        -------
        str
            Such as ``sftp://host-kcswgjuv:22/path-wh2d6fjz``.
        """
        parts = _AUTHORITY.fullmatch(uri)
        if parts is None:
            return self._exact.get(uri.lower()) or self.name("path", uri)
        host, path = parts["host"], parts["path"].rpartition("@")[2]  # a password with a slash
        place = self._exact.get(host.lower()) or (self.name("host", host.lower()) if host else "")
        rest = f"/{self.name('path', path)}" if path.strip("/") else path
        return f"{parts['scheme'].lower()}{place}{parts['port'] or ''}{rest}"

    def text(self, text: str) -> str:
        """Put aliases into a text: for what is known by name, and for what looks like a name.

        Parameters
        ----------
        text : str
            Any text. Where it was cut, its last word goes: it may be half a name.

        Returns
        -------
        str
            With aliases for hosts, addresses, URIs, paths, users, and what stands in quotes.
        """
        whole = self._pattern.sub(self._swap, text)
        return _CUT.sub("…", whole) if whole.endswith("…") else whole

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Put aliases into a message of an appliance, and for what it says it put into it.

        Parameters
        ----------
        message : mapping
            id, default_message, args and localized.

        Returns
        -------
        dict
            The same keys.
        """
        args = message["args"]
        names = sorted({arg.strip() for arg in args or [] if arg and _is_name(arg)})
        names.sort(key=len, reverse=True)
        held = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in names]

        def plain(text: str | None) -> str | None:
            if text is None:
                return None
            told = text.replace("\ue000", " ").replace("\ue001", " ")
            for place, pattern in enumerate(held):
                told = re.sub(pattern, f"\ue000{place}\ue001", told)
            return _HELD.sub(lambda found: self._arg(names[int(found[1])]), self.text(told))

        return {
            "id": message["id"],
            "default_message": plain(message["default_message"]),
            "args": None if args is None else [plain(arg) for arg in args],
            "localized": plain(message["localized"]),
        }

    def _arg(self, name: str) -> str:
        found = self._pattern.fullmatch(name)
        return self._swap(found) if found else self.name("name", name)

    def _swap(self, found: re.Match[str]) -> str:
        said, kind = found[0], str(found.lastgroup)
        if kind == "known":
            return self._exact.get(said.lower()) or self.name("name", said)
        kind = _PATTERNS[int(kind[1:])][0]
        if kind == "uri":
            return self.location(said)
        if kind == "quoted":
            whole = said[-1] == said[0]  # else it was cut
            return f"{said[0]}{self._quoted(said[1:-1])}{said[0]}" if whole else f"{said[0]}…"
        return self._exact.get(said.lower()) or self.name(kind, said.lower())

    def _quoted(self, inner: str) -> str:
        if inner in _KEPT or _NUMBER.fullmatch(inner) or _HELD.fullmatch(inner):
            return inner
        return self._arg(_HELD.sub("", inner))


def _is_name(arg: str) -> bool:
    """Tell whether a message's arg is the name of something rather than a number or a sentence."""
    plain = arg.strip()
    return 1 < len(plain) <= _NAMES and plain.count(" ") <= 1 and not _NUMBER.fullmatch(plain)


def _trie(names: Iterable[str]) -> str:
    r"""Write a pattern of many names that tries no two of them with the same beginning.

    Examples
    --------
    >>> _trie(["vc-1", "vc-12", "nas"])
    '(?:nas|vc\\-1(?:2)?)'
    """
    tree: dict[str, Any] = {}
    for name in names:
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = {}

    def pattern(branch: dict[str, Any]) -> str:
        written = ""
        while len(branch) == 1:  # no recursion along a name: they may be long
            ((letter, branch),) = branch.items()
            if not letter:
                return written
            written += re.escape(letter)
        whole = bool(branch.get("", None) is not None)
        ways = "|".join(
            re.escape(letter) + pattern(rest) for letter, rest in sorted(branch.items()) if letter
        )
        return f"{written}(?:{ways}){'?' if whole else ''}"

    return pattern(tree)
