"""Known causes of failed backups, and those that a fleet adds.

The file known.toml holds the known causes; docs/failure-causes.md lists them.
"""

from backupkit.causes.catalogue import (
    MAX_SEARCHED_LENGTH,
    Catalogue,
    Cause,
    cause_of,
    known_causes,
    load_causes,
)

__all__ = ["MAX_SEARCHED_LENGTH", "Catalogue", "Cause", "cause_of", "known_causes", "load_causes"]
