"""Commands of backupkit, one module each."""
