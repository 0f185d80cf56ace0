"""In which order endpoints are dialled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.dial.ranking import rank
from routing_crust.endpoints import Endpoint

from ..addresses import at

ANY = st.sampled_from(
    [at(f"{host}:5483") for host in ("127.0.0.1", "10.0.0.1", "10.9.0.1", "1.1.1.1", "8.8.8.8")]
    + [at(f"[{host}]:5483") for host in ("::1", "fd00::1", "2606:4700::1", "2a00:1450::1")]
)


class RankTests(SynchronousTestCase):
    def test_endpoints_are_ranked_nearest_first(self) -> None:
        """This machine, our network, the internet, and private networks that we are not in."""
        order = [at(f"{host}:5483") for host in ("127.0.0.1", "10.0.0.7", "1.1.1.1", "192.168.9.9")]
        self.assertEqual(rank(reversed(order), ("10.0.0.0/24", "fd00::/64")), tuple(order))

    def test_address_families_take_turns(self) -> None:
        """IPv6 and IPv4 alternate, IPv6 first, each in the peer's order."""
        v4 = [at("8.8.8.8:5483"), at("1.1.1.1:5483"), at("9.9.9.9:5483")]
        v6 = [at("[2a00:1450::1]:5483"), at("[2606:4700::1]:5483")]
        self.assertEqual(rank([*v4, *v6]), (v6[0], v4[0], v6[1], v4[1], v4[2]))

    @given(st.lists(ANY, max_size=20))
    def test_nothing_is_lost_or_repeated(self, endpoints: list[Endpoint]) -> None:
        """Each endpoint comes once, and the same input gives the same order."""
        ranked = rank(endpoints, ("10.0.0.0/24",))
        self.assertEqual(sorted(ranked), sorted(set(endpoints)))
        self.assertEqual(ranked, rank(endpoints, ("10.0.0.0/24",)))
