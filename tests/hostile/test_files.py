"""
C{receive} and C{send-file} at a live daemon, with a node at the other end that breaks their protocol.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from routing_crust import Endpoint, Identity, RoutingService, Settings
from routing_crust.daemon.commands.transferring.offers import BUSY
from routing_crust.streams import StreamRefused, streams_of

from .children import Command
from .measure import NETWORK, Daemon

reactor: Any = _reactor
PROTOCOL = "routing-crust-files"
OFFER, ACCEPT, ENTRY, WANT, END, DONE, FAILED = range(7)
CONTENT = b"what was sent"
HASH = sha256(CONTENT).digest()
ESCAPE = b"\x1b]0;mine\x07"


def message(number: int, *fields: Any) -> bytes:
    body = msgspec.msgpack.encode([number, *fields])
    return struct.pack(">BI", 0, len(body)) + body


def offer(files: int = 1, size: int = len(CONTENT), name: bytes = b"file", version: int = 1) -> bytes:
    return message(OFFER, version, files, 3, size, size, [name])


def entry(*path: bytes, size: int | None = len(CONTENT)) -> bytes:
    return message(ENTRY, list(path), 0o644, 0, size)


def data(content: bytes = CONTENT, offset: int = 0) -> bytes:
    return struct.pack(">BIQ", 1, 8 + len(content), offset) + content


def file(*path: bytes) -> bytes:
    return entry(*path) + data() + message(END, HASH) + message(DONE)


SENDERS = {
    "no frame": b"\xff" * 200,
    "a message of 1 GiB": struct.pack(">BI", 0, 1 << 30) + bytes(1000),
    "an empty frame of data": offer() + struct.pack(">BIQ", 1, 8, 0),
    "a nest of arrays": struct.pack(">BI", 0, 5000) + b"\x91" * 5000,
    "another version": offer(version=9),
    "an entry before the offer": entry(b"file"),
    "signs for a terminal": offer(name=ESCAPE) + message(FAILED, ESCAPE.decode()),
    "a path upwards": offer() + file(b"..", b"outside"),
    "a name with a slash": offer() + file(b"../outside"),
    "an absolute path": offer() + file(b"/tmp/outside"),
    "the name of a temporary folder": offer() + file(b".routing-crust-x"),
    "a file in a file": offer(2, 99) + entry(b"a") + data() + message(END, HASH) + file(b"a", b"b"),
    "more than was offered": offer(size=3) + file(b"file"),
    "more bytes than the file has": offer() + entry(b"long") + data(CONTENT * 2),
    "bytes beyond all disks": offer() + entry(b"sparse") + data(CONTENT, 1 << 62),
    "bytes of no file": offer() + data(),
    "another hash": offer() + entry(b"false") + data() + message(END, bytes(32)),
    "an end without a file": offer() + message(DONE) * 2,
    "more than fits on a disk": offer(size=1 << 62),
    "an answer of a receiver": offer() + message(WANT, 0, b"", False),
}
RECEIVERS = {
    "no frame": b"\xff" * 200,
    "bytes of a file": message(ACCEPT) + data(),
    "two acceptances": message(ACCEPT) * 2,
    "signs for a terminal": message(FAILED, ESCAPE.decode()),
    "a confirmation of nothing": message(ACCEPT) + message(DONE),
    "bytes that there are not": message(ACCEPT) + message(WANT, 1 << 40, bytes(32), False),
}


class End(Protocol):
    """
    The hostile end of a stream: says one thing, and waits for its end.

    @ivar came: what it was told.
    @ivar over: fires when the stream has ended.
    """

    transport: Any

    def __init__(self, saying: bytes) -> None:
        self._saying = saying
        self.came = b""
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._saying)

    def dataReceived(self, data: bytes) -> None:
        self.came += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)


class FileTests(TestCase):
    timeout = 240

    async def begin(self) -> None:
        """Start a daemon, and a node that is linked with it."""
        self.folder = Path(tempfile.mkdtemp(prefix="rc-files-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.state = f"--state-dir={self.folder / 'state'}"
        self.daemon = Daemon(self.folder / "state", NETWORK, "--first", "--listen=127.0.0.1:0")
        self.addCleanup(self.daemon.kill)
        contact = await self.daemon.started
        assert contact.name is not None
        self.target = contact.name
        settings = Settings(
            network=NETWORK, contacts=(contact,), listen=(Endpoint("127.0.0.1", 0),), lan_discovery=False
        )
        self.node = RoutingService(settings, identity=Identity.generate())
        self.node.startService()
        self.addCleanup(self.node.stopService)
        await self.node.when_group_connected()

    def check(self, *commands: Command) -> None:
        """There is no traceback anywhere, and nothing that a terminal would act upon."""
        for each in (self.daemon, *commands):
            self.assertEqual([line for line in each.lines if "Traceback" in line or "Unhandled" in line], [])
            self.assertEqual([line for line in each.lines if "\x1b" in line], [])

    async def send(self, saying: bytes) -> End:
        """Send something, as soon as the receiver is free for it."""
        end = End(saying)
        factory = Factory.forProtocol(lambda: end)  # type: ignore[arg-type]
        while not await self.opened(factory):
            pass
        return end

    async def opened(self, factory: Factory) -> bool:
        """Whether the receiver was free. It says that it waits for the next just before it does."""
        try:
            await streams_of(self.node).open(self.target, PROTOCOL, factory)
        except StreamRefused as refused:
            if BUSY not in str(refused):
                raise
            return False
        return True

    async def test_hostile_senders_leave_nothing_but_what_an_honest_one_sends(self) -> None:
        await self.begin()
        into = self.folder / "here" / "into"
        into.mkdir(parents=True)
        receive = Command("receive", self.state, "--yes", "--keep-going", f"--into={into}")
        self.addCleanup(receive.kill)
        await receive.said("waiting for files")
        for number, saying in enumerate(SENDERS.values(), 1):
            await (await self.send(saying)).over
            await receive.said("waiting for the next", number)
        end = await self.send(offer() + file(b"file"))
        await receive.said("received from")
        await end.over
        self.assertIn(message(DONE), end.came)
        self.assertEqual((into / "file").read_bytes(), CONTENT)
        names = [each for each in os.listdir(into) if not each.startswith(".routing-crust-")]
        # of the file in a file the first one had come whole
        self.assertEqual(sorted(names), ["file"])
        self.assertEqual(os.listdir(self.folder / "here"), ["into"])
        self.check(receive)

    async def test_hostile_receivers_end_a_sender_with_the_reason(self) -> None:
        await self.begin()
        source = self.folder / "file"
        source.write_bytes(CONTENT)
        sayings: list[bytes] = []

        class Ends(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> End:
                return End(sayings.pop())

        port = streams_of(self.node).listen(PROTOCOL, Ends())
        self.addCleanup(port.stopListening)
        for saying in RECEIVERS.values():
            sayings.append(saying)
            send = Command("send-file", self.state, str(source), str(self.node.node_name))
            self.assertEqual(await send.ended, 1)
            self.assertEqual(len([line for line in send.lines if "routing-crust: " in line]), 1, send.lines)
            self.check(send)
