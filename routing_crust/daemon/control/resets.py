"""
Why a stream on the control socket is given up: what follows the head of a C{RESET} in
L{routing_crust.daemon.control.chunks}.
"""

from __future__ import annotations

import msgspec
from twisted.internet.error import ConnectionLost

from ...plain_errors import RoutingCrustError
from ...streams import StreamLinkLost, StreamReason, StreamReset


class ResetReason(msgspec.Struct, frozen=True):
    """
    Why a stream is given up.

    @ivar reason: a L{StreamReason}, if it was reset.
    @ivar text: in words.
    """

    reason: int | None
    text: str


class SocketLost(RoutingCrustError):
    """The other end of the control socket is gone; the text says what that was."""


def reset_payload(problem: BaseException | None) -> bytes:
    """The payload of a L{ChunkKind.RESET} for the error that a stream has ended with."""
    if isinstance(problem, StreamReset):
        reset = ResetReason(int(problem.reason), problem.detail)
    else:
        reset = ResetReason(None, str(problem.problem if isinstance(problem, StreamLinkLost) else problem))
    return msgspec.json.encode(reset)


def reset_problem(payload: bytes) -> Exception:
    """The error that a stream ends with, from the payload of a L{ChunkKind.RESET}."""
    try:
        reset = msgspec.json.decode(payload, type=ResetReason)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ConnectionLost("it was reset, and why cannot be read")
    if reset.reason is None:
        return StreamLinkLost(SocketLost(reset.text))
    # the other end may be of a newer version
    known = reset.reason in [int(each) for each in StreamReason]
    return StreamReset(StreamReason(reset.reason) if known else StreamReason.UNKNOWN, reset.text)
