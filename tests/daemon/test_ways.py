"""The way to a peer, in words."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.ways import ITSELF, way_to

from .fakes import ALICE, BOB


class Service:
    """Alice, with one link."""

    def status(self) -> dict[str, Any]:
        link = {"peer": str(BOB), "rung": "tunnel", "via": "carol"}
        return {"name": str(ALICE), "links": [link]}


class WayTests(SynchronousTestCase):
    def test_relay_is_named(self) -> None:
        self.assertEqual(way_to(Service(), BOB), "relayed through carol")

    def test_message_to_ourselves_goes_by_way_of_nobody(self) -> None:
        self.assertEqual(way_to(Service(), ALICE), ITSELF)
