"""The largest packets that pass to a host, as the system knows it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.checking.path_mtu import path_mtus

MAX_IPV4_BYTES = 65535
"""By its length field; loopback's MTU may be greater."""


class PathMtuTests(SynchronousTestCase):
    def test_size_is_that_of_the_interface_until_a_router_says_otherwise(self) -> None:
        loopback = int(Path("/sys/class/net/lo/mtu").read_text("ascii"))
        self.assertEqual(path_mtus(["127.0.0.1"]), {"127.0.0.1": min(loopback, MAX_IPV4_BYTES)})

    def test_host_that_cannot_be_reached_is_left_out(self) -> None:
        # no zone of this name, so there is no way
        self.assertEqual(path_mtus(["fe80::1%nosuch0"]), {})
