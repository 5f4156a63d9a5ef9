r"""Masking of the secrets of a session in texts from outside, which may echo them.

An appliance or a proxy may repeat a request in a response: in an error, in a message of a job, in
any notation. A text loses each secret in the usual notations (as it is, escaped for JSON, HTML or
a URL, in base64). If one is still found after these escapes are resolved, the whole text is
masked.
"""

import re
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from html.entities import codepoint2name, name2codepoint
from typing import Final
from urllib.parse import unquote

from backupkit.texts import mask_user
from backupkit.wire import map_texts

__all__ = ["SecretMask"]

MARK: Final = "[secret]"

MIN_LENGTH: Final = 6
"""Length of a password from which data is searched for it; a shorter one may be a common word."""

MIN_TOKEN: Final = 16
"""Length of a token that is masked; a shorter one is no secret, and may be a part of an id."""

MAX_PATTERN: Final = 128
"""Length up to which a token has a pattern; to compile one of a SAML token takes seconds."""

PROBE: Final = 64
"""Length of the beginning and the end by which a longer token is found."""

MAX_ERROR: Final = 2**18
"""Size from which the body of an error is not searched, but ignored [bytes]."""

MAX_ROUNDS: Final = 3
"""Number of notations inside each other in which a secret is found."""

_JSON_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))')
_HTML_ESCAPE: Final = re.compile(
    r"&(?:#0*+([0-9]{1,7})|#[xX]0*+([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,7}));"
)
_URL_ESCAPE: Final = re.compile(r"%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_.]+")
_API_KEYS: Final = frozenset(
    {"args", "data", "default_message", "error_type", "id", "localized", "messages", "type"}
    | {"attributes", "defaultMessage", "localizableMessages", "params", "value"}
)
"""Keys of an error body, which stay as they are."""


class SecretMask:
    r"""Secrets of one session, and their masking; the secrets are in no text of it.

    Parameters
    ----------
    user, password : str
        Credentials of the session; without a password it has tokens only, see `add_token`.

    Examples
    --------
    >>> mask = SecretMask("u@v", 'pa"ss/7')
    >>> mask.mask_text(r"no login with pa\"ss\/7 (pa%22ss%2f7)")
    'no login with [secret] ([secret])'
    """

    def __init__(self, user: str, password: str) -> None:
        credentials = f"{user}:{password}".encode()
        as_latin = password.encode().decode("latin-1")  # as a server without UTF-8 reads it
        self._password = dict.fromkeys(filter(None, (password, as_latin)))
        self._tokens = dict.fromkeys(_encode_base64(credentials) if password else ())
        if len(password) >= MIN_LENGTH:
            self._tokens |= dict.fromkeys(_encode_base64(password.encode()))
        self._has_blank = " " in password
        self._mark = "***" if password and password in MARK else MARK
        self._searches_data = len(password) >= MIN_LENGTH
        self._patterns: dict[str, re.Pattern[str]] = {}
        self._probes = dict.fromkeys(token.lower() for token in self._tokens)

    def __repr__(self) -> str:
        return "SecretMask()"

    def add_token(self, token: str) -> None:
        """Mask a token, too; an earlier one stays masked.

        A long one is found by its beginning or its end, because texts are often cut off. Then the
        whole text is masked.
        """
        if len(token) < MIN_TOKEN:
            return
        if len(token) > MAX_PATTERN:
            self._probes |= dict.fromkeys((token[:PROBE].lower(), token[-PROBE:].lower()))
            return
        self._tokens[token] = self._probes[token.lower()] = None
        self._patterns.clear()

    # the patterns are compiled when a text holds a secret, because it takes long: most never do

    def _token_pattern(self) -> re.Pattern[str]:
        # base64 and tokens in any letter case: headers are often logged in lower case
        if "token" not in self._patterns:
            tokens = "|".join(map(_build_pattern, self._tokens)) or "(?!)"  # which never matches
            self._patterns["token"] = re.compile(f"(?i:{tokens})")
        return self._patterns["token"]

    def _secret_pattern(self) -> re.Pattern[str]:
        if not self._password:
            return self._token_pattern()
        if "secret" not in self._patterns:
            tokens, password = (
                "|".join(map(_build_pattern, secrets)) for secrets in (self._tokens, self._password)
            )
            self._patterns["secret"] = re.compile(f"(?i:{tokens})|{password}")
        return self._patterns["secret"]

    def mask_text(self, text: str) -> str:
        """Mask every secret of the session in a text."""
        return self._mask(text, self._secret_pattern, self._holds_secret)

    def mask_body(self, body: bytes, *, ok: bool) -> bytes:
        """Mask the secrets in the texts of a response body.

        The password is masked in an error only: in data it may be a common word, or part of an id.
        """
        if not ok and len(body) > MAX_ERROR:
            return b""
        text = body.decode("utf-8", "surrogateescape")
        if ok:
            if not self._holds_token(text):
                return body
            masked = self._token_pattern().sub(self._mark, text)
            if self._holds_token(masked):
                masked = map_texts(masked, self._mask_data)
        else:
            if not (self._holds_secret(text) or "@" in text):
                return body
            masked = map_texts(text, self._mask_error)
            if text.lstrip()[:1] not in {"{", "[", '"'}:  # not JSON
                masked = self.mask_text(mask_user(masked))
        return masked.encode("utf-8", "surrogateescape")

    def is_in_data(self, body: bytes) -> bool:
        """Return whether data has the password, so that its texts must be masked one by one."""
        return self._searches_data and self._holds_password(body.decode("utf-8", "replace"))

    def _mask_data(self, text: str, _key: str) -> str:
        return self._mask(text, self._token_pattern, self._holds_token)

    def _mask_error(self, text: str, key: str) -> str:
        if (not key and text in _API_KEYS) or (
            key in {"error_type", "id"} and _IDENTIFIER.fullmatch(text)
        ):
            return text
        return self.mask_text(mask_user(text))

    def _mask(
        self, text: str, get_pattern: Callable[[], re.Pattern[str]], holds: Callable[[str], bool]
    ) -> str:
        if not holds(text):
            return text
        masked = get_pattern().sub(self._mark, text)
        return self._mark if holds(masked) else masked

    def _holds_secret(self, text: str) -> bool:
        return self._holds_token(text) or self._holds_password(text)

    def _holds_token(self, text: str) -> bool:
        return any(
            probe in lowered
            for form in _unescape(text)
            for lowered in [form.lower()]
            for probe in self._probes
        )

    def _holds_password(self, text: str) -> bool:
        for form in _unescape(text):
            forms = [form, form.replace("+", " ")] if self._has_blank else [form]
            if any(password in form for password in self._password for form in forms):
                return True
        return False


def _encode_base64(secret: bytes) -> Iterator[str]:
    """Yield a secret in both alphabets of base64, without the padding."""
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(secret).decode().rstrip("=")


def _unescape(text: str) -> Iterator[str]:
    """Yield a text, and what is left after each round of resolving JSON, HTML and URL escapes."""
    yield text
    for _ in range(MAX_ROUNDS):
        before = text
        if "\\" in text:
            text = _JSON_ESCAPE.sub(_resolve_json, text)
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins pairs
            yield text
        if "&" in text:
            text = _HTML_ESCAPE.sub(_resolve_html, text)
            yield text
        if "%" in text:
            text = _URL_ESCAPE.sub(_resolve_url, text)
            yield text
        if text == before:
            return


def _resolve_json(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else match[2]


def _resolve_url(match: re.Match[str]) -> str:
    return unquote(match[0])


def _resolve_html(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name:
        code = name2codepoint.get(name, ord("'") if name == "apos" else None)
    else:
        code = int(decimal) if decimal else int(hexadecimal, 16)
    return match[0] if code is None or code > sys.maxunicode else chr(code)


def _build_pattern(secret: str) -> str:
    """Return a pattern of a secret in each notation; within one, each character has few forms."""
    notations = (re.escape, _json_forms, _url_forms, _html_forms)
    return "|".join("".join(map(notation, secret)) for notation in notations)


def _json_forms(character: str) -> str:
    units = character.encode("utf-16-be")
    codes = (f"{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
    forms = ["".join(rf"\\u(?i:{code})" for code in codes)]
    forms += [r"\\" + re.escape(character)] if character in '"\\/' else []
    return _join([*forms, *([] if character in '"\\' else [re.escape(character)])])


def _url_forms(character: str) -> str:
    forms = ["".join(f"%(?i:{byte:02x})" for byte in character.encode())]
    return _join([*forms, r"\+" if character == " " else re.escape(character)])


def _html_forms(character: str) -> str:
    code = ord(character)
    forms = [f"&#0{{0,8}}{code};", f"&#[xX]0{{0,8}}(?i:{code:x});"]
    names = [codepoint2name[code]] if code in codepoint2name else []
    names += ["apos"] if character == "'" else []
    return _join([*forms, *(f"&{name};" for name in names), re.escape(character)])


def _join(forms: Iterable[str]) -> str:
    return f"(?:{'|'.join(forms)})"
