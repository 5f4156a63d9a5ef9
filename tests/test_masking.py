"""Masking: no notation of a secret that an appliance echoes is stored, shown or logged."""

import html
import json
import logging
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit import Fleet, Snapshot, collect
from backupkit.client.masking import MAX_ERROR, SecretMask
from backupkit.texts import mask_user
from backupkit.wire import map_texts
from tests.conftest import OddServer

USER: Final = "u@v"
PASSWORD: Final = 'pa"ss\\wörd/7 &<𝄞'
TOKEN: Final = "0123456789abcdef0123456789ABCDEF"
BASIC: Final = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
Notation = Callable[[str], str]


def mask(password: str = PASSWORD) -> SecretMask:
    """Return the mask of a session."""
    made = SecretMask(USER, password)
    made.add_token(TOKEN)
    return made


def escape_all(secret: str) -> str:
    """Escape each character for JSON."""
    units = secret.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02X}{units[n + 1]:02x}" for n in range(0, len(units), 2))


NOTATIONS: Final[dict[str, Notation]] = {
    "as it is": str,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "JSON with each character escaped": escape_all,
    "URL": lambda secret: quote(secret, safe=""),
    "URL with slashes": quote,
    "form": quote_plus,
    "URL in lower case": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "HTML": html.escape,
    "HTML of text alone": lambda secret: html.escape(secret, quote=False),
    "HTML by decimals": lambda secret: "".join(f"&#{ord(c)};" for c in secret),
    "HTML by hexadecimals": lambda secret: "".join(f"&#x00{ord(c):X};" for c in secret),
    "HTML by names": lambda secret: html.escape(secret).replace("ö", "&ouml;"),
    "read as Latin-1": lambda secret: secret.encode().decode("latin-1"),
    "base64": lambda secret: b64encode(secret.encode()).decode().rstrip("="),
    "base64 for URLs": lambda secret: urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "base64 in upper case": lambda secret: b64encode(secret.encode()).decode().rstrip("=").upper(),
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_notation(name: str) -> None:
    """The password is masked in each notation, and the text around it stays."""
    written = NOTATIONS[name](PASSWORD)
    assert mask().mask_text(f"login {written}, again {written}.") == (
        "login [secret], again [secret]."
    )


def test_header() -> None:
    """Token and credentials are masked in any letter case, alphabet and notation."""
    odd = mask("??>>~~ÿÿ??>")
    basic = b64encode(f"{USER}:??>>~~ÿÿ??>".encode()).decode()
    assert {"+", "/", "="} <= set(basic)
    written = (
        basic,
        basic.lower(),
        basic.replace("+", "-").replace("/", "_"),
        quote(basic, safe=""),
        basic.replace("/", "\\/"),
        basic.replace("=", "\\u003d").replace("/", "\\u002F"),
        TOKEN,
        TOKEN.lower(),
        TOKEN.upper(),
    )
    for secret in written:
        masked = odd.mask_text(f"Authorization: {secret} ")
        assert masked.startswith("Authorization: [secret]")
        assert len(masked) < len("Authorization: [secret]%3D%3D") + 9


@pytest.mark.parametrize("outer", [name for name in NOTATIONS if "base64" not in name])
@pytest.mark.parametrize("inner", ["JSON", "URL", "form", "HTML", "HTML by decimals"])
def test_notation_in_notation(outer: str, inner: str) -> None:
    """A secret in one notation inside another is masked, if need be with the text around it."""
    if outer == "read as Latin-1":
        return  # nobody writes so
    masked = mask().mask_text(f"login {NOTATIONS[outer](NOTATIONS[inner](PASSWORD))}!")
    assert masked in {"login [secret]!", "[secret]"}


@given(
    st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12),
    st.sampled_from([name for name in NOTATIONS if "base64" not in name]),
)
def test_any_password(password: str, name: str) -> None:
    """Whatever its characters are, no notation of a password stays in an error."""
    written = NOTATIONS[name](password)
    masked = mask(password).mask_text(f"{written}\n{written}")
    assert masked in {f"{mark}\n{mark}" for mark in ("[secret]", "***")} | {"[secret]", "***"}


def error_body(text: str) -> bytes:
    """Return the body of an error with one message."""
    message = {"id": "com.vmware.failed", "default_message": text, "args": [text]}
    return json.dumps({"error_type": "ERROR", "messages": [message], "data": {text: text}}).encode()


class TestBody:
    """SecretMask.mask_body."""

    def test_error(self) -> None:
        """All texts and keys of an error are masked, in any notation, and it stays JSON."""
        text = f"no {PASSWORD}, {BASIC} or {TOKEN.upper()} at ftp://joe:pw@nas/a"
        clean = "no [secret], [secret] or [secret] at ftp://***@nas/a"
        for body in (error_body(text), error_body(text).replace(b"/", b"\\/")):
            masked = json.loads(mask().mask_body(body, ok=False))
            assert masked["messages"][0]["default_message"] == clean
            assert masked["messages"][0]["args"] == [clean]
            assert masked["data"] == {clean: clean}

    @pytest.mark.parametrize("password", ["error_type", "messages", "ERROR", "vmware", "id", "e"])
    def test_common_word(self, password: str) -> None:
        """A password that is a word of the API leaves keys, type and id as they are."""
        masked = json.loads(mask(password).mask_body(error_body(f"a {password} b"), ok=False))
        assert masked["error_type"] == "ERROR"
        assert masked["messages"][0]["id"] == "com.vmware.failed"
        assert masked["messages"][0]["default_message"] in {
            "a [secret] b",
            "a *** b",
            "***",
        }

    def test_damaged(self) -> None:
        """The body of an error is masked also if it is cut, no JSON, or not UTF-8."""
        escaped = json.dumps(PASSWORD).encode()
        assert mask().mask_body(b'{"a": ' + escaped + b', "b": "x', ok=False) == (
            b'{"a": "[secret]", "b": "x'
        )
        page = f"<p>{html.escape(PASSWORD)} {TOKEN}".encode() + b"\xff\xfe"
        assert mask().mask_body(page, ok=False) == b"<p>[secret] [secret]\xff\xfe"
        broken = b'{"a": "\\q ' + TOKEN.encode() + b'"}'
        assert TOKEN.encode() not in mask().mask_body(broken, ok=False)

    def test_too_large(self) -> None:
        """A huge error is ignored."""
        assert mask().mask_body(b"a" * (MAX_ERROR + 1), ok=False) == b""

    def test_data(self) -> None:
        """Data loses tokens; the password stays, as it may be a part of an id."""
        body = json.dumps([PASSWORD, f"a {TOKEN.lower()}", BASIC]).encode()
        assert json.loads(mask().mask_body(body, ok=True)) == [PASSWORD, "a [secret]", "[secret]"]
        assert mask().is_in_data(body)
        assert not mask("Passw").is_in_data(b'["Passw"]')
        plain = b'{"id": "x", "args": ["100 % & \\"more\\""]}'
        assert mask().mask_body(plain, ok=True) is plain
        assert not mask().is_in_data(plain)

    def test_data_in_two_notations(self) -> None:
        """A token in an unknown notation costs the text that has it, and no other."""
        text = "".join(f"%{ord(c):02x}" for c in "".join(f"&#{ord(c)};" for c in TOKEN))
        body = json.dumps({"a": f"see {text}", "b": "fine"}).encode()
        assert json.loads(mask().mask_body(body, ok=True)) == {"a": "[secret]", "b": "fine"}

    def test_hostile_length(self) -> None:
        """The time is proportional to the length of the text."""
        for text in ("&#0" * 300_000, "\\" * 1_000_000, "%25" * 300_000, "aaaa" * 250_000):
            began = time.perf_counter()
            mask("aaaaaaaab").mask_text(text)
            assert time.perf_counter() - began < 20  # quadratic time would be hours


def test_odd_escapes() -> None:
    """Escapes of no character, and a session without a password, are no problem."""
    text = "&foo; &#9999999; &#x41; &apos; %zz \\u12 \\ud800"
    assert mask().mask_text(text) == text
    assert mask("it's so").mask_text("it&apos;s so, it's+so") == "[secret], [secret]"
    assert mask("").mask_text(f"no password, {TOKEN}") == "no password, [secret]"


def test_repr() -> None:
    """The repr has no secret."""
    assert repr(mask()) == "SecretMask()"


class TestMapTexts:
    """wire.map_texts."""

    def test_keys(self) -> None:
        """A text comes with its key, an item of a list and a key without."""
        seen: list[tuple[str, str]] = []

        def note(text: str, key: str) -> str:
            seen.append((text, key))
            return text

        body = '{"a": "b", "c": ["d", {"e" : \n"f"}], "g": 1, "h": {}, "i": "", "\\q": "\\q"}'
        assert map_texts(body, note) == body
        assert seen == [
            ("a", ""),
            ("b", "a"),
            ("c", ""),
            ("d", ""),
            ("e", ""),
            ("f", "e"),
            ("g", ""),
            ("h", ""),
            ("i", ""),
            ("\\q", ""),
            ("\\q", "\\q"),
        ]

    @given(st.recursive(st.text() | st.integers(), st.lists))
    def test_identity(self, value: object) -> None:
        """A change that changes nothing leaves the body; another one changes the texts alone."""
        for body in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            assert map_texts(body, lambda text, _key: text) == body
            reversed_twice = map_texts(
                map_texts(body, lambda text, _key: text[::-1]), lambda text, _key: text[::-1]
            )
            assert json.loads(reversed_twice) == value


class TestMaskUser:
    """texts.mask_user."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("to ftp://joe:secret@nas/vc.", "to ftp://***@nas/vc."),
            ("ftp://joe@nas", "ftp://***@nas"),
            ("ftp://joe:p@ss@nas/a@b", "ftp://***@nas/a@b"),
            ("ftp://joe:p/w@nas/a", "ftp://***@nas/a"),
            (r"ftp:\/\/joe:secret@nas", r"ftp:\/\/***@nas"),
            ("a://j:c@x b://k:d@y", "a://***@x b://***@y"),
            ("https://vc-1:5480/a@b", "https://vc-1:5480/a@b"),
            ("ftp://[::1]:22/a@b", "ftp://[::1]:22/a@b"),
            ("sftp://nas/a, ask joe@example.com", "sftp://nas/a, ask joe@example.com"),
            ("joe:secret@nas", "joe:secret@nas"),
            ("ftp://***@nas", "ftp://***@nas"),
        ],
    )
    def test_uri(self, text: str, expected: str) -> None:
        """User and password of a URI are masked, and nothing else."""
        assert mask_user(text) == expected


class TestSession:
    """Echoes of an appliance, followed to the snapshot and the log."""

    def snapshot(self, odd: OddServer) -> Snapshot:
        """Collect from the server."""
        return collect(Fleet([odd.appliance()]))

    def test_data(self, odd: OddServer, caplog: pytest.LogCaptureFixture) -> None:
        """No text of a job, a schedule or the version has the password; ids and states stay."""
        caplog.set_level(logging.DEBUG)
        password = "correct horse battery staple"
        echo = f"in {quote_plus(password)}"
        message = {"id": "a", "default_message": echo, "args": [echo, 1], "localized": echo}
        job = {
            "status": "FAILED",
            "type": echo,
            "messages": [message],
            "location": f"ftp://joe:hunter2@nas/{echo}",
            "start_time": "2026-11-09T01:00:00.000Z",
            "end_time": "2026-11-09T01:20:00.000Z",
            "build": {"build_number": echo},
        }
        jobs = {"a": job, "b": {**job, "status": f"ODD {password}"}}
        plan = {"enable": True, "location": job["location"], "parts": []}
        plan["recurrence_info"] = {"hour": 1, "minute": 0}
        odd.serve_api()
        path = "GET /api/appliance/"
        odd.respond(f"{path}recovery/backup/job", b'["a", "b"]')
        odd.respond(f"{path}recovery/backup/job/details", json.dumps(jobs).encode())
        odd.respond(f"{path}recovery/backup/schedules", json.dumps({"default": plan}).encode())
        odd.respond(f"{path}system/version", json.dumps({"version": f"8 {password}"}).encode())
        with pytest.warns(match="unknown state"):
            snapshot = self.snapshot(odd)
        rows = snapshot.observations.set_index("job_id")
        assert rows["status"].to_dict() == {"a": "FAILED", "b": "ODD [secret]"}
        assert rows["location"]["a"] == "ftp://***@nas/in [secret]"
        assert rows["messages"]["a"][0]["args"][0] == "in [secret]"
        assert snapshot.schedules["location"].to_list() == ["ftp://***@nas/in [secret]"]
        assert snapshot.polls["version"].to_list() == ["8 [secret]"]
        frames = (snapshot.observations, snapshot.schedules, snapshot.polls, snapshot.errors)
        text = caplog.text + "".join(frame.to_csv() for frame in frames)
        for secret in (password, quote_plus(password), "hunter2", "joe"):
            assert secret not in text

    def test_odd_header(self, odd: OddServer, caplog: pytest.LogCaptureFixture) -> None:
        """A header that cannot be parsed is not quoted in the log."""
        caplog.set_level(logging.DEBUG)
        odd.serve_api()
        odd.respond("GET /api/appliance/recovery/backup/job", b"[]", x="1\r\nAuthorization Basic x")
        self.snapshot(odd)
        assert "GET /api/appliance/recovery/backup/job " in caplog.text
        assert "Basic x" not in caplog.text
