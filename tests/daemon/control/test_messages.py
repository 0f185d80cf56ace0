"""
The lines on the control socket.
"""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.control.member_messages import InviteCommand, InvitedReply
from routing_crust.daemon.control.messages import (
    MAX_REPLY_BYTES,
    AnswerReply,
    BadLine,
    DoneReply,
    DroppedReply,
    ExplainCommand,
    ExplainReply,
    FailedReply,
    ListenCommand,
    ListeningReply,
    ReceivedReply,
    RequestCommand,
    SendCommand,
    StatusCommand,
    StatusReply,
    decode_command,
    decode_reply,
    encode,
    longest_command,
)
from routing_crust.daemon.control.session_messages import (
    AcceptCommand,
    ExposeCommand,
    ExposingReply,
    ForwardCommand,
    ForwardingReply,
    IncomingStreamReply,
    OfferCommand,
    OfferingReply,
    OpenCommand,
    OpenedReply,
    RefuseCommand,
    ReportReply,
    SuspensionReply,
)

COMMANDS = (
    StatusCommand(id=1),
    SendCommand(name="n", body=b"\x00\xff\n"),
    RequestCommand(id=2**40, name="n", body=b""),
    ExplainCommand(id=3, name="n"),
    ListenCommand(),
    ListenCommand(answer=b""),
    OpenCommand(name="n", protocol="p"),
    OfferCommand(protocol="p", allow=("n", "*")),
    AcceptCommand(stream=4),
    RefuseCommand(stream=4, text="t"),
    ExposeCommand(protocol="p", target="tcp:h:1", allow=()),
    ForwardCommand(listen="tcp:1", name="n", protocol="p", keep=3600),
    InviteCommand(nickname="laptop", roles=("node",), tags=("t",), uses=2, lifetime=60.0, allow=("ssh",)),
)
REPLIES = (
    ExplainReply(explanation={"name": "n", "attempts": []}),
    StatusReply(status={"links": [{"peer": "n"}], "proxy": None}),
    DoneReply(id=3),
    DoneReply(id=3, name="n", way="direct", seconds=0.5),
    ReportReply(id=3, peer="bob", event="link", text="connected, direct"),
    AnswerReply(body=b"\n"),
    ListeningReply(),
    ReceivedReply(source="n", body=b"b", group="g", request=True),
    DroppedReply(count=3),
    OpenedReply(name="n", host="h", protocol="p"),
    OfferingReply(host="h"),
    IncomingStreamReply(stream=4, name="n"),
    ExposingReply(),
    ForwardingReply(listen="l"),
    InvitedReply(line="l", expires=1e9, endpoints=("192.0.2.1:5483",), warning="w"),
    SuspensionReply(peer="n", change="ended", count=2, seconds=1.5, because="b"),
    FailedReply(kind="PeerUnreachable", text="nobody\nthere"),
)


class LinesTests(SynchronousTestCase):
    """There and back."""

    def test_what_is_written_can_be_read_and_is_one_line(self) -> None:
        for command in COMMANDS:
            self.assertEqual(decode_command(encode(command)), command)
        for reply in REPLIES:
            self.assertEqual(decode_reply(encode(reply)), reply)
        for each in (*COMMANDS, *REPLIES):
            self.assertNotIn(b"\n", encode(each))

    def test_a_line_can_be_written_by_hand(self) -> None:
        self.assertEqual(
            decode_command(b'{"type": "send", "name": "n", "body": "aGk="}'),
            SendCommand(name="n", body=b"hi"),
        )

    def test_what_is_no_command_says_why(self) -> None:
        for line in (
            b"",
            b"[]",
            b"{}",
            b'{"type": "stop"}',
            b'{"type": "send", "name": "n"}',
            b'{"type": "send", "name": 3, "body": ""}',
            b'{"type": "status", "more": 1}',
            b'{"type": "status", "id": "x"}',
            b'{"type": "send", "name": "\xff", "body": ""}',
            b'{"type": "send", "name": "n", "body": "*"}',
            b'{"type":' * 100_000,
        ):
            error = self.assertRaises(BadLine, decode_command, line)
            self.assertTrue(str(error).startswith("this line is not understood: "), error)

    @given(st.binary(max_size=200))
    def test_nothing_else_is_raised(self, line: bytes) -> None:
        with contextlib.suppress(BadLine):
            decode_command(line)
        with contextlib.suppress(BadLine):
            decode_reply(line)

    def test_the_longest_body_fits(self) -> None:
        for size in (0, 1, 2, 3, 1000, 2**20):
            line = encode(SendCommand(id=2**60, name="n" * 52, body=b"x" * size))
            self.assertLessEqual(len(line), longest_command(size))
            self.assertGreater(len(line), longest_command(size) - 4096)
        self.assertLess(longest_command(64 * 2**20), MAX_REPLY_BYTES)
