"""
Commands about streams, and their replies. What most of them begin lasts as long as their connection.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from ...limits import MAX_KEEP_SECONDS
from .line import ControlLine

Keep: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=MAX_KEEP_SECONDS)]
"""Seconds for which connections wait for another link."""


class OpenCommand(ControlLine, frozen=True, tag="open"):
    """
    Open a stream.

    @ivar name: the peer's name, or a nickname.
    @ivar keep: for how many seconds it may wait for another link; C{None} is C{stream_survival}.
    """

    name: str
    protocol: str
    keep: Keep | None = None


class OfferCommand(ControlLine, frozen=True, tag="offer"):
    """
    Offer a protocol to peers.

    @ivar allow: the peers that may have it, as names, nicknames, or C{*} for every node of the network.
    @ivar keep: for how many seconds its streams may wait for another link at most; C{None} leaves it to the
        peers.
    """

    protocol: str
    allow: tuple[str, ...]
    keep: Keep | None = None


class AcceptCommand(ControlLine, frozen=True, tag="accept"):
    """
    Accept a stream.

    @ivar stream: its number, from L{IncomingStreamReply}.
    """

    stream: int


class RefuseCommand(ControlLine, frozen=True, tag="refuse"):
    """
    Refuse a stream.

    @ivar stream: its number, from L{IncomingStreamReply}.
    @ivar text: why, for the peer.
    """

    stream: int
    text: str = ""


class ExposeCommand(ControlLine, frozen=True, tag="expose"):
    """
    Expose a local program to peers.

    @ivar target: where it is, as the string of a Twisted client endpoint.
    @ivar allow: see L{OfferCommand}, as for C{keep}.
    """

    protocol: str
    target: str
    allow: tuple[str, ...]
    keep: Keep | None = None


class ForwardCommand(ControlLine, frozen=True, tag="forward"):
    """
    Forward a local port to a peer.

    @ivar listen: where to listen, as the string of a Twisted server endpoint.
    @ivar name: the peer's name, or a nickname.
    @ivar keep: see L{OpenCommand}.
    """

    listen: str
    name: str
    protocol: str
    keep: Keep | None = None


class OpenedReply(ControlLine, frozen=True, tag="opened"):
    """
    The stream is open.

    @ivar name: the proven name of the peer.
    @ivar host: the name of this node.
    @ivar protocol: what is spoken.
    """

    name: str
    host: str
    protocol: str


class OfferingReply(ControlLine, frozen=True, tag="offering"):
    """
    The protocol is offered from now on.

    @ivar host: the name of this node.
    """

    host: str


class IncomingStreamReply(ControlLine, frozen=True, tag="asked"):
    """
    A peer wants a stream of an offered protocol.

    @ivar stream: the number to accept or refuse it with.
    @ivar name: the proven name of the peer.
    """

    stream: int
    name: str


class ExposingReply(ControlLine, frozen=True, tag="exposing"):
    """
    The program is exposed from now on.

    @ivar notes: what may not be meant so, for the operator.
    """

    notes: tuple[str, ...] = ()


class ForwardingReply(ControlLine, frozen=True, tag="forwarding"):
    """
    The port is open from now on.

    @ivar listen: its address, in words.
    """

    listen: str


class SuspensionReply(ControlLine, frozen=True, tag="suspension"):
    """
    The link to a peer was lost or is back, or its connections have ended meanwhile.

    @ivar peer: its name.
    @ivar change: a L{Change<routing_crust.daemon.forward.connections.Change>}, as text.
    @ivar count: how many connections with it that is about.
    @ivar seconds: for how long they have waited.
    @ivar because: why the link was lost, or they have ended.
    """

    peer: str
    change: str
    count: int
    seconds: float
    because: str


class ReportReply(ControlLine, frozen=True, tag="report"):
    """
    Something happened with a peer of an exposed program or a forwarded port: a
    L{Report<routing_crust.daemon.forward.reports.Report>}.

    @ivar peer: its nickname, else its name.
    """

    peer: str
    event: str
    text: str


SessionCommand: TypeAlias = (
    OpenCommand | OfferCommand | AcceptCommand | RefuseCommand | ExposeCommand | ForwardCommand
)
SessionReply: TypeAlias = (
    OpenedReply
    | OfferingReply
    | IncomingStreamReply
    | ExposingReply
    | ForwardingReply
    | SuspensionReply
    | ReportReply
)
