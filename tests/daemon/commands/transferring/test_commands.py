"""C{send-file} and C{receive}: what they say, with a pair of sockets in the place of two daemons."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any, BinaryIO

from routing_crust.daemon import cli
from routing_crust.daemon.commands.transferring import receive as receiving
from routing_crust.daemon.commands.transferring import send_file as sending
from routing_crust.daemon.commands.transferring.offers import BUSY, LEAST_BYTES, HeldUp, IncomingOffers
from routing_crust.daemon.commands.transferring.progress import TransferLine, clock_text
from routing_crust.daemon.control.client import ClientError
from routing_crust.daemon.control.messages import Command, Reply, StatusReply
from routing_crust.daemon.control.session_messages import (
    AcceptCommand,
    IncomingStreamReply,
    OfferCommand,
    OfferingReply,
    OpenCommand,
    OpenedReply,
    RefuseCommand,
)
from routing_crust.daemon.transfer.channel import Channel
from routing_crust.daemon.transfer.messages import PROTOCOL
from routing_crust.daemon.transfer.sender import Sender
from routing_crust.daemon.transfer.source import Source
from routing_crust.daemon.transfer.sums import Sums
from routing_crust.limits import MIB
from routing_crust.plain_errors import RoutingCrustError
from routing_crust.streams import StreamReason

from ...fakes import ALICE, BOB, temporary_directory
from ...test_cli import CliTestCase

PATIENCE_SECONDS = 120


class PlayedClient:
    """
    A connection to a daemon that has one stream.

    @ivar asked: the commands.
    """

    def __init__(self, wire: socket.socket, peers: int = 1, refusal: str = "", nickname: str = "") -> None:
        """
        @param peers: how many want to send something.
        @param refusal: why no stream can be opened.
        """
        self.asked: list[Command] = []
        self._wire = wire
        self._peers = peers
        self._refusal = refusal
        self._nickname = nickname

    def __enter__(self) -> PlayedClient:
        return self

    def __exit__(self, *error: object) -> None:
        """The streams are the test's."""

    def ask(self, command: Command, expected: type, timeout: float) -> Any:
        self.asked.append(command)
        if self._refusal:
            raise ClientError(self._refusal)
        if isinstance(command, OfferCommand):
            return OfferingReply(host=str(BOB))
        if isinstance(command, OpenCommand | AcceptCommand):
            return OpenedReply(name=str(ALICE), host=str(BOB), protocol=PROTOCOL)
        return StatusReply(status={"links": [{"peer": str(ALICE), "nickname": self._nickname}]})

    def tell(self, command: Command) -> None:
        self.asked.append(command)

    def replies(self) -> Any:
        for number in range(self._peers):
            yield IncomingStreamReply(stream=number, name=str(ALICE))
        raise ClientError("the daemon has stopped")

    def becomes_a_stream(self) -> tuple[socket.socket, BinaryIO]:
        return self._wire, self._wire.makefile("rb")


class TransferCommandCase(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.there, self.into = temporary_directory(self), temporary_directory(self)
        (self.there / "notes").write_bytes(b"content")
        self.mine, self.theirs = socket.socketpair()
        for each in (self.mine, self.theirs):
            each.settimeout(PATIENCE_SECONDS)
            self.addCleanup(each.close)
        self.patch(os, "fsync", lambda descriptor: None)

    def client(self, module: Any, **more: Any) -> PlayedClient:
        client = PlayedClient(self.mine, **more)
        self.patch(module, "connect", lambda options: client)
        return client

    def beside(self, other: Callable[[Channel], object]) -> Thread:
        """The other end, in a thread."""

        def run() -> None:
            try:
                with self.theirs.makefile("rb") as incoming:
                    other(Channel(self.theirs, incoming))
            except RoutingCrustError:
                return

        thread = Thread(target=run, daemon=True)
        thread.start()
        return thread

    def send_notes(self, channel: Channel) -> None:
        source = Source.of([self.there / "notes"], str)
        Sender(channel, source).run(source.offer(), lambda: None)

    def events(self) -> dict[str, dict[str, Any]]:
        lines = [json.loads(each) for each in self.out.getvalue().splitlines()]
        return {each["event"]: each for each in lines}


class ReceiveTests(TransferCommandCase):
    def receive(self, *options: str) -> int:
        sender = self.beside(self.send_notes)
        code = self.run_script("receive", f"--into={self.into}", *options)
        self.theirs.shutdown(socket.SHUT_RDWR)
        sender.join(PATIENCE_SECONDS)
        return code

    def answer(self, text: str) -> None:
        asked = io.StringIO(text)
        asked.isatty = lambda: True  # type: ignore[method-assign]
        self.patch(sys, "stdin", asked)

    def test_offer_is_a_question_that_names_sender_and_size(self) -> None:
        self.answer("y\n")
        self.client(receiving, nickname="desk")
        self.assertEqual(self.receive(), 0)
        self.assertEqual((self.into / "notes").read_bytes(), b"content")
        self.assertIn(f"desk ({str(ALICE)[:8]}) offers 1 file, 7 B: notes", self.out.getvalue())
        self.assertIn("Take it? [y/N]", self.err.getvalue())
        self.assertIn("received from desk", self.out.getvalue())

    def test_anything_but_yes_declines_and_the_next_is_waited_for(self) -> None:
        self.answer("\n")
        self.client(receiving)
        self.assertEqual(self.receive(), 1)
        self.assertEqual(os.listdir(self.into), [])
        self.assertIn("the receiver does not want it; waiting for the next", self.err.getvalue())
        self.assertIn("the daemon has stopped", self.err.getvalue())

    def test_nothing_is_taken_where_nobody_can_be_asked(self) -> None:
        self.patch(sys, "stdin", io.StringIO("y\n"))
        client = self.client(receiving)
        self.assertEqual(self.run_script("receive"), 1)
        self.assertEqual(client.asked, [])
        self.assertIn("--accept-from NAME", self.err.getvalue())

    def test_others_than_those_that_are_named_cannot_offer(self) -> None:
        client = self.client(receiving)
        self.assertEqual(self.receive("--accept-from", "desk", "--json"), 0)
        self.assertEqual(client.asked[0], OfferCommand(protocol=PROTOCOL, allow=("desk",)))
        received = self.events()["received"]
        self.assertEqual((received["files"], received["bytes"], received["sender"]), (1, 7, str(ALICE)))

    def test_disk_that_does_not_take_it_ends_the_command(self) -> None:
        (self.into / "notes").write_bytes(b"another")
        self.client(receiving)
        self.assertEqual(self.receive("--yes"), 1)
        self.assertIn("notes is there already", self.err.getvalue())

    def test_it_goes_on_if_wanted(self) -> None:
        (self.into / "notes").write_bytes(b"another")
        self.client(receiving)
        self.assertEqual(self.receive("--yes", "--keep-going", "--json"), 1)
        self.assertIn("notes is there already", self.events()["failed"]["problem"])

    def test_second_sender_is_told_to_try_later(self) -> None:
        client = PlayedClient(self.mine, peers=2)
        replies: list[Reply] = [IncomingStreamReply(stream=n, name=str(ALICE)) for n in range(2)]
        offers = IncomingOffers.__new__(IncomingOffers)
        client.replies = lambda: iter(())  # type: ignore[method-assign]
        offers.__init__(client)  # type: ignore[misc,arg-type]
        for each in replies:
            offers._asked(each)  # type: ignore[arg-type]
        self.assertEqual(client.asked, [RefuseCommand(stream=1, text=BUSY)])
        self.assertEqual(offers.next(), replies[0])
        offers.free()
        offers._asked(replies[1])  # type: ignore[arg-type]
        self.assertEqual(offers.next(), replies[1])

    def test_sender_that_sends_hardly_anything_gives_way_once_another_was_turned_away(self) -> None:
        client = PlayedClient(self.mine)
        client.replies = lambda: iter(())  # type: ignore[method-assign]
        offers, sums = IncomingOffers(client), Sums()  # type: ignore[arg-type]
        asked = IncomingStreamReply(stream=1, name=str(ALICE))
        offers._asked(asked)
        look = offers.turn(sums)
        look()
        offers._asked(asked)
        sums.moved += LEAST_BYTES
        look()
        # that one was turned away before, and may have gone elsewhere
        look()
        offers._asked(asked)
        sums.moved += LEAST_BYTES - 1
        self.assertRaises(HeldUp, look)


class SendTests(TransferCommandCase):
    def test_refusals_say_what_to_do(self) -> None:
        for refusal, said in (
            (StreamReason.NOT_OFFERED.text, "there does not receive: run 'routing-crust receive' there"),
            (StreamReason.NOT_ALLOWED.text, "there takes no files from this node"),
            (BUSY, "try again later"),
        ):
            self.client(sending, refusal=refusal)
            self.assertEqual(self.run_script("send-file", str(self.there / "notes"), "there.crust"), 1)
            self.assertIn(said, self.err.getvalue())

    def test_stream_that_is_lost_can_be_resumed(self) -> None:
        self.client(sending)
        self.theirs.close()
        self.assertEqual(self.run_script("send-file", "--json", str(self.there / "notes"), "there"), 1)
        self.assertIn("send it again, and what has arrived at there is not sent twice", self.err.getvalue())
        self.assertEqual(self.events()["failed"]["moved"], 0)

    def test_file_that_is_not_there_is_one_line(self) -> None:
        self.assertEqual(self.run_script("send-file", str(self.there / "nothing"), "there"), 1)
        self.assertEqual(self.err.getvalue(), "routing-crust: nothing: no such file or directory\n")

    def test_name_of_nobody_is_refused_before_anything_is_read(self) -> None:
        self.assertIn("is not a name", self.refused("send-file", "notes", "no such name"))

    def test_both_functions_are_found(self) -> None:
        for command in ("send-file", "receive"):
            self.assertTrue(callable(cli._function(command)))


class ProgressTests(CliTestCase):
    def test_line_has_share_rate_and_rest(self) -> None:
        sums = Sums(size=100 * MIB)
        line = TransferLine(sums)
        self.assertIn("0 B/s  -:-- left", line.line(10.0))
        sums.covered = 25 * MIB
        text = line.line(12.0)
        self.assertIn("[######..................]  25 %  25.0 MiB of 100.0 MiB  12.5 MiB/s  0:06 left", text)

    def test_times_are_as_on_a_clock(self) -> None:
        self.assertEqual([clock_text(each) for each in (0.4, 61, 3723)], ["0:00", "1:01", "1:02:03"])
