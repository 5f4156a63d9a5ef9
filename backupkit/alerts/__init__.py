"""Alerts: what changed since the newest message, and who gets a message about it."""
