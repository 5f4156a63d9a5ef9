"""Settings: TOML, durations, times and time zones are parsed, or the invalid entry is named."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.errors import SettingsError
from backupkit.settings import convert, parse_duration, parse_instant, read_toml, time_zone


class Lock(msgspec.Struct, forbid_unknown_fields=True):
    """A table inside a table."""

    brand: str = ""


class Door(msgspec.Struct, forbid_unknown_fields=True):
    """A table to convert into."""

    colour: str
    height: int = 2
    lock: Lock | None = None
    labels: list[str] = []


class TestReadToml:
    """read_toml."""

    def test_tables(self, tmp_path: Path) -> None:
        """The tables of a file are returned, for a path as text or Path."""
        path = tmp_path / "a.toml"
        path.write_text('[door]\ncolour = "grün"\n', encoding="utf-8")
        file = read_toml(path)
        assert file.tables == read_toml(str(path)).tables == {"door": {"colour": "grün"}}
        assert read_toml(file) is file

    def test_repr_holds_no_value(self, tmp_path: Path) -> None:
        """The repr of a file shows its path alone, as a password may have been written into it."""
        path = tmp_path / "fleet.toml"
        path.write_text('[defaults]\npassword = "s3cret"\n', encoding="utf-8")
        file = read_toml(path)
        assert file.table("defaults") == {"password": "s3cret"}
        assert "fleet.toml" in repr(file)
        assert "s3cret" not in repr(file)

    def test_missing(self, tmp_path: Path) -> None:
        """A missing file is an error that names the command which writes it."""
        with pytest.raises(SettingsError, match=r"none\.toml: no such file\. .*backupkit init"):
            read_toml(tmp_path / "none.toml")

    def test_folder(self, tmp_path: Path) -> None:
        """The system's reason for an unreadable path is reported."""
        with pytest.raises(SettingsError, match=r"cannot be read: Is a directory\."):
            read_toml(tmp_path)

    def test_not_text(self, tmp_path: Path) -> None:
        """A file that is not UTF-8 is an error."""
        path = tmp_path / "a.toml"
        path.write_bytes(b'a = "\xff"')
        with pytest.raises(SettingsError, match=r"a\.toml: cannot be read: it is not UTF-8 text\."):
            read_toml(path)

    def test_impossible_path(self) -> None:
        """An impossible path is an error."""
        with pytest.raises(SettingsError, match="cannot be read: there is no such path"):
            read_toml("a\0b")

    def test_not_toml(self, tmp_path: Path) -> None:
        """Invalid TOML is an error that names the line."""
        path = tmp_path / "a.toml"
        path.write_text("a = 1\nb = \n", encoding="utf-8")
        with pytest.raises(SettingsError, match=r"a\.toml: is not valid TOML: .*line 2"):
            read_toml(path)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_byte_order_mark(self, tmp_path: Path, encoding: str) -> None:
        """A byte order mark, as editors of Windows write it, is no part of the text."""
        path = tmp_path / "a.toml"
        path.write_text('[door]\r\ncolour = "grün"\r\n', encoding=encoding, newline="")
        assert read_toml(path).tables == {"door": {"colour": "grün"}}

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            (r'user = "CORP\backup"', "a.toml, user: "),
            (r'door = { path = "C:\temp" }', "a.toml, door, path: "),
            ('[[door]]\n[[door]]\nuser = "\\new"', "a.toml, door 2, user: "),
            (r'to = ["a", "\fb"]', "a.toml, to 2: "),
            (r'"a\tb" = 1', "a.toml: "),
            (r'exclude = "\u0000"', "a.toml, exclude: "),
        ],
    )
    def test_control_character(self, tmp_path: Path, text: str, where: str) -> None:
        """A control character is refused, as it comes from a backslash in double quotes."""
        path = tmp_path / "a.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            read_toml(path)
        assert where + "the text has a control character. In double quotes" in str(caught.value)
        assert r"use single quotes, as in 'CORP\backup', or write each" in str(caught.value)

    def test_several_lines(self, tmp_path: Path) -> None:
        """A reason may have several lines."""
        path = tmp_path / "a.toml"
        path.write_text('exclude = """being retired,\n\tchange 4711"""', encoding="utf-8")
        assert read_toml(path).tables == {"exclude": "being retired,\n\tchange 4711"}

    @pytest.mark.parametrize("text", [r'user = "CORP\svc"', r'user = "CORP\users"'])
    def test_unknown_escape(self, tmp_path: Path, text: str) -> None:
        """A backslash that begins no escape of TOML is explained, too."""
        path = tmp_path / "a.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=r"not valid TOML: .*line 1.*use single quotes"):
            read_toml(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f"a = {'9' * 5000}", "a number in it has too many digits."),
            (f"a = 0x{'f' * 5000}", "a.toml, a: the number has too many digits."),
            (f"a = {-(2**63) - 1}", "a.toml, a: the number has too many digits."),
            (f"a = {'[' * 3000}{']' * 3000}", "its tables or lists are nested too deep."),
            (f"{'.'.join(['a'] * 3000)} = 1", "its tables or lists are nested too deep."),
            (f"[{'.'.join(['a'] * 3000)}]", "its tables or lists are nested too deep."),
        ],
        ids=range(6),
    )
    def test_beyond_any_use(self, tmp_path: Path, text: str, message: str) -> None:
        """Huge numbers and deep tables are refused in a short sentence."""
        path = tmp_path / "a.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            read_toml(path)
        assert str(caught.value).endswith(message)
        assert len(str(caught.value)) < 300

    def test_largest_number(self, tmp_path: Path) -> None:
        """All numbers of 64 bits are kept."""
        path = tmp_path / "a.toml"
        path.write_text(f"a = [{-(2**63)}, {2**63 - 1}]", encoding="utf-8")
        assert read_toml(path).tables == {"a": [-(2**63), 2**63 - 1]}


class TestConvert:
    """convert."""

    def test_value(self) -> None:
        """A valid table is converted to the type."""
        assert convert({"colour": "red", "height": 3}, Door, where="h") == Door("red", 3)

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            ({"color": "red"}, 'unknown key "color"; did you mean "colour"?'),
            (
                {"colour": "red", "weight": 1, "x": 1},
                'unknown key "weight"; did you mean "height"?',
            ),
            (
                {"colour": "red", "zzz": 1},
                'unknown key "zzz"; known keys: colour, height, lock, labels.',
            ),
            (
                {"colour": "red", "lock": {"band": "x"}},
                'unknown key "band" in "lock"; for example: lock = { brand = "x" }',
            ),
            ({}, '"colour" is missing; for example: colour = "red"'),
            (
                {"colour": 5},
                '"colour": expected str, got int; for example: colour = "red"',
            ),
            ({"colour": "red", "height": True}, '"height": expected int, got bool.'),
            ({"colour": "red", "height": date(2026, 1, 1)}, '"height": expected int, got date.'),
            (
                {"colour": "red", "lock": {"brand": 5}},
                '"lock.brand": expected str, got int; for example: lock = { brand = "x" }',
            ),
            ({"colour": "red", "labels": ["a", 5]}, '"labels[1]": expected str, got int.'),
        ],
    )
    def test_invalid(self, entries: dict[str, Any], message: str) -> None:
        """An invalid entry is an error with file and table, and an example."""
        examples = {"colour": 'colour = "red"', "lock": 'lock = { brand = "x" }'}
        with pytest.raises(SettingsError) as caught:
            convert(entries, Door, where="house.toml, [door]", examples=examples)
        assert str(caught.value) == f"house.toml, [door]: {message}"

    def test_without_examples(self) -> None:
        """Without examples the key is named, too."""
        with pytest.raises(SettingsError, match=r'^h: "colour" is missing\.$'):
            convert({}, Door, where="h")
        with pytest.raises(SettingsError, match=r'unknown key "band" in "lock"; leave it out\.'):
            convert({"colour": "red", "lock": {"band": 1}}, Door, where="h")


class TestParseDuration:
    """parse_duration."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("24h", timedelta(hours=24)),
            ("90m", timedelta(minutes=90)),
            ("1h30m", timedelta(minutes=90)),
            ("30d", timedelta(days=30)),
            ("2w", timedelta(days=14)),
            ("45s", timedelta(seconds=45)),
            ("1.5h", timedelta(minutes=90)),
            (" 1 H 30 m ", timedelta(minutes=90)),
            ("0s", timedelta(0)),
        ],
    )
    def test_read(self, text: str, expected: timedelta) -> None:
        """Numbers with units are added, in either case and with blanks."""
        assert parse_duration(text, where="rpo") == expected

    @pytest.mark.parametrize(
        "text",
        ["", " ", "24", "h", "-1h", "1h30", "1e3h", "1 month", "٣h", "inf h"],
    )
    def test_refused(self, text: str) -> None:
        """Anything else is an error with an example."""
        with pytest.raises(SettingsError, match=r"^rpo: .* is not a duration; .*for example 24h"):
            parse_duration(text, where="rpo")

    @pytest.mark.parametrize("text", ["365001d", "999999999999d", "9" * 400 + "h"])
    def test_too_long(self, text: str) -> None:
        """A duration beyond 1,000 years is too long, and the error names the limit."""
        with pytest.raises(SettingsError, match=r'^rpo: "[^"]{,41}" is too long: at most 365000d'):
            parse_duration(text, where="rpo")
        assert parse_duration("365000d", where="rpo") == timedelta(days=365_000)

    @pytest.mark.property
    @given(st.timedeltas(timedelta(0), timedelta(days=10_000)))
    def test_round_trip(self, span: timedelta) -> None:
        """A duration in days and seconds is parsed to the same duration."""
        span -= timedelta(microseconds=span.microseconds)
        assert parse_duration(f"{span.days}d{span.seconds}s", where="x") == span


class TestParseInstant:
    """parse_instant."""

    @pytest.mark.parametrize(
        "value",
        [
            "2026-11-09T00:00:00Z",
            "2026-11-09T01:00:00+01:00",
            "2026-11-09 00:00Z",
            "2026-11-09T00:00:00.000000999Z",
            "20261109T000000Z",
            datetime(2026, 11, 9, tzinfo=UTC),
            datetime(2026, 11, 9, 1, tzinfo=timezone(timedelta(hours=1))),
            pd.Timestamp("2026-11-09T01:00:00.000000999", tz="Europe/Berlin"),
        ],
    )
    def test_read(self, value: datetime | str) -> None:
        """All notations of one instant give the same Timestamp, to the microsecond."""
        instant = parse_instant(value, where="start")
        assert instant == pd.Timestamp("2026-11-09", tz="UTC")
        assert (str(instant.tz), instant.unit) == ("UTC", "us")

    @pytest.mark.parametrize(
        "value", ["2026-11-09", "2026-11-09T00:00", datetime.fromisoformat("2026-11-09"), pd.NaT]
    )
    def test_no_zone(self, value: datetime | str) -> None:
        """A time without a zone is an error."""
        with pytest.raises(SettingsError, match=r"^start: .* has no time zone; for example: 2026-"):
            parse_instant(value, where="start")

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "now",
            "yesterday",
            "09/11/2026 00:00Z",
            "2026-13-01T00:00Z",
            "2026-11-09T00:00+25:00",
            "\0",
        ],
    )
    def test_no_time(self, value: str) -> None:
        """Text that is not ISO 8601 is an error."""
        with pytest.raises(
            SettingsError, match=r"(?s)^start: .* is not a time; for example: 2026-"
        ):
            parse_instant(value, where="start")

    @pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-05:00"])
    def test_out_of_range(self, value: str) -> None:
        """An instant without a year in UTC is an error."""
        with pytest.raises(SettingsError, match="start: the time is out of range"):
            parse_instant(value, where="start")

    @pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
    def test_ends_of_the_calendar(self, value: str) -> None:
        """The first and the last instant of the calendar are valid."""
        assert parse_instant(value, where="start").isoformat() == value.replace("Z", "+00:00")


class TestTimeZone:
    """time_zone."""

    def test_known(self) -> None:
        """A name of the IANA list is a time zone."""
        zone = time_zone("Europe/Berlin", where="vc-1")
        assert datetime(2026, 7, 1, tzinfo=zone).utcoffset() == timedelta(hours=2)

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "CEST",
            "Europe",
            "Europe/Berlin ",
            "../etc/passwd",
            "/etc/localtime",
            "\0",
            "x" * 5000,
            "é",
            "\ud800",
            "localtime",
            "posixrules",
            "posix/Europe/Berlin",
            "right/Etc/UTC",
            "./Europe/Berlin",
            "Europe/../Europe/Berlin",
        ],
    )
    def test_unknown(self, name: str) -> None:
        """Anything else is an error with an example."""
        with pytest.raises(SettingsError) as caught:
            time_zone(name, where="vc-1: timezone")
        assert str(caught.value) == (
            f'vc-1: timezone: "{name}" is not a time zone of the IANA list; for example: '
            '"Europe/Berlin" or "Etc/UTC".'
        )
