"""
The messages on the control socket, between the daemon and local programs: one JSON object a line.

A program writes commands, the daemon writes replies; each reply carries the C{id} of its command. Bodies are
bytes, so they are in base64. The order of the lines:

  - C{status}: one C{status}.
  - C{explain}: one C{explained}.
  - C{send}: one C{done}, when the message is acknowledged.
  - C{request}: one C{answer}.
  - C{listen}: one C{listening}, then a C{received} for each message, and a C{dropped} where some were left
    out because the program read too slowly; until one of the two closes the connection.
  - C{expose}: one C{exposing}. What is exposed stays so until the connection is closed. A C{suspension} says
    that the link to a peer with connections is lost, is back, or that they have ended; a C{report} names the
    connection type of a peer, or why it gets no connection.
  - C{forward}: one C{forwarding}, and C{suspension} and C{report} likewise. The port stays open until the
    connection is closed.
  - C{open}: one C{opened}. After that the connection is the stream, in the chunks of
    L{routing_crust.daemon.control.chunks}, both ways; no more lines.
  - C{reload}, C{add}, C{remove}: one C{changed}, when the change is in force; C{list}: one C{listed}.
  - C{invite}: one C{invited}; the other commands about members likewise have one reply each.
  - C{offer}: one C{offering}, then an C{asked} for each stream that a peer wants, until the connection is
    closed. To have that stream, a program sends C{accept} with its number on another connection, which
    becomes the stream as after C{open}; to refuse it, C{refuse} on any connection, which is not replied to.

Instead of any of these, C{error} says why the command failed. Several commands may be under way at once on a
connection.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from ...limits import MIB
from ...plain_errors import RoutingCrustError
from .line import ControlLine
from .live_messages import LiveCommand, LiveReply
from .member_messages import MemberCommand, MemberReply
from .session_messages import SessionCommand, SessionReply

LINE_OVERHEAD_BYTES: Final = 4096
"""What a line has at most beside the body."""
MAX_REPLY_BYTES: Final = 90 * MIB
"""A body of the largest size that the settings allow (64 MiB) fits, in base64."""

_Union = TypeVar("_Union")


class BadLine(RoutingCrustError):
    """A line is none of the objects here; the text says why."""


class StatusCommand(ControlLine, frozen=True, tag="status"):
    """Ask for the state of the node."""


class ExplainCommand(ControlLine, frozen=True, tag="explain"):
    """
    Ask why there is a link with a node, or none.

    @ivar name: its name.
    """

    name: str


class SendCommand(ControlLine, frozen=True, tag="send"):
    """Send a message."""

    name: str
    body: bytes


class RequestCommand(ControlLine, frozen=True, tag="request"):
    """Send a request."""

    name: str
    body: bytes


class ListenCommand(ControlLine, frozen=True, tag="listen"):
    """
    Report the messages that come from now on.

    @ivar answer: what requests are answered with; C{None} leaves them to other listeners.
    """

    answer: bytes | None = None


class StatusReply(ControlLine, frozen=True, tag="status"):
    """The state of the node."""

    status: dict[str, Any]


class ExplainReply(ControlLine, frozen=True, tag="explained"):
    """What L{RoutingService.explain<routing_crust.routing.service.RoutingService.explain>} says."""

    explanation: dict[str, Any]


class DoneReply(ControlLine, frozen=True, tag="done"):
    """
    The message has been acknowledged.

    @ivar name: by whom.
    @ivar way: the way that it went, in words.
    @ivar seconds: in what time.
    """

    name: str = ""
    way: str = ""
    seconds: float = 0.0


class AnswerReply(ControlLine, frozen=True, tag="answer"):
    """The answer to a request."""

    body: bytes


class ListeningReply(ControlLine, frozen=True, tag="listening"):
    """Messages are reported from now on."""


class ReceivedReply(ControlLine, frozen=True, tag="received"):
    """
    A message came.

    @ivar source: the name of its sender.
    @ivar group: the name whose close group it was sent to, if it was.
    @ivar request: whether it is a request; it has been answered with the answer of this listener.
    """

    source: str
    body: bytes
    group: str | None = None
    request: bool = False


class DroppedReply(ControlLine, frozen=True, tag="dropped"):
    """The number of messages that were left out here, because the listener read too slowly."""

    count: int


class FailedReply(ControlLine, frozen=True, tag="error"):
    """
    A command failed.

    @ivar kind: the class of the error, as in L{routing_crust.errors}.
    @ivar text: what to tell the operator.
    """

    kind: str
    text: str


Command: TypeAlias = (
    StatusCommand
    | ExplainCommand
    | SendCommand
    | RequestCommand
    | ListenCommand
    | SessionCommand
    | MemberCommand
    | LiveCommand
)
Reply: TypeAlias = (
    StatusReply
    | ExplainReply
    | DoneReply
    | AnswerReply
    | ListeningReply
    | ReceivedReply
    | DroppedReply
    | SessionReply
    | MemberReply
    | LiveReply
    | FailedReply
)

# made once: a decoder compiles its type
_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_encoder = msgspec.json.Encoder()


def encode(line: Command | Reply) -> bytes:
    """Encode a message as JSON, without the end of the line."""
    return _encoder.encode(line)


def decode_command(line: bytes) -> Command:
    """
    Decode a command.

    @raise BadLine: the line is none.
    """
    return _decode(_commands, line)


def decode_reply(line: bytes) -> Reply:
    """
    Decode a reply.

    @raise BadLine: the line is none.
    """
    return _decode(_replies, line)


def kind_of(reply: Reply) -> str:
    """The C{type} of a reply."""
    return str(reply.__struct_config__.tag)


def longest_command(max_message: int) -> int:
    """The length limit of a command's line, in bytes, for bodies of up to C{max_message} bytes."""
    # base64 makes four bytes of three, and fills up the last group
    return -(-max_message // 3) * 4 + LINE_OVERHEAD_BYTES


def _decode(decoder: msgspec.json.Decoder[_Union], line: bytes) -> _Union:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(f"this line is not understood: {error}") from None
