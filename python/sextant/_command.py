"""The command line, which is in the wheel."""

import os
import sys

from ._library import native


def main() -> None:
    """Becomes the executable `sextant`."""
    command = native("sextant")
    os.execv(command, [command, *sys.argv[1:]])
