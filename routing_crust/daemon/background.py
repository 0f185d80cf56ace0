"""
The process of a daemon that C{routing-crust} starts: it loads what a daemon needs while the command that has
started it has other things to do, and becomes one when it is told the arguments of C{twistd}.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Final

MODULES: Final = ("twisted.scripts.twistd", "twisted.internet.reactor", "routing_crust.daemon.plugin")


def main() -> None:
    """Load, read the arguments from the standard input, a line each, and run C{twistd}; without any, end."""
    # what modules consist of stays, so that looking for garbage among it takes time and finds none
    gc.disable()
    twistd, *_ = map(import_module, MODULES)
    gc.freeze()
    gc.enable()
    arguments = sys.stdin.read().splitlines()
    if arguments:
        sys.argv[1:] = arguments
        twistd.run()
