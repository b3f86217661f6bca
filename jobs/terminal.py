"""How wide the terminal is."""

import shutil

from pipelines.terminal.aligned import WIDTH

NARROWEST, WIDEST = 80, 100


def terminal_width() -> int:
    """Characters per line, between 80 and 100; where no terminal is, as in a pipe, 96."""
    found = shutil.get_terminal_size((WIDTH, 24)).columns
    return min(max(found, NARROWEST), WIDEST)
