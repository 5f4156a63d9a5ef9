"""Pseudonymisation of names, URIs and texts."""

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["Aliases"]

_DIGEST: Final = 5  # bytes: 8 characters; 2,000 names collide once in half a million
_SHORT: Final = 3  # characters; a shorter name may be an ordinary word
_LONG: Final = 200  # characters; texts of this package cut longer names
_NAMES: Final = 60  # characters; a longer message argument is a sentence
_KEPT: Final = frozenset({"default", "policy"})  # names of schedules set by the appliances
_ORDINARY: Final = frozenset(  # ordinary words of reports; they identify nobody
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
_HELD: Final = re.compile("\ue000(\\d+)\ue001")  # placeholder of an argument
_AUTHORITY: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,15}://)(?:(?P<user>[^/?#\s]*)@)?"
    r"(?P<host>\[[^\]/]*\]|[^/?#:\s]*)(?P<port>:\d{1,5}(?![^/?#]))?(?P<path>.*)",
    re.IGNORECASE | re.DOTALL,
)

# Each runs in linear time: no nested repetition, bounded lengths where a prefix repeats.
_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_CODE: Final = r"(?:com|org|net|java|javax|python|vmware)\."  # prefix of a class or of a message id
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
    """Stable aliases of names: the same secret gives the same ones; without it, none is reversible.

    Parameters
    ----------
    secret : bytes
        Key of the HMAC-SHA256 digest that replaces names.
    names : mapping of str to iterable of str
        Known names by kind (appliance, host, site, ...), also replaced in texts. A name of two
        kinds has the alias of the first.

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
        """Original name by alias, for the aliases created so far."""
        return dict(self._given)

    def name(self, kind: str, name: str) -> str:
        """Return the alias of a name.

        Parameters
        ----------
        kind : str
            Kind of the name, such as appliance; prefix of the alias.
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
        """Return the alias of a schedule; keep a name that the appliances set themselves."""
        return (
            name if name in _KEPT else self._exact.get(name.lower()) or self.name("schedule", name)
        )

    def location(self, uri: str) -> str:
        """Replace host and path of a URI by aliases, and remove user and password.

        Parameters
        ----------
        uri : str
            Such as ``sftp://joe@nas.example.com:22/vc``. Other text becomes the alias of a path.

        Returns
        -------
        str
            Such as ``sftp://host-kcswgjuv:22/path-wh2d6fjz``; scheme and port are kept.
        """
        parts = _AUTHORITY.fullmatch(uri)
        if parts is None:
            return self._exact.get(uri.lower()) or self.name("path", uri)
        host, path = parts["host"], parts["path"].rpartition("@")[2]  # passwords may contain "/"
        place = self._exact.get(host.lower()) or (self.name("host", host.lower()) if host else "")
        rest = f"/{self.name('path', path)}" if path.strip("/") else path
        return f"{parts['scheme'].lower()}{place}{parts['port'] or ''}{rest}"

    def text(self, text: str) -> str:
        """Replace known names, and what looks like a name, in a text.

        Parameters
        ----------
        text : str
            Any text. The last word of a cut text is removed: it may be part of a name.

        Returns
        -------
        str
            With aliases for known names, hosts, addresses, URIs, paths, users and quoted text.
        """
        whole = self._pattern.sub(self._swap, text)
        return _CUT.sub("…", whole) if whole.endswith("…") else whole

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Replace names in a message of an appliance, and the values of its arguments.

        Parameters
        ----------
        message : mapping
            id, default_message, args and localized.

        Returns
        -------
        dict
            Same keys, with aliases.
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
            whole = said[-1] == said[0]  # otherwise the text was cut
            return f"{said[0]}{self._quoted(said[1:-1])}{said[0]}" if whole else f"{said[0]}…"
        return self._exact.get(said.lower()) or self.name(kind, said.lower())

    def _quoted(self, inner: str) -> str:
        if inner in _KEPT or _NUMBER.fullmatch(inner) or _HELD.fullmatch(inner):
            return inner
        return self._arg(_HELD.sub("", inner))


def _is_name(arg: str) -> bool:
    """Check whether a message argument is a name, not a number or a sentence."""
    plain = arg.strip()
    return 1 < len(plain) <= _NAMES and plain.count(" ") <= 1 and not _NUMBER.fullmatch(plain)


def _trie(names: Iterable[str]) -> str:
    r"""Return a regular expression of many names that tries each common prefix once.

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
        while len(branch) == 1:  # no recursion: names may be long
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
