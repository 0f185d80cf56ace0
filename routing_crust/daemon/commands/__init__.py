"""The commands of the console script: a function for each, in a module that is imported for it alone."""

from typing import Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
