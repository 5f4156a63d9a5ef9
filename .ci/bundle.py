"""Build an archive that installs backupkit on a machine without internet.

It has all wheels with their digests, an installer, and a list of the components (SBOM). Wheels are
built for one system and Python: those of this machine.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dist import ROOT, build, build_parser, write_sums

INSTALLER: Final = Path(__file__).with_name("install.py")
SCRIPTS: Final = "Scripts" if sys.platform == "win32" else "bin"


def main(argv: Sequence[str] | None = None) -> int:
    """Build the archive of some extras."""
    parser = build_parser(__doc__)
    parser.add_argument("--extras", default="demo,keyring,postgresql,xlsx", help="comma-separated")
    options = parser.parse_args(argv)
    out, extras = options.out, options.extras
    wheel = build(out)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder)
        download(wheel, extras, bundle / "wheels")
        (bundle / "requirements.txt").write_text(list_hashes(bundle / "wheels"), encoding="utf-8")
        (bundle / "install.py").write_bytes(INSTALLER.read_bytes())
        (bundle / "bom.json").write_bytes(list_components(bundle))
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        kind = "-lab" if "lab" in extras.split(",") else ""
        name = f"{'-'.join(wheel.name.split('-')[:2])}-offline{kind}-{python}-{platform}"
        pack(bundle, out / f"{name}.tar.gz", name)
    write_sums(out)
    return 0


def download(wheel: Path, extras: str, folder: Path) -> None:
    """Download the wheels of backupkit's dependencies, in the versions of constraints.txt."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    versions = ["--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt")]
    wanted = f"{wheel}[{extras}]" if extras else str(wheel)
    subprocess.run(
        [*pip, "download", "--quiet", *versions, "--dest", str(folder), wanted], check=True
    )


def list_hashes(folder: Path) -> str:
    """Return the wheels as requirements with digests, which pip checks."""
    lines = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name.lower()):
        name, version = path.name.split("-")[:2]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}\n")
    return "".join(lines)


def list_components(bundle: Path) -> bytes:
    """Install the bundle without an index, and return its components as CycloneDX JSON."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "venv"
        subprocess.run(
            [sys.executable, str(bundle / "install.py"), str(target)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        options = ["--output-reproducible", "--pyproject", str(ROOT / "pyproject.toml")]
        python = str(target / SCRIPTS / "python")
        listed = subprocess.run(
            [sys.executable, "-m", "cyclonedx_py", "environment", *options, python],
            check=True,
            capture_output=True,
        )
    return listed.stdout


def pack(bundle: Path, archive: Path, name: str) -> None:
    """Pack a folder, the same bytes from the same files."""

    def normalise(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in [bundle, *sorted(bundle.rglob("*"))]:
            relative = path.relative_to(bundle).as_posix()
            tar.add(path, f"{name}/{relative}", recursive=False, filter=normalise)
    archive.write_bytes(gzip.compress(content.getvalue(), compresslevel=1, mtime=0))


if __name__ == "__main__":
    sys.exit(main())
