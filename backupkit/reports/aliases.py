"""Pseudonymisation of names, URIs and texts."""

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from backupkit.errors import ADVICE

__all__ = ["Aliases"]

_DIGEST_BYTES: Final = 5  # bytes: 8 characters; 2,000 names collide once in half a million
_MIN_NAME_LENGTH: Final = 3  # characters; a shorter name may be an ordinary word
_MAX_NAME_LENGTH: Final = 200  # characters; texts of this package cut longer names
_MAX_ARG_LENGTH: Final = 60  # characters; a longer message argument is a sentence
_DEFAULT_SCHEDULE_NAMES: Final = frozenset({"default", "policy"})  # set by the appliances
_COMMON_WORDS: Final = frozenset(  # ordinary words of reports; they identify nobody
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
_TRUNCATED_WORD: Final = re.compile(r"\S*…\s*$")
_PLACEHOLDER: Final = re.compile("\ue000(\\d+)\ue001")  # placeholder of an argument
_AUTHORITY: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,15}://)(?:(?P<user>[^/?#\s]*)@)?"
    r"(?P<host>\[[^\]/]*\]|[^/?#:\s]*)(?P<port>:\d{1,5}(?![^/?#]))?(?P<path>.*)",
    re.IGNORECASE | re.DOTALL,
)

_IPV4: Final = r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)"
_IPV6: Final = r"(?<![\w:.])(?=[0-9a-f:]*(?:::|(?::[0-9a-f]{1,4}){7}))[0-9a-f:]{3,39}(?![\w:])"
_AFTER_USER: Final = (  # words that follow "user" in a sentence, and are no name
    r"(?:accounts?|already|also|and|are|as|at|be|been|being|but|by|can|cannot|changed|could"
    r"|credentials|data|did|do|does|else|expects|for|from|gave|group|had|has|have|if|info|into|is"
    r"|lacks|may|might|must|names?|needs|not|only|passwords?|permissions?|rights|role|session"
    r"|should|starts|still|that|the|was|were|which|who|will|without|would|with)"
    r"(?![\w\\+-]|\.\w)"
)
_OWN: Final = "|".join(  # sentences and words of this package; they name nobody
    re.escape(text)
    for text in (*ADVICE.values(), "administrator@vsphere.local", "by /api", "by /rest")
)

# Each runs in linear time: no nested repetition, bounded lengths where a prefix repeats.
_LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_CODE_PREFIX: Final = (
    r"(?:com|org|net|java|javax|python|vmware)\."  # prefix of a class or of a message id
)
_PATTERNS: Final = (
    ("uri", r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,15}://[^\s'\"<>,;)]+"),
    ("user", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"),
    ("user", rf"(?:\b(?<=user )|\b(?<=username ))(?!{_AFTER_USER})[\w.\\+-]{{3,64}}"),
    ("path", r"(?<![\w/<>\\])[a-z]:\\[^\s'\",;]+|\\\\[^\s'\",;]+"),
    ("path", r"(?<![\w/<>])/[\w.@%+~:/-]{2,}(?<![.:,])"),
    ("host", _IPV4),
    ("host", _IPV6),
    (
        "host",
        rf"(?<![\w.@-])(?!{_CODE_PREFIX}){_LABEL}(?:\.{_LABEL}){{1,8}}\.[^\W\d_]{{2,24}}(?![\w-])",
    ),
    ("quoted", r"(?<!\w)'[^'<>\n]{1,120}(?:'(?!\w)|…|$)"),
    ("quoted", r'(?<!\w)"[^"<>\n]{1,120}(?:"(?!\w)|…|$)'),
)


class Aliases:
    """Stable aliases of names: the same secret gives the same ones; without it, none is reversible.

    The secret is the key of the HMAC-SHA256 digest that replaces names. `names` are known names by
    kind (appliance, host, site, ...), which are also replaced in texts. A name of two kinds has the
    alias of the first.

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
        self._names_by_alias: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._known_aliases: dict[str, str] = {}
        for kind, known_names in names.items():
            for name in sorted(set(known_names)):
                alias = self.name(kind, name)
                key = name.lower()
                is_distinctive = _MIN_NAME_LENGTH <= len(
                    name
                ) <= _MAX_NAME_LENGTH and not _NUMBER.fullmatch(name)
                if is_distinctive and key not in _COMMON_WORDS:
                    self._known_aliases.setdefault(key, alias)
        patterns = [f"(?P<own>{_OWN})"]
        patterns += [f"(?P<p{index}>{pattern})" for index, (_, pattern) in enumerate(_PATTERNS)]
        if self._known_aliases:
            patterns.append(
                rf"(?<![^\W_])(?P<known>{_build_name_pattern(self._known_aliases)})(?![^\W_])"
            )
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE)

    @property
    def key(self) -> dict[str, str]:
        """Original name by alias, for the aliases created so far."""
        return dict(self._names_by_alias)

    def name(self, kind: str, name: str) -> str:
        """Return the alias of a name: its kind, a hyphen and eight characters."""
        alias = self._aliases.setdefault(f"{kind}\0{name}", "")
        if not alias:
            digest = hmac.digest(self._secret, f"{kind}\0{name}".encode(), "sha256")[:_DIGEST_BYTES]
            alias = f"{kind}-{base64.b32encode(digest).decode().lower()}"
            self._aliases[f"{kind}\0{name}"] = alias
            self._names_by_alias[alias] = name
        return alias

    def schedule(self, name: str) -> str:
        """Return the alias of a schedule; keep a name that the appliances set themselves."""
        if name in _DEFAULT_SCHEDULE_NAMES:
            return name
        return self._known_aliases.get(name.lower()) or self.name("schedule", name)

    def location(self, uri: str) -> str:
        """Replace host and path of a URI by aliases, and remove user and password.

        Scheme and port are kept. Other text becomes the alias of a path.
        """
        parts = _AUTHORITY.fullmatch(uri)
        if parts is None:
            return self._known_aliases.get(uri.lower()) or self.name("path", uri)
        host, path = parts["host"], parts["path"].rpartition("@")[2]  # passwords may contain "/"
        host_alias = self._known_aliases.get(host.lower()) or (
            self.name("host", host.lower()) if host else ""
        )
        path_alias = f"/{self.name('path', path)}" if path.strip("/") else path
        return f"{parts['scheme'].lower()}{host_alias}{parts['port'] or ''}{path_alias}"

    def text(self, text: str) -> str:
        """Replace known names, and what looks like a name, in a text.

        Such are hosts, addresses, URIs, paths, users and quoted text. The last word of a cut text
        is removed: it may be part of a name.
        """
        redacted = self._pattern.sub(self._alias_of_match, text)
        return _TRUNCATED_WORD.sub("…", redacted) if redacted.endswith("…") else redacted

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Replace names in a message of an appliance, and the values of its arguments."""
        args = message["args"]
        names = sorted({arg.strip() for arg in args or [] if arg and _is_name(arg)})
        indexes = {name: index for index, name in enumerate(names)}
        pattern = rf"(?<!\w){_build_name_pattern(names)}(?!\w)" if names else ""

        def redact(text: str | None) -> str | None:
            if text is None:
                return None
            marked = text.replace("\ue000", " ").replace("\ue001", " ")
            if pattern:
                marked = re.sub(pattern, lambda name: f"\ue000{indexes[name[0]]}\ue001", marked)
            return _PLACEHOLDER.sub(
                lambda match: self._alias_of_arg(names[int(match[1])]), self.text(marked)
            )

        return {
            "id": message["id"],
            "default_message": redact(message["default_message"]),
            "args": None if args is None else [redact(arg) for arg in args],
            "localized": redact(message["localized"]),
        }

    def _alias_of_arg(self, name: str) -> str:
        match = self._pattern.fullmatch(name)
        return self._alias_of_match(match) if match else self.name("name", name)

    def _alias_of_match(self, match: re.Match[str]) -> str:
        text, group = match[0], str(match.lastgroup)
        if group == "own":
            return text
        if group == "known":
            return self._known_aliases.get(text.lower()) or self.name("name", text)
        kind = _PATTERNS[int(group[1:])][0]
        if kind == "uri":
            return self.location(text)
        if kind == "quoted":
            quote = text[0]
            is_truncated = text[-1] != quote
            return (
                f"{quote}…" if is_truncated else f"{quote}{self._replace_quoted(text[1:-1])}{quote}"
            )
        return self._known_aliases.get(text.lower()) or self.name(kind, text.lower())

    def _replace_quoted(self, text: str) -> str:
        if text in _DEFAULT_SCHEDULE_NAMES or _PLACEHOLDER.fullmatch(text):
            return text
        if _NUMBER.fullmatch(text):
            return self.text(text)  # an address looks like a number
        return self._alias_of_arg(_PLACEHOLDER.sub("", text))


def _is_name(arg: str) -> bool:
    """Check whether a message argument is a name, not a number or a sentence."""
    text = arg.strip()
    return 1 < len(text) <= _MAX_ARG_LENGTH and text.count(" ") <= 1 and not _NUMBER.fullmatch(text)


def _build_name_pattern(names: Iterable[str]) -> str:
    r"""Return a regular expression of many names that tries each common prefix once.

    Examples
    --------
    >>> _build_name_pattern(["vc-1", "vc-12", "nas"])
    '(?:nas|vc\\-1(?:2)?)'
    """
    tree: dict[str, Any] = {}
    for name in names:
        branch = tree
        for letter in name:
            branch = branch.setdefault(letter, {})
        branch[""] = {}

    def pattern(branch: dict[str, Any]) -> str:
        prefix = ""
        while len(branch) == 1:  # no recursion: names may be long
            ((letter, branch),) = branch.items()
            if not letter:
                return prefix
            prefix += re.escape(letter)
        is_name = bool(branch.get("", None) is not None)
        alternatives = "|".join(
            re.escape(letter) + pattern(subtree)
            for letter, subtree in sorted(branch.items())
            if letter
        )
        return f"{prefix}(?:{alternatives}){'?' if is_name else ''}"

    return pattern(tree)
