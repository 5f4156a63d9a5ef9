"""Run the command line: ``python -m backupkit``."""

from backupkit.cli import run

if __name__ == "__main__":
    run()
