"""What of the environment must never leave it."""

import os

NAMES = ("SECRET", "TOKEN", "PASSWORD", "WEBHOOK", "_KEY", "CONNECTION_STRING")


def secrets() -> list[str]:
    """Values of the environment that must never be printed or written."""
    found = os.environ.items()
    return [v for k, v in found if len(v) >= 8 and any(name in k.upper() for name in NAMES)]
