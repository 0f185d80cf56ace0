"""
What the consolidation of links is told and what it has done: links to choose from, and actions.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeAlias

from ...endpoints import PathKind
from ...errors import CloseReason
from ...wire.messages import Confirmation, LinkUse


@dataclass(frozen=True, slots=True)
class CandidateLink:
    """
    A link with a verified Hello.

    @ivar link: the link itself, which is only compared here.
    @ivar we_dialled: its direction.
    @ivar use: what it was made for.
    @ivar we_asked: whether the request that it answers was ours; without meaning for C{ATTACHED}.
    @ivar since: when its Hello was verified, in seconds.
    @ivar path_kind: how it came about.
    @ivar both_ways: whether each end can dial the other, as far as their NATs are known.
    @ivar beside: whether the end that made it doubts the current link, or found it slower.
    """

    link: Hashable
    we_dialled: bool
    use: LinkUse
    we_asked: bool
    since: float
    path_kind: PathKind = PathKind.DIRECT
    both_ways: bool = True
    beside: bool = False

    @property
    def plain(self) -> bool:
        """Whether it proves that one end can dial the other at any time."""
        return self.path_kind in (PathKind.MAPPED, PathKind.DIRECT)

    @property
    def primary(self) -> bool:
        """Whether the responder dialled it."""
        # an attached link answers no request, so neither end is its responder
        return self.use is not LinkUse.ATTACHED and self.we_dialled != self.we_asked


@dataclass(frozen=True, slots=True)
class SendConfirmation:
    """Send our decision on the link."""

    link: Hashable
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class SendAck:
    """
    Acknowledge the decision with this epoch on the link.

    @ivar declined: the link is not used for more than before.
    """

    link: Hashable
    epoch: int
    declined: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link."""

    link: Hashable
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Established:
    """The two ends agree: this is the link from now on, for this use."""

    link: Hashable
    use: LinkUse
    two_way: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """The peer may have lost this link: probe it."""

    link: Hashable


Action: TypeAlias = SendConfirmation | SendAck | Close | Established | Doubt
