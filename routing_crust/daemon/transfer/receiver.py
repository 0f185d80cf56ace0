"""Receives files from a stream: the rules, the disk and the stream put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ..text import one_line
from .channel import Channel, ChannelLost
from .errors import TransferError
from .incoming import IncomingFile
from .messages import (
    Accept,
    Data,
    Done,
    End,
    Entry,
    Failed,
    FrameReader,
    Message,
    Offer,
    ProtocolBroken,
    failed,
)
from .receiving import ReceivingRules, Stage
from .sender import ItemDigest
from .store import Item, Store
from .sums import Sums

OFFER_SECONDS: Final = 60.0
"""
How long a sender may take to make its offer, which is ready when it opens the stream: others wait for their
turn.
"""


class Declined(TransferError):
    """The operator does not want what is offered."""


class PeerGaveUp(TransferError):
    """The sender has ended the transfer; the text says why."""


class Receiver:
    """
    One transfer, of the end that gets the files.

    @ivar sums: what is done.
    @ivar digests: for each item, the SHA-256 of its file, or see L{ItemDigest}.
    """

    def __init__(self, channel: Channel, store: Store, sender: str) -> None:
        """
        @param sender: the proven name of the sender.
        """
        self.sums = Sums()
        self.digests: dict[bytes, bytes] = {}
        self._channel = channel
        self._store = store
        self._sender = sender
        self._rules = ReceivingRules()
        self._files: deque[tuple[Item, IncomingFile]] = deque()
        self._item: Item | None = None
        self._digest = ItemDigest()

    def run(self, wanted: Callable[[Offer], object]) -> None:
        """
        Receive everything.

        @param wanted: told what is offered; raises L{Declined} if that is not wanted.
        @raise RoutingCrustError: it did not go well; the text says why.
        """
        try:
            self._run(wanted)
        except (TransferError, ProtocolBroken) as error:
            # the sender has given up itself, and listens no more
            if self._rules.stage is not Stage.FAILED:
                self._channel.tell(failed(str(error)))
            raise
        finally:
            self._close()
            self._channel.close()

    def _run(self, wanted: Callable[[Offer], object]) -> None:
        reader = FrameReader()
        self._channel.limit(OFFER_SECONDS)
        for piece in self._channel.pieces():
            for frame in reader.take(piece):
                if isinstance(frame, Data):
                    self._data(frame)
                else:
                    first = self._rules.expected[0] if self._rules.expected else None
                    self._rules.told(frame)
                    if isinstance(frame, End) and first is not None:
                        # holes are not sent
                        self.sums.covered += first.size - first.covered
                    self._told(frame, wanted)
                    if self._rules.stage is Stage.DONE:
                        return
            self._channel.flush()
        raise ChannelLost("the sender has ended the transfer before all had come")

    def _data(self, data: Data) -> None:
        file = self._rules.data(data)
        before = file.covered
        self._files[0][1].write(data.offset, data.content)
        file.covered = max(before, data.offset + len(data.content))
        self.sums.covered += file.covered - before
        self.sums.moved += len(data.content)

    def _told(self, message: Message, wanted: Callable[[Offer], object]) -> None:
        if isinstance(message, Offer):
            # from here on it may take as long as a person takes to agree, and the files to come
            self._channel.limit(None)
            self.sums.size = message.size
            # before anybody is asked: a yes that cannot be kept annoys
            self._store.check_room(message, self._sender)
            wanted(message)
            self._rules.accepted()
            self._channel.tell(Accept())
        elif isinstance(message, Entry):
            self._named(message)
        elif isinstance(message, End):
            self._ended(message.digest)
        elif isinstance(message, Done):
            self._end_item()
            self._end_digest()
            self._channel.tell(Done())
        elif isinstance(message, Failed):
            raise PeerGaveUp(f"the sender says: {one_line(message.text)}")

    def _named(self, entry: Entry) -> None:
        # entries of one item come together, so another name ends the last one
        if self._item is None or self._item.name != entry.path[0]:
            self._end_item()
            self._item = Item(self._store, self._sender, entry)
        file = self._item.enter(entry)
        if file is None:
            self.sums.folders += 1
            return
        self._files.append((self._item, file))
        expected = self._rules.expected[-1]
        want = file.want()
        expected.covered = want.have
        self.sums.covered += want.have
        self._rules.answered(expected, want)
        self._channel.tell(want)

    def _ended(self, digest: bytes) -> None:
        item, file = self._files.popleft()
        item.ended(file, digest)
        self.sums.files += 1
        if file.entry.path[0] != self._digest.name:
            self._end_digest()
        self._digest.add(file.entry.path, digest)

    def _end_item(self) -> None:
        item, self._item = self._item, None
        if item is not None:
            item.complete()

    def _end_digest(self) -> None:
        if self._digest.name is not None:
            self.digests[self._digest.name] = self._digest.digest()
        self._digest = ItemDigest()

    def _close(self) -> None:
        for item, file in self._files:
            file.close()
            item.close()
        if self._item is not None:
            self._item.close()
