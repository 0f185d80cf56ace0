"""What this machine gives to crust."""

from __future__ import annotations

from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust import platform
from routing_crust.crust.mapping.pcprouter import Nonces
from routing_crust.crust.platform import SystemPlatform

from .addresses import identity


class MapperTests(SynchronousTestCase):
    def test_nonces_of_a_node_are_the_same_after_a_restart(self) -> None:
        """Else a router that speaks PCP would not let it renew its mapping."""
        taken: list[Nonces] = []
        self.patch(platform, "router_access", lambda reactor, random, nonces: taken.append(nonces))
        for seed in (1, 1, 2):
            SystemPlatform(Clock()).mapper(Settings(), identity(seed), Random(), print, print)
        first, again, other = (nonces(b"192.168.1.5 5483") for nonces in taken)
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
