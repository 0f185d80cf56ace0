"""Sends files over a stream: the rules, the disk and the stream put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from threading import Condition, Thread

from ...plain_errors import RoutingCrustError
from ..text import one_line
from .channel import Channel, ChannelLost
from .errors import TransferError
from .messages import (
    Data,
    Done,
    End,
    Entry,
    FrameReader,
    Offer,
    ProtocolBroken,
    Want,
    failed,
)
from .sending import SendingRules, Stage
from .source import OutgoingFile, Source
from .sums import Sums


class Sender:
    """
    One transfer, of the end that has the files.

    What the receiver says is read by a thread: it must never wait for us, since we may wait for it.

    @ivar sums: what is done.
    @ivar digests: for each item, the SHA-256 of its file, or see L{ItemDigest}.
    """

    def __init__(self, channel: Channel, source: Source) -> None:
        self.sums = Sums()
        self.digests: dict[bytes, bytes] = {}
        self._channel = channel
        self._source = source
        self._rules = SendingRules()
        self._heard = Condition()
        self._lost: RoutingCrustError | None = None
        self._files: deque[OutgoingFile] = deque()
        self._item = ItemDigest()

    def run(self, offer: Offer, accepted: Callable[[], object]) -> None:
        """
        Send everything.

        @param offer: of the source.
        @param accepted: called when the receiver has accepted.
        @raise RoutingCrustError: it did not go well; the text says why.
        """
        self.sums.size = offer.size
        Thread(target=self._listen, daemon=True).start()
        try:
            self._channel.tell(offer)
            self._wait(lambda: self._rules.accepted)
            accepted()
            self._send_entries(offer)
            self._channel.tell(Done())
            self._rules.done()
            self._wait(lambda: self._rules.confirmed)
        except (TransferError, ProtocolBroken) as error:
            if self._rules.stage is not Stage.FAILED:
                self._channel.tell(failed(str(error)))
            raise
        except ChannelLost:
            # the receiver has said why, if it could
            self._hear_the_end()
            raise
        finally:
            for file in self._files:
                file.close()
            self._channel.close()

    def _send_entries(self, offer: Offer) -> None:
        entries = self._source.entries()
        left = [offer.files, offer.folders, offer.size]
        following = next(entries, None)
        while following is not None or self._files:
            while following is not None and self._may_name(following):
                self._name(following, left)
                following = next(entries, None)
            if self._files:
                self._send(self._files.popleft())
        self._end_item()

    def _may_name(self, following: Entry | OutgoingFile) -> bool:
        return isinstance(following, Entry) or self._rules.may_name(following.entry.size or 0)

    def _name(self, following: Entry | OutgoingFile, left: list[int]) -> None:
        if isinstance(following, OutgoingFile):
            entry = following.entry
            self._files.append(following)
            left[0] -= 1
            left[2] -= entry.size or 0
        else:
            entry = following
            self.sums.folders += 1
            left[1] -= 1
        # the receiver holds us to the offer
        if min(left) < 0:
            raise TransferError("more has come to these files while they were sent: send them again")
        with self._heard:
            self._rules.named(entry)
        self._channel.tell(entry)

    def _send(self, file: OutgoingFile) -> None:
        try:
            want = self._wanted()
            before = self.sums.covered
            for offset, block in file.missing(want):
                # before: of a block that is broken off some has gone
                self.sums.moved += len(block)
                self._channel.tell_data(offset, block)
                self.sums.covered = max(self.sums.covered, before + offset + len(block))
                if self._rules.stage is Stage.FAILED:
                    self._check()
            self.sums.covered = before + (file.entry.size or 0)
            digest = file.digest()
        finally:
            file.close()
        self._channel.tell(End(digest))
        with self._heard:
            self._rules.ended()
        self.sums.files += 1
        if file.entry.path[0] != self._item.name:
            self._end_item()
        self._item.add(file.entry.path, digest)

    def _end_item(self) -> None:
        if self._item.name is not None:
            self.digests[self._item.name] = self._item.digest()
        self._item = ItemDigest()

    def _wanted(self) -> Want:
        found: list[Want] = []

        def come() -> bool:
            want = self._rules.next_want()
            if want is not None:
                found.append(want)
            return want is not None

        self._wait(come)
        return found[0]

    def _wait(self, come: Callable[[], bool]) -> None:
        # the receiver answers only what has reached it
        self._channel.flush()
        with self._heard:
            while not come():
                self._check()
                self._heard.wait()

    def _check(self) -> None:
        if self._rules.stage is Stage.FAILED:
            raise TransferError(f"the receiver says: {one_line(self._rules.problem)}")
        if self._lost is not None:
            raise self._lost

    def _hear_the_end(self) -> None:
        with self._heard:
            while self._lost is None and not self._rules.over:
                self._heard.wait()
            self._check()

    def _listen(self) -> None:
        reader = FrameReader()
        lost: RoutingCrustError = ChannelLost("the receiver has ended the transfer")
        try:
            for piece in self._channel.pieces():
                for frame in reader.take(piece):
                    if isinstance(frame, Data):
                        raise ProtocolBroken("the receiver sent bytes of a file")
                    with self._heard:
                        self._rules.told(frame)
                        self._heard.notify_all()
        except RoutingCrustError as error:
            lost = error
        except (OSError, ValueError):
            # closed by the other thread
            lost = ChannelLost("the transfer is over")
        with self._heard:
            self._lost = lost
            self._heard.notify_all()


class ItemDigest:
    """
    What both ends show for an item: the SHA-256 of a file or, for a folder, the SHA-256 of the lines that
    C{sha256sum} prints for its files, in the order of the paths.

    @ivar name: the item's; C{None} until something is added.
    """

    def __init__(self) -> None:
        self.name: bytes | None = None
        self._file: bytes | None = None
        self._lines = sha256()

    def add(self, path: tuple[bytes, ...], digest: bytes) -> None:
        """A file of it is complete."""
        self.name = path[0]
        if len(path) == 1:
            self._file = digest
        self._lines.update(digest.hex().encode() + b"  " + b"/".join(path) + b"\n")

    def digest(self) -> bytes:
        """The hash."""
        # a lone file shows the hash that sha256sum prints for it
        return self._file or self._lines.digest()
