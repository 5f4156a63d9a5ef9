"""Install backupkit from this folder into a virtual environment, without internet.

python3 install.py [FOLDER]      (default: backupkit-env)
"""

import subprocess
import sys
import venv
from pathlib import Path


def main() -> int:
    """Create the environment, install all wheels with their digests, and check it."""
    here = Path(__file__).resolve().parent
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "backupkit-env").resolve()
    if target.exists():
        print(f"{target} exists. Remove it, or name another folder.", file=sys.stderr)
        return 1
    venv.create(target, with_pip=True)
    scripts = target / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "--isolated", "--disable-pip-version-check"]
    wheels = ["--no-index", "--find-links", str(here / "wheels"), "--require-hashes", "--no-deps"]
    requirements = ["--requirement", str(here / "requirements.txt")]
    for step in ([*pip, "install", "--quiet", *wheels, *requirements], [*pip, "check"]):
        if subprocess.run(step, check=False).returncode:
            made_for = here.name.partition("-offline-")[2]
            print(
                f"The installation failed. These wheels are for {made_for or 'another system'}; "
                f"this is Python {sys.version.split()[0]} on {sys.platform}.",
                file=sys.stderr,
            )
            return 1
    print(f"Installed. Next: {scripts / 'backupkit'} --help")
    return 0


if __name__ == "__main__":
    sys.exit(main())
