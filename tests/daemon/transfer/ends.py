"""Both ends of a transfer in one process, over a pair of sockets in the place of two daemons."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.transfer.channel import Channel, ChannelLost
from routing_crust.daemon.transfer.messages import Offer
from routing_crust.daemon.transfer.receiver import Receiver
from routing_crust.daemon.transfer.sender import Sender
from routing_crust.daemon.transfer.source import Source
from routing_crust.daemon.transfer.store import Store
from routing_crust.plain_errors import RoutingCrustError

from ..fakes import temporary_directory

PATIENCE_SECONDS = 120
SENDER = "alice"


class BreakingChannel(Channel):
    """
    A channel that is lost.

    @ivar blocks_left: how many blocks of files it carries until then; C{None} carries all.
    """

    blocks_left: int | None = None

    def tell_data(self, offset: int, content: bytes) -> None:
        if self.blocks_left == 0:
            self._wire.shutdown(socket.SHUT_RDWR)
            raise ChannelLost("it is lost")
        super().tell_data(offset, content)
        if self.blocks_left is not None:
            self.blocks_left -= 1


def channels(case: SynchronousTestCase) -> tuple[BreakingChannel, BreakingChannel]:
    """Two ends of a stream."""
    made = []
    for each in socket.socketpair():
        each.settimeout(PATIENCE_SECONDS)
        file = each.makefile("rb")
        case.addCleanup(file.close)
        case.addCleanup(each.close)
        made.append(BreakingChannel(each, file))
    return made[0], made[1]


class TransferCase(SynchronousTestCase):
    """
    Sends from one folder into another.

    @ivar problems: why the sender and the receiver gave up, if they did.
    @ivar left_out: what the sender said it leaves out.
    """

    def setUp(self) -> None:
        self.there = temporary_directory(self) / "there"
        self.here = temporary_directory(self) / "here"
        self.there.mkdir()
        self.here.mkdir()
        self.left_out: list[str] = []
        # they wait for whatever else the machine writes
        self.patch(os, "sync", lambda: None)
        self.patch(os, "fsync", lambda descriptor: None)

    def write(self, path: str, content: bytes = b"content") -> Path:
        """Write a file that is to be sent."""
        whole = self.there / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)
        return whole

    def run_transfer(
        self,
        *items: str,
        blocks: int | None = None,
        wanted: Callable[[Offer], object] = lambda offer: None,
        meanwhile: Callable[[], object] = lambda: None,
        overwrite: bool = False,
        preserve: bool = False,
    ) -> None:
        """
        Send these items of the folder.

        @param blocks: the stream is lost after this number of blocks.
        @param meanwhile: called when the receiver has accepted, before anything is named.
        """
        sending, receiving = channels(self)
        sending.blocks_left = blocks
        self.problems: list[RoutingCrustError | None] = [None, None]
        source = Source.of([self.there / each for each in items], self.left_out.append)
        self.sender = Sender(sending, source)
        store = Store(self.here, overwrite=overwrite, preserve=preserve)
        self.receiver = Receiver(receiving, store, SENDER)

        def send() -> None:
            try:
                self.sender.run(source.offer(), meanwhile)
            except RoutingCrustError as error:
                self.problems[0] = error

        thread = Thread(target=send, daemon=True)
        thread.start()
        try:
            self.receiver.run(wanted)
        except RoutingCrustError as error:
            self.problems[1] = error
        finally:
            store.close()
        thread.join(PATIENCE_SECONDS)
        self.assertFalse(thread.is_alive())

    def all_went_well(self) -> None:
        self.assertEqual(self.problems, [None, None])
        self.assertEqual(self.sender.digests, self.receiver.digests)
        self.assertEqual(self.temporary(), [])

    def assert_same(self, *items: str) -> None:
        self.assertEqual(tree(self.here, items), tree(self.there, items))

    def temporary(self) -> list[str]:
        """The temporary folders that are left."""
        return [each for each in os.listdir(self.here) if each.startswith(".routing-crust-")]


def tree(folder: Path, items: Sequence[str]) -> dict[str, bytes | None]:
    """All files and folders, with what is in the files."""
    found: dict[str, bytes | None] = {}
    for item in items:
        top = folder / item
        for each in [top, *top.rglob("*")]:
            if not each.is_symlink() and (each.is_file() or each.is_dir()):
                found[str(each.relative_to(folder))] = each.read_bytes() if each.is_file() else None
    return found
