"""C{pipe}: the standard input and output as a stream, for programs that run a command to connect."""

from typing import Final

HOST_SUFFIX: Final = ".crust"
"""What may follow a nickname where a program wants the name of a host."""
