"""Audits: runs compared with a baseline by limits, again and again, with a verdict each time."""
