"""What is built on links: the layer above hears of peers, and borrowed links are given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.links.idle import IdleLinks
from routing_crust.routing.links.stream_layer import StreamLayerAdapter

ONE, TWO = (Identity.from_seed(bytes([each]) * 32).name for each in (1, 2))


class Layer:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.used = False

    def link_gained(self, link: Any) -> None:
        self.heard.append(("gained", link))

    def link_changed(self, old: Any, new: Any) -> None:
        self.heard.append(("changed", old, new))

    def link_lost(self, link: Any, reason: LinkClosed) -> None:
        self.heard.append(("lost", link, reason.reason))

    def frame_received(self, link: Any, kind: int, payload: bytes) -> None:
        self.heard.append(("frame", link, kind, payload))

    def in_use(self, name: Name) -> bool:
        return self.used

    def stopped(self) -> None:
        self.heard.append(("stopped",))


def peer(link: str, incarnation: int = 1, name: Name = ONE) -> Any:
    return SimpleNamespace(name=name, link=link, facts=SimpleNamespace(incarnation=incarnation))


class StreamLayerAdapterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.adapter = StreamLayerAdapter()
        self.layer = Layer()
        self.adapter.attach(self.layer, ())

    def test_gained_and_lost(self) -> None:
        self.adapter.peer_established(peer("a"), None)
        self.adapter.peer_established(peer("a"), peer("a"))  # another use of the same link
        self.adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        self.adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        self.assertEqual(self.layer.heard, [("gained", "a"), ("lost", "a", CloseReason.STALLED)])

    def test_changed(self) -> None:
        """A link takes the place of one that is alive: nothing is lost."""
        self.adapter.peer_established(peer("a"), None)
        self.adapter.peer_established(peer("b"), peer("a"))
        self.assertEqual(self.layer.heard, [("gained", "a"), ("changed", "a", "b")])

    def test_replaced(self) -> None:
        """One that is dead, or another incarnation's: everything begins anew."""
        for after, before in ((peer("b"), None), (peer("b", 2), peer("a"))):
            self.setUp()
            self.adapter.peer_established(peer("a"), None)
            self.adapter.peer_established(after, before)
            self.assertEqual(
                self.layer.heard,
                [("gained", "a"), ("lost", "a", CloseReason.CONNECTION_LOST), ("gained", "b")],
            )

    def test_those_that_were_there(self) -> None:
        """A layer that comes late hears of everyone; until then nobody does."""
        adapter = StreamLayerAdapter()
        adapter.peer_established(peer("a"), None)
        adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        adapter.stop()
        self.assertFalse(adapter.in_use(ONE))
        adapter.attach(self.layer, (peer("a"), peer("b", name=TWO)))
        self.assertEqual(self.layer.heard, [("gained", "a"), ("gained", "b")])

    def test_stop(self) -> None:
        self.layer.used = True
        self.assertTrue(self.adapter.in_use(ONE))
        self.adapter.peer_established(peer("a"), None)
        self.adapter.stop()
        self.adapter.stop()
        self.adapter.peer_lost(peer("a"), CloseReason.STOPPING, "")
        self.assertEqual(self.layer.heard, [("gained", "a"), ("stopped",)])
        self.assertFalse(self.adapter.in_use(ONE))


class IdleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.given_up: list[Name] = []
        self.idle = IdleLinks(self.clock, 60.0, self.given_up.append)

    def test_borrowed(self) -> None:
        """What was borrowed and given back goes, if it is not used; what was not borrowed stays."""
        self.idle.borrow(ONE)
        self.assertFalse(self.idle)
        self.idle.give_back(ONE)
        self.idle.give_back(TWO)
        self.assertEqual((len(self.idle), bool(self.idle)), (1, True))
        self.clock.advance(59)
        self.idle.used(ONE)
        self.idle.used(TWO)
        self.clock.advance(59)
        self.assertEqual(self.given_up, [])
        self.clock.advance(1)
        self.assertEqual((self.given_up, bool(self.idle)), ([ONE], False))

    def test_needed_again(self) -> None:
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.needed(ONE)
        self.clock.advance(100)
        self.assertEqual(self.given_up, [])
        self.idle.give_back(ONE)
        self.clock.advance(60)
        self.assertEqual(self.given_up, [ONE])

    def test_kept(self) -> None:
        """An application wants it too, before it is given back or after."""
        for early in (True, False):
            self.idle.borrow(ONE)
            if early:
                self.idle.keep(ONE)
            self.idle.give_back(ONE)
            if not early:
                self.idle.keep(ONE)
            self.clock.advance(100)
            self.assertEqual(self.given_up, [])
            self.idle.peer_lost(peer("a"), CloseReason.INACTIVE, "")

    def test_lost(self) -> None:
        """Nothing is remembered of a link that is gone."""
        self.idle.borrow(ONE)
        self.idle.keep(ONE)
        self.idle.peer_lost(peer("a"), CloseReason.INACTIVE, "")
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.peer_lost(peer("a"), CloseReason.INACTIVE, "")
        self.idle.give_back(ONE)
        self.clock.advance(100)
        self.assertEqual(self.given_up, [])

    def test_stop(self) -> None:
        self.idle.borrow(ONE)
        self.idle.give_back(ONE)
        self.idle.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
