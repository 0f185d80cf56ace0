"""What every line on the control socket has."""

from __future__ import annotations

import msgspec


# A field that is not known is an error: a program of a newer version must not believe that it was understood.
class ControlLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """
    A command or a reply.

    @ivar id: chosen by the program that sends a command; each reply carries that of its command.
    """

    id: int = 0
