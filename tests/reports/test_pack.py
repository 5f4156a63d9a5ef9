"""Evidence of a period in one zip file."""

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from backupkit.assessment import Assessment
from backupkit.errors import OutputError, SettingsError
from backupkit.reports import report
from backupkit.reports.pack import build_pack, sign, write_pack

LEDGER = {"head": "ab" * 32, "data_version": "ab" * 32, "problems": []}
KEYGEN = shutil.which("ssh-keygen") or ""
needs_ssh = pytest.mark.skipif(not KEYGEN, reason="no OpenSSH")


def unpack(pack: bytes) -> dict[str, bytes]:
    """Return the files of a zip file by name."""
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def make_key(path: Path) -> Path:
    """Make a key without a passphrase."""
    subprocess.run([KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def is_signed_by(files: dict[str, bytes], key: Path, folder: Path) -> bool:
    """Return whether OpenSSH accepts the signature of the checksums."""
    signers, signature = folder / "signers", folder / "signature"
    signers.write_text(f"team {key.with_suffix('.pub').read_text('utf-8')}", "utf-8")
    signature.write_bytes(files["SHA256SUMS.sig"])
    command = [KEYGEN, "-Y", "verify", "-f", str(signers), "-I", "team", "-n", "backupkit"]
    done = subprocess.run(
        [*command, "-s", str(signature)],
        input=files["SHA256SUMS"],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


class TestSavePack:
    """`Report.save_pack`."""

    def test_content(self, week: Assessment, tmp_path: Path) -> None:
        """It has the files of the report, policy, ledger, README, and the sums of all."""
        one = report(week)
        path = one.save_pack(tmp_path / "e.zip", ledger=LEDGER)
        files = unpack(path.read_bytes())
        saved = one.save(tmp_path / "report.html")
        for file in saved:
            assert files[file.name] == file.read_bytes()
        others = {"README.txt", "SHA256SUMS", "ledger.json", "policy.toml"}
        assert set(files) == {file.name for file in saved} | others
        lines = files.pop("SHA256SUMS").decode().splitlines()
        sums = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in files.items()]
        assert lines == sums
        readme = files["README.txt"].decode()
        assert "This pack is not signed." in readme
        assert f"Head of the ledger: {'ab' * 32}\nVerification: no problems" in readme
        assert "--history copy.db --fleet policy.toml" in readme
        assert readme.endswith("again.csv and report.csv.\n")

    def test_same_bytes(self, week: Assessment, tmp_path: Path) -> None:
        """Writing it again gives the same bytes, and is no error."""
        path = report(week).save_pack(tmp_path / "e.zip")
        before = path.read_bytes()
        assert report(week).save_pack(str(path)).read_bytes() == before
        with zipfile.ZipFile(path) as archive:
            assert {info.date_time[0] for info in archive.infolist()} == {1980}

    def test_aliases(self, week: Assessment, tmp_path: Path) -> None:
        """A pack of a redacted report has no name in any file."""
        path = report(week).redacted(b"secret").save_pack(tmp_path / "e.zip")
        files = unpack(path.read_bytes())
        for content in files.values():
            assert b"vc-strikes" not in content
            assert b"Hamburg" not in content
        readme = files["README.txt"].decode()
        assert "Names are replaced by aliases." in readme
        assert "The history was not verified for this pack." in readme
        assert "--fleet fleet.toml" in readme

    def test_readme(self, week: Assessment, tmp_path: Path) -> None:
        """The README counts problems of the history, and has the command that verifies it."""
        problem = {"what": "append 1", "problem": "digest differs"}
        stored = dataclasses.replace(week, version="cd" * 32)
        path = report(stored).save_pack(
            tmp_path / "e.zip", ledger={**LEDGER, "problems": [problem]}
        )
        readme = unpack(path.read_bytes())["README.txt"].decode()
        assert "Verification: 1 problem, listed in ledger.json" in readme
        assert f"backupkit history verify --history copy.db --head {'cd' * 32}" in readme

    @needs_ssh
    def test_signature(self, week: Assessment, tmp_path: Path) -> None:
        """OpenSSH accepts the signature, and not with one changed byte or another key."""
        key = make_key(tmp_path / "key")
        path = report(week).save_pack(tmp_path / "e.zip", sign_key=key)
        files = unpack(path.read_bytes())
        assert "-s SHA256SUMS.sig < SHA256SUMS" in files["README.txt"].decode()
        assert is_signed_by(files, key, tmp_path)
        assert not is_signed_by(files, make_key(tmp_path / "other"), tmp_path)
        changed = bytes([files["SHA256SUMS"][0] ^ 1]) + files["SHA256SUMS"][1:]
        assert not is_signed_by({**files, "SHA256SUMS": changed}, key, tmp_path)


class TestWritePack:
    """`write_pack` never replaces evidence."""

    def test_other_content(self, tmp_path: Path) -> None:
        """A file with another content is kept."""
        path = tmp_path / "e.zip"
        path.write_bytes(b"evidence of last month")
        with pytest.raises(OutputError, match="never replaced"):
            write_pack(path, build_pack({"a": b"1"}))
        assert path.read_bytes() == b"evidence of last month"

    def test_unreadable(self, tmp_path: Path) -> None:
        """A path that cannot be read is not replaced either."""
        with pytest.raises(OutputError, match="exists and cannot be read"):
            write_pack(tmp_path, b"")


class TestSign:
    """`sign`: errors name the key and the next step."""

    @needs_ssh
    def test_no_key(self, tmp_path: Path) -> None:
        """A file that is no key is named."""
        key = tmp_path / "key"
        key.write_text("no key", "utf-8")
        key.chmod(0o600)
        with pytest.raises(SettingsError, match=r"key cannot sign: .* ssh-keygen -t ed25519"):
            sign(b"", key)

    def test_no_program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without OpenSSH the error says what to install."""
        monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
        with pytest.raises(SettingsError, match="ssh-keygen was not found"):
            sign(b"", tmp_path / "key")
