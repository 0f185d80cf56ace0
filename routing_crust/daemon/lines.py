"""
What the daemon and the console script say to each other on the control socket: one JSON object in each line.

The script writes commands, the daemon writes replies; each reply carries the C{id} of its command. Bodies are
bytes, so they are in base64. The order of the lines:

  - C{status}: one C{status}.
  - C{explain}: one C{explained}.
  - C{send}: one C{done}, when the message is acknowledged.
  - C{request}: one C{answer}.
  - C{listen}: one C{listening}, then a C{received} for each message, and a C{dropped} where some were left
    out because the script read too slowly; until one of the two closes the connection.

Instead of any of these, C{error} says why not. Several commands may be under way at once on a connection.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from ..config import MIB
from ..errors import RoutingCrustError

LINE_OVERHEAD: Final = 4096
"""What a line has at most beside the body, in bytes."""
LONGEST_REPLY: Final = 90 * MIB
"""In bytes: a body of the largest size that the settings allow (64 MiB) fits, in base64."""

_Union = TypeVar("_Union")


class BadLine(RoutingCrustError):
    """A line is not one of the objects above; the text says why."""


class _Object(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    id: int = 0


class StatusCommand(_Object, frozen=True, tag="status"):
    """Ask for the state of the node."""


class ExplainCommand(_Object, frozen=True, tag="explain"):
    """
    Ask why there is a link with a node, or none.

    @ivar name: its name.
    """

    name: str


class SendCommand(_Object, frozen=True, tag="send"):
    """Send a message."""

    name: str
    body: bytes


class RequestCommand(_Object, frozen=True, tag="request"):
    """Send a request."""

    name: str
    body: bytes


class ListenCommand(_Object, frozen=True, tag="listen"):
    """
    Hear of the messages that come from now on.

    @ivar answer: what requests are answered with; C{None} leaves them to others.
    """

    answer: bytes | None = None


class StatusReply(_Object, frozen=True, tag="status"):
    """The state of the node."""

    status: dict[str, Any]


class ExplainReply(_Object, frozen=True, tag="explained"):
    """What L{RoutingService.explain<routing_crust.routing.service.RoutingService.explain>} says."""

    explanation: dict[str, Any]


class Done(_Object, frozen=True, tag="done"):
    """The message was acknowledged."""


class Answer(_Object, frozen=True, tag="answer"):
    """The answer to a request."""

    body: bytes


class Listening(_Object, frozen=True, tag="listening"):
    """Messages are reported from now on."""


class Received(_Object, frozen=True, tag="received"):
    """
    A message came.

    @ivar source: the name of who sent it.
    @ivar group: the name to whose close group it was sent, if it was.
    @ivar request: whether it was a request, which this listener's answer was given to.
    """

    source: str
    body: bytes
    group: str | None = None
    request: bool = False


class Dropped(_Object, frozen=True, tag="dropped"):
    """So many messages were left out here, because the listener reads too slowly."""

    count: int


class Failed(_Object, frozen=True, tag="error"):
    """
    A command failed.

    @ivar kind: the class of the error, as in L{routing_crust.errors}.
    @ivar text: what to tell the operator.
    """

    kind: str
    text: str


Command: TypeAlias = StatusCommand | ExplainCommand | SendCommand | RequestCommand | ListenCommand
Reply: TypeAlias = StatusReply | ExplainReply | Done | Answer | Listening | Received | Dropped | Failed

_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_replies: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_encoder = msgspec.json.Encoder()


def encode(line: Command | Reply) -> bytes:
    """One object as JSON, without the end of the line."""
    return _encoder.encode(line)


def decode_command(line: bytes) -> Command:
    """
    Read a command.

    @raise BadLine: it is none.
    """
    return _decode(_commands, line)


def decode_reply(line: bytes) -> Reply:
    """
    Read a reply.

    @raise BadLine: it is none.
    """
    return _decode(_replies, line)


def longest_command(max_message: int) -> int:
    """How many bytes a command line may have, when a body may have so many."""
    return -(-max_message // 3) * 4 + LINE_OVERHEAD


def _decode(decoder: msgspec.json.Decoder[_Union], line: bytes) -> _Union:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(f"this line is not understood: {error}") from None
