"""Build wheel and source archive, the same bytes from the same commit."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Build both archives and their sums."""
    out: Path = build_parser(__doc__).parse_args(argv).out
    build(out)
    write_sums(out)
    return 0


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that all builds have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder, is replaced")
    return parser


def build(out: Path) -> Path:
    """Build both archives, and return the path of the wheel."""
    shutil.rmtree(out, ignore_errors=True)
    committed = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    # a source archive has no commit: hatchling takes a fixed time then
    epoch = {"SOURCE_DATE_EPOCH": committed.stdout.strip()} if committed.returncode == 0 else {}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)],
        cwd=ROOT,
        env=os.environ | epoch,
        check=True,
    )
    [wheel] = out.glob("*.whl")
    return wheel


def write_sums(out: Path) -> None:
    """Write SHA256SUMS of all files, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in out.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    print("".join(lines), end="")


if __name__ == "__main__":
    sys.exit(main())
