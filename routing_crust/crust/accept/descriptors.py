"""
Descriptors: how many the process may still open, and the reserve that accepted connections leave to the rest.

Each connection takes a descriptor, so peers could take all, and the control socket, our own dials and every
file would go without. The system gives each new descriptor the lowest number that is free: so the number of
the next one says how many are left, at least.
"""

from __future__ import annotations

import os
from typing import Final

try:
    import resource
except ImportError:  # pragma: no cover - not a POSIX system
    resource = None  # type: ignore[assignment]

RESERVED_DESCRIPTORS: Final = 64
"""When fewer are left, a connection is accepted only if another makes room."""
MIN_DESCRIPTORS: Final = RESERVED_DESCRIPTORS // 2
"""When fewer are left, none is accepted: those that make room are closed in the reactor's next turn only."""
PLENTY: Final = 1 << 20
"""Where the system sets no limit, or does not tell."""


def descriptors_left() -> int:
    """How many descriptors this process may still open, at least."""
    if resource is None:
        return PLENTY
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return PLENTY
    try:
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # this process has none left, or the system has not: accept nothing in either case
        return 0
    os.close(number)
    return max(0, limit - number)


def raise_descriptor_limit() -> None:
    """Let this process open as many descriptors as the system allows it."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # some systems set no hard limit, and still refuse more than they can do
        return
