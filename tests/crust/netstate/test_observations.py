"""What peers have seen, and what is believed of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.netstate.observations import (
    MAX_OBSERVATIONS,
    MAX_OBSERVATIONS_OF_A_NETWORK,
    OBSERVATION_LIFETIME_SECONDS,
    Observations,
    believed_in,
    kind_of_nat,
    tentative_in,
)
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.wire.messages import NatKind

from ..addresses import at, name

TRUTH = at("5.5.5.5:5483")
LIE = at("6.6.6.6:1")
OTHER_PORT = at("5.5.5.5:40000")
OWN = (at("192.168.1.5:5483"), at("8.8.8.8:5483"))

endpoints = st.builds(
    Endpoint, st.sampled_from(["5.5.5.5", "6.6.6.6", "7.7.7.7"]), st.sampled_from([1, 5483, 9])
)
lies = st.lists(st.tuples(st.integers(0, 30), endpoints), max_size=40)


def votes(*seen: Endpoint) -> dict[str, Endpoint]:
    return {f"9.0.{number}.0/24": each for number, each in enumerate(seen)}


class BeliefTests(SynchronousTestCase):
    """Which endpoints are believed, and which tried."""

    def test_two_networks_have_to_agree(self) -> None:
        self.assertEqual(believed_in(votes()), ())
        self.assertEqual(believed_in(votes(TRUTH)), ())
        self.assertEqual(believed_in(votes(TRUTH, TRUTH)), (TRUTH,))
        self.assertEqual(believed_in(votes(TRUTH, LIE)), ())
        self.assertEqual(believed_in(votes(TRUTH, LIE, TRUTH)), (TRUTH,))

    def test_two_endpoints_can_be_believed_at_once(self) -> None:
        """A host may have more than one way out; one with far fewer votes is not believed."""
        self.assertEqual(believed_in(votes(TRUTH, LIE, TRUTH, LIE)), (TRUTH, LIE))
        self.assertEqual(believed_in(votes(*[TRUTH] * 4, LIE, LIE)), (TRUTH, LIE))
        self.assertEqual(believed_in(votes(*[TRUTH] * 5, LIE, LIE)), (TRUTH,))
        many = votes(TRUTH, TRUTH, LIE, LIE, OTHER_PORT, OTHER_PORT)
        self.assertEqual(believed_in(many), (TRUTH, LIE))

    def test_endpoint_seen_by_one_network_is_tentative(self) -> None:
        self.assertEqual(tentative_in(votes()), ())
        self.assertEqual(tentative_in(votes(TRUTH)), (TRUTH,))
        self.assertEqual(tentative_in(votes(TRUTH, LIE, OTHER_PORT)), (TRUTH, LIE))
        self.assertEqual(tentative_in(votes(TRUTH, TRUTH, LIE)), ())


class KindTests(SynchronousTestCase):
    """What the votes say of the NAT."""

    def kind(self, *seen: Endpoint) -> NatKind:
        return kind_of_nat(votes(*seen), OWN)

    def test_too_few_networks_decide_nothing(self) -> None:
        self.assertIs(self.kind(), NatKind.UNKNOWN)
        self.assertIs(self.kind(TRUTH), NatKind.UNKNOWN)

    def test_one_port_for_all_networks_is_a_cone(self) -> None:
        self.assertIs(self.kind(TRUTH, TRUTH), NatKind.CONE)
        self.assertIs(self.kind(TRUTH, OTHER_PORT, TRUTH), NatKind.CONE)

    def test_different_port_for_each_network_is_symmetric(self) -> None:
        self.assertIs(self.kind(TRUTH, OTHER_PORT), NatKind.SYMMETRIC)
        self.assertIs(self.kind(TRUTH, LIE, OTHER_PORT), NatKind.SYMMETRIC)
        ports = [Endpoint("5.5.5.5", port) for port in range(1, 7)]
        # two may be the same by chance
        self.assertIs(self.kind(TRUTH, TRUTH, *ports), NatKind.SYMMETRIC)

    def test_two_addresses_are_no_cone(self) -> None:
        """A carrier's NAT has several, and another one for the next destination, even at the same port."""
        pool = at("5.5.5.6:5483")
        self.assertIs(self.kind(TRUTH, pool), NatKind.UNKNOWN)
        self.assertIs(self.kind(TRUTH, TRUTH, pool), NatKind.UNKNOWN)
        self.assertIs(self.kind(TRUTH, pool, TRUTH, TRUTH), NatKind.UNKNOWN)
        self.assertIs(self.kind(TRUTH, OTHER_PORT, pool), NatKind.SYMMETRIC)

    def test_networks_without_a_common_address_tell_nothing(self) -> None:
        self.assertIs(self.kind(TRUTH, LIE), NatKind.UNKNOWN)
        self.assertIs(self.kind(TRUTH, TRUTH, LIE, LIE), NatKind.UNKNOWN)

    def test_own_address_seen_needs_no_second_opinion(self) -> None:
        """A host that is seen at its own address needs no second opinion, if there is no other."""
        self.assertIs(self.kind(OWN[1]), NatKind.CONE)
        self.assertIs(self.kind(OWN[1], OWN[1]), NatKind.CONE)
        self.assertIs(self.kind(OWN[1], LIE), NatKind.UNKNOWN)


class ObservationsTests(SynchronousTestCase):
    """What is kept, and for how long."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.kept = Observations(self.clock.seconds)

    def add(
        self,
        observer: int | Name,
        where: str,
        seen: Endpoint = TRUTH,
        dialled: bool = True,
        link: object = "a link",
        local: str = "10.0.0.1",
    ) -> None:
        who = name(observer) if isinstance(observer, int) else observer
        self.kept.add(who, Endpoint(where, 5483), seen, dialled, link, local)

    def test_network_has_one_vote_which_is_its_latest(self) -> None:
        self.add(1, "9.0.0.1")
        self.add(2, "9.0.0.2", LIE)
        self.add(3, "9.0.1.1")
        self.assertEqual(self.kept.votes(False), {"9.0.0.0/24": LIE, "9.0.1.0/24": TRUTH})
        self.add(1, "9.0.0.1")
        self.assertEqual(self.kept.votes(False), {"9.0.0.0/24": TRUTH, "9.0.1.0/24": TRUTH})

    def test_each_family_has_its_own_votes(self) -> None:
        """Each has its own votes; an IPv6 network is a /48."""
        self.add(1, "2001:db8:1:2::1", at("[2001:db8:7::7]:5483"))
        self.add(2, "2001:db8:1:3::1", at("[2001:db8:7::8]:5483"))
        self.add(3, "9.0.0.1")
        self.assertEqual(self.kept.votes(True), {"2001:db8:1::/48": at("[2001:db8:7::8]:5483")})
        self.assertEqual(self.kept.votes(False), {"9.0.0.0/24": TRUTH})

    def test_peers_that_dialled_us_tell_where_but_not_how_we_are_mapped(self) -> None:
        self.add(1, "9.0.0.1", dialled=False)
        self.add(1, "9.0.0.1", OTHER_PORT)
        self.add(2, "9.0.1.1", dialled=False)
        self.assertEqual(self.kept.votes(False, dialled_only=True), {"9.0.0.0/24": OTHER_PORT})
        self.assertEqual(self.kept.networks(), {"9.0.0.0/24"})
        self.assertEqual(len(self.kept), 3)

    def test_nothing_expires_while_its_link_is_up(self) -> None:
        self.add(1, "9.0.0.1", link="one")
        self.add(2, "9.0.1.1", link="two")
        self.clock.advance(10 * OBSERVATION_LIFETIME_SECONDS)
        self.assertFalse(self.kept.ended("three"))
        self.assertTrue(self.kept.ended("one"))
        self.clock.advance(OBSERVATION_LIFETIME_SECONDS - 1)
        self.assertEqual(len(self.kept.votes(False)), 2)
        self.clock.advance(1)
        self.assertEqual(self.kept.votes(False), {"9.0.1.0/24": TRUTH})
        self.assertEqual(len(self.kept), 1)

    def test_votes_of_live_links_count_first(self) -> None:
        """When the router has another address, peers that see it need not outvote the others."""
        for number in range(5):
            self.add(number, f"9.0.{number}.1", link="old")
        self.kept.ended("old")
        self.add(6, "9.0.6.1", LIE, link="new")
        self.assertEqual(believed_in(self.kept.votes(False)), (TRUTH,))
        self.add(7, "9.0.7.1", LIE, link="new")
        self.assertEqual(believed_in(self.kept.votes(False)), (LIE,))

    def test_observations_of_a_lost_address_are_forgotten(self) -> None:
        """What was seen of an address that we do not have any more is forgotten."""
        self.add(1, "9.0.0.1", local="10.0.0.1")
        self.add(2, "9.0.1.1", local="10.0.0.2")
        self.kept.keep_only(["10.0.0.2", "10.0.0.3"])
        self.assertEqual(list(self.kept.votes(False)), ["9.0.1.0/24"])

    def test_network_with_many_names_takes_nothing_from_others(self) -> None:
        """A network that has many names takes nothing away from others; the oldest goes."""
        self.add(1, "9.1.0.1")
        for number in range(50):
            self.add(Name(bytes([number]) * 32), "9.0.0.1", LIE)
        self.assertEqual(len(self.kept), 1 + MAX_OBSERVATIONS_OF_A_NETWORK)
        self.assertEqual(self.kept.votes(False), {"9.1.0.0/24": TRUTH, "9.0.0.0/24": LIE})

    def test_ended_observations_make_room_first(self) -> None:
        for number in range(MAX_OBSERVATIONS):
            self.add(1, f"9.{number}.0.1", link=number)
        self.kept.ended(7)
        self.add(1, "10.0.0.1", link=-1)
        self.assertEqual(len(self.kept), MAX_OBSERVATIONS)
        self.assertNotIn("9.7.0.0/24", self.kept.votes(False))
        self.assertIn("9.0.0.0/24", self.kept.votes(False))
        self.add(1, "10.1.0.1", link=-2)
        self.assertEqual(len(self.kept), MAX_OBSERVATIONS)
        self.assertNotIn("9.0.0.0/24", self.kept.votes(False))

    @given(lies, st.integers(2, 5), st.data())
    def test_one_network_never_outvotes_two_others(
        self, lies: list[tuple[int, Endpoint]], honest: int, data: object
    ) -> None:
        """
        However many liars there are in one network, and whenever they speak: what two others agree on is
        believed, alone. They may leave the kind of the NAT open, since they could be the ones who see another
        address of it; but they cannot make it the wrong kind, with which nobody would punch.
        """
        kept = Observations(Clock().seconds)
        for number in range(honest):
            kept.add(name(1 + number), Endpoint(f"9.1.{number}.1", 1), TRUTH, True, "link", "10.0.0.1")
            for who, lie in lies[number::honest]:
                kept.add(Name(bytes([who]) * 32), Endpoint(f"9.0.0.{who}", 1), lie, True, "link", "10.0.0.1")
        self.assertEqual(believed_in(kept.votes(False)), (TRUTH,))
        self.assertEqual(tentative_in(kept.votes(False)), ())
        self.assertIn(kind_of_nat(kept.votes(False, True), ()), (NatKind.CONE, NatKind.UNKNOWN))

    @given(lies)
    def test_single_network_is_never_believed(self, lies: list[tuple[int, Endpoint]]) -> None:
        """Nothing that one network alone says is believed, nor anything concluded from it."""
        kept = Observations(Clock().seconds)
        for who, lie in lies:
            kept.add(Name(bytes([who]) * 32), Endpoint(f"9.0.0.{who}", 1), lie, True, "link", "10.0.0.1")
        self.assertEqual(believed_in(kept.votes(False)), ())
        self.assertIs(kind_of_nat(kept.votes(False), ()), NatKind.UNKNOWN)
        self.assertLessEqual(len(kept), MAX_OBSERVATIONS_OF_A_NETWORK)
