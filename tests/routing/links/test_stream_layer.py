"""The layer of streams hears of peers and their links."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.links.stream_layer import StreamLayerAdapter

ONE, TWO = (Identity.from_seed(bytes([each]) * 32).name for each in (1, 2))


class Layer:
    """A layer that records what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.used = False

    def link_gained(self, link: Any) -> None:
        self.heard.append(("gained", link))

    def link_found(self, link: Any) -> None:
        self.heard.append(("found", link))

    def link_changed(self, old: Any, new: Any) -> None:
        self.heard.append(("changed", old, new))

    def link_lost(self, link: Any, reason: LinkClosed) -> None:
        self.heard.append(("lost", link, reason.reason))

    def frame_received(self, link: Any, kind: int, payload: bytes) -> None:
        self.heard.append(("frame", link, kind, payload))

    def explain(self, name: Name) -> tuple[str, ...]:
        return ()

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

    def test_layer_hears_once_of_gain_and_loss(self) -> None:
        self.adapter.peer_established(peer("a"), None)
        self.adapter.peer_established(peer("a"), peer("a"))  # another use of the same link
        self.adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        self.adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        self.assertEqual(self.layer.heard, [("gained", "a"), ("lost", "a", CloseReason.STALLED)])

    def test_layer_hears_of_a_link_that_is_replaced_without_loss(self) -> None:
        """A link takes the place of one that is alive: nothing is lost."""
        self.adapter.peer_established(peer("a"), None)
        self.adapter.peer_established(peer("b"), peer("a"))
        self.assertEqual(self.layer.heard, [("gained", "a"), ("changed", "a", "b")])

    def test_layer_hears_of_a_loss_if_the_link_before_is_dead_or_of_another_run(self) -> None:
        """One that is dead, or another incarnation's: the layer starts over."""
        lost, again = CloseReason.CONNECTION_LOST, CloseReason.RESTARTED
        for after, before, reason in ((peer("b"), None, lost), (peer("b", 2), peer("a"), again)):
            self.setUp()
            self.adapter.peer_established(peer("a"), None)
            self.adapter.peer_established(after, before)
            self.assertEqual(
                self.layer.heard,
                [("gained", "a"), ("lost", "a", reason), ("gained", "b")],
            )

    def test_layer_that_comes_late_hears_of_all_peers(self) -> None:
        """A layer that comes late hears of all peers that there are."""
        adapter = StreamLayerAdapter()
        adapter.peer_established(peer("a"), None)
        adapter.peer_lost(peer("a"), CloseReason.STALLED, "")
        adapter.stop()
        self.assertFalse(adapter.in_use(ONE))
        adapter.attach(self.layer, (peer("a"), peer("b", name=TWO)))
        self.assertEqual(self.layer.heard, [("found", "a"), ("found", "b")])

    def test_stop_is_told_once_and_nothing_after_it(self) -> None:
        self.layer.used = True
        self.assertTrue(self.adapter.in_use(ONE))
        self.adapter.peer_established(peer("a"), None)
        self.adapter.stop()
        self.adapter.stop()
        self.adapter.peer_lost(peer("a"), CloseReason.STOPPING, "")
        self.assertEqual(self.layer.heard, [("gained", "a"), ("stopped",)])
        self.assertFalse(self.adapter.in_use(ONE))
