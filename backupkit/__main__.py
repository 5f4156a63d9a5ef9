"""Run the command line: ``python -m backupkit``."""

from backupkit.cli import run

run()
