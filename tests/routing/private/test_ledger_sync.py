"""Ledger sync: how much members are told at once, and how often what they tell is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.routing.private.ledger_sync import TELL_EVERY_SECONDS, LedgerSync


class SlowLink:
    """A link whose peer reads when the test says so."""

    peer = "inviter"

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.waiting: list[Deferred[None]] = []

    @property
    def writable(self) -> bool:
        return not self.sent

    def when_writable(self) -> Deferred[None]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def send(self, kind: int, payload: bytes) -> None:
        self.sent.append(payload)

    def read(self) -> list[bytes]:
        sent, self.sent = self.sent, []
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(None)
        return sent


class LedgerSyncTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.link = Clock(), SlowLink()
        self.told, self.saved = [b"1", b"2", b"3"], 0
        certificate = SimpleNamespace(may_issue=True)
        members: Any = SimpleNamespace(
            own=SimpleNamespace(certificate=certificate), current_of=lambda name: certificate
        )
        inviter = SimpleNamespace(
            told_to=lambda peer: list(self.told), take=lambda peer, payload: True, save=self.save
        )
        self.peer: Any = SimpleNamespace(name="inviter", link=self.link)
        links: Any = SimpleNamespace(peers=[self.peer], handle_frames=lambda kinds, handler: None)
        doorkeeper: Any = SimpleNamespace(inviter=inviter)
        node: Any = SimpleNamespace(clock=self.clock)
        self.sync = LedgerSync(node, members, links, doorkeeper)

    def save(self) -> None:
        self.saved += 1

    def test_peer_that_does_not_read_is_waited_for(self) -> None:
        self.sync.peer_established(self.peer, None)
        self.assertEqual([self.link.read() for _ in range(4)], [[b"1"], [b"2"], [b"3"], []])

    def test_what_changes_meanwhile_is_told_once_more(self) -> None:
        self.sync.peer_established(self.peer, None)
        for _ in range(5):
            self.sync.changed()
            self.clock.advance(TELL_EVERY_SECONDS)
        self.assertEqual(len(self.link.waiting), 1)
        self.told = [b"4"]
        self.assertEqual([self.link.read() for _ in range(5)], [[b"1"], [b"2"], [b"3"], [b"4"], []])

    def test_link_that_ends_is_told_nothing_more(self) -> None:
        self.sync.peer_established(self.peer, None)
        self.link.waiting[0].errback(LinkClosed(CloseReason.CONNECTION_LOST))
        self.assertEqual((self.link.sent, self.sync._telling), ([b"1"], {}))

    def test_mistake_in_what_is_told_is_in_the_log(self) -> None:
        """Only that the link has ended is no news."""
        self.told = cast(Any, None)
        self.sync.peer_established(self.peer, None)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(self.sync._telling, {})

    def test_many_frames_are_written_once(self) -> None:
        link: Any = self.link
        for _ in range(1000):
            self.sync.frame_received(link, 0, b"")
        self.clock.advance(TELL_EVERY_SECONDS)
        self.assertEqual(self.saved, 1)

    def test_what_waits_is_written_at_the_end(self) -> None:
        link: Any = self.link
        self.sync.changed()
        self.clock.advance(0)
        self.sync.frame_received(link, 0, b"")
        self.sync.stop()
        self.assertEqual((self.saved, self.clock.getDelayedCalls()), (2, []))
        self.sync.stop()
        self.assertEqual(self.saved, 2)
