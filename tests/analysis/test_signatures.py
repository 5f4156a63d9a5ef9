"""Signatures of messages."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupkit.analysis import signature_of
from backupkit.analysis.failures import NO_MESSAGE


class TestSignatureOf:
    """`signature_of`."""

    @pytest.mark.parametrize(
        ("text", "signature"),
        [
            (
                "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
                "Db health is UNHEALTHY, Backup Failed.Disable health check to take backup.",
            ),
            ("Error during component wcp backup", "Error during component wcp backup"),
            ("Failed after 12.5 s, 3 of 4 parts", "Failed after <n> s, <n> of <n> parts"),
            ("No space left: /storage/db/vpostgres_1/x.gz", "No space left: <path>"),
            ("cannot open /a/b. Aborted.", "cannot open <path>. Aborted."),
            (r"no file C:\backup\vc-1\x.log here", "no file <path> here"),
            (r"no share \\nas\backup", "no share <path>"),
            ("put sftp://me@nas.example.com:22/vc failed", "put <uri> failed"),
            ("ftps://[fe80::1]/x", "<uri>"),
            ("Host nas-01.lab.example.com:443 is down", "Host <host> is down"),
            ("Host 10.0.0.17:22 is down, not 10.0.0.18", "Host <host> is down, not <host>"),
            ("Host 2001:db8:0:0:0:0:0:1 is down", "Host <host> is down"),
            ("mail root@vc.example.com", "mail <user>"),
            ("task 0dc1a6c5-0a45-4a3f-9b59-3e3b8d2d0e7f", "task <id>"),
            ("session deadbeef01 ended, not deadbeef", "session <id> ended, not deadbeef"),
            ("code 0x80070005, not 0x80070006", "code 0x80070005, not <id>"),
            ("job 20261105-010000-12345678 failed", "job <id> failed"),
            ("at 2026-11-05T01:00:03.123Z it failed", "at <time> it failed"),
            ("component 'vum' failed, \"wcp\" too", "component 'vum' failed, \"<name>\" too"),
            ("Failed to upload: curl error 79", "Failed to upload: curl error 79"),
            ("curl: (67) Access denied: 530", "curl: (67) Access denied: <n>"),
            ("[Errno 32] Broken pipe", "[Errno 32] Broken pipe"),
            ("exit status 120, rc:-9, 3 retries", "exit status 120, rc:-9, <n> retries"),
            ("Process returncode is 255", "Process returncode is 255"),
            ("mount error(13): x", "mount error(13): x"),
            ("Failed FTP upload: 550", "Failed FTP upload: 550"),
            ("HTTP/1.1 503 after 503 s", "HTTP/<n> 503 after <n> s"),
            ("507 Insufficient Storage", "507 Insufficient Storage"),
            ("507 files copied", "<n> files copied"),
            ("Permission denied (3/-31)", "Permission denied (3/-31)"),
            ("Error 123456 on disk", "Error <n> on disk"),
            ("Error: 12 MB missing, error 5 bytes", "Error: <n> MB missing, error <n> bytes"),
            ("Error 12.5 or 12/13", "Error <n> or <n>/<n>"),
            ("see https://x.example.com/?error=5", "see <uri>"),
            ("Stopped services: 'vmware-vpostgres'", "Stopped services: 'vmware-vpostgres'"),
            ("service nas-1.example.com is down", "service <host> is down"),
            ("error \U000f0037\U000f0039", "error"),
            ("couldn't start, isn't there", "couldn't start, isn't there"),
            ("java.lang.NullPointerException: null", "java.lang.NullPointerException: null"),
            ("sha256 of vcdb1 differs", "sha256 of vcdb1 differs"),
            ("two\n  lines\t\x1b[31mred\x00", "two lines [<n>mred"),
            ("", NO_MESSAGE),
            (" \n ", NO_MESSAGE),
        ],
    )
    def test_words(self, text: str, signature: str) -> None:
        """Counts, names and addresses become placeholders; words, codes and components stay."""
        assert signature_of(text) == signature

    @pytest.mark.parametrize(
        ("text", "args", "signature"),
        [
            ("Component wcp failed", ["wcp"], "Component wcp failed"),
            ("VUM and x7 failed", ["VUM", "x7"], "VUM and <arg> failed"),
            ("curl error 67", ["67"], "curl error 67"),
            ("Copied 67 files", ["67"], "Copied <n> files"),
            ("vc: vc-vc failed, not vcx", ["vc"], "<arg>: <arg>-<arg> failed, not vcx"),
            ("Copy to 3\\A failed", ["3\\A"], "Copy to <arg> failed"),
            ("Copy to /a/b failed", ["/a/b"], "Copy to <path> failed"),
            ("Copy to nas failed", [" nas ", "", "n"], "Copy to <arg> failed"),
            ("nas and nas two", ["nas", "nas two"], "<arg> and <arg>"),
            ("All of it is an argument", ["All of it is an argument"], "All of it is an argument"),
        ],
    )
    def test_args(self, text: str, args: list[str], signature: str) -> None:
        """Arguments become a placeholder, except one that is the complete sentence."""
        assert signature_of(text, args) == signature

    def test_bounded(self) -> None:
        """A text of 1 MB takes little time and has a short signature."""
        begin = time.process_time()
        for piece in ("a", "/", "1.", "a.", "'", "a:", "\\\\", "a@", "0-", "http:/", "x'y "):
            assert len(signature_of(piece * (1_000_000 // len(piece)), [piece * 50])) <= 300
        assert time.process_time() - begin < 3

    @pytest.mark.property
    @given(text=st.text(max_size=200), args=st.lists(st.text(max_size=20), max_size=3))
    def test_any_text(self, text: str, args: list[str]) -> None:
        """Any text has one printable line as its signature."""
        signature = signature_of(text, args)
        assert signature
        assert not re.search(r"[\x00-\x1f\x7f]", signature)
        assert signature == signature_of(text, list(reversed(args)))

    @pytest.mark.property
    @given(first=st.integers(0, 10**9), second=st.integers(0, 10**9))
    def test_numbers_do_not_matter(self, first: int, second: int) -> None:
        """Two messages that differ in a count have the same signature."""
        assert signature_of(f"Error: {first} files") == signature_of(f"Error: {second} files")

    @pytest.mark.property
    @given(number=st.integers(0, 99_999), other=st.integers(0, 99_999))
    def test_codes_matter(self, number: int, other: int) -> None:
        """Two messages with different codes of an error have different signatures."""
        for text in ("curl error {}", "[Errno {}] on /a/b", "exit status {}", "rc:{}"):
            signatures = {signature_of(text.format(code)) for code in (number, other)}
            assert len(signatures) == len({number, other})
