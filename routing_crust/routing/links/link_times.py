"""How long a round trip over a link takes: what is known of it, and what is assumed where nothing is."""

from __future__ import annotations

from math import inf
from typing import Final

from ...crust.interfaces import ILink

UNMEASURED_SECONDS: Final = 0.15
"""What is assumed for a link that was not measured yet."""
DOUBTED_SECONDS: Final = 8.0
"""What is assumed for a link that may be dead."""


def known_seconds(link: ILink) -> float:
    """The round trip as it was measured; infinite if it was not."""
    seconds = link.round_trip.smoothed
    return inf if seconds is None else seconds


def assumed_seconds(link: ILink | None) -> float:
    """The round trip for a choice among links: none of them is ruled out. C{None} is a link that is gone."""
    if link is None or link.is_doubted:
        return DOUBTED_SECONDS
    seconds = known_seconds(link)
    return UNMEASURED_SECONDS if seconds == inf else seconds
