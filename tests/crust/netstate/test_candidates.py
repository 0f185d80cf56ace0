"""The order in which we name where we can be dialled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.netstate.candidates import Candidates, rank_candidates
from routing_crust.crust.reachability import EndpointSource, OwnEndpoint
from routing_crust.endpoints import Endpoint

from ..addresses import at

CONFIGURED, MAPPED, GLOBAL = at("5.0.0.1:1024"), at("5.0.0.2:1024"), at("8.8.8.8:5483")
SEEN, MAYBE, PRIVATE = at("5.0.0.3:1024"), at("5.0.0.4:1024"), at("192.168.1.5:5483")
LISTENING = (GLOBAL, PRIVATE)

some = st.lists(
    st.builds(Endpoint, st.sampled_from(["5.0.0.1", "8.8.8.8", "10.0.0.1", "127.0.0.1"]), st.integers(1, 4)),
    max_size=5,
)


def ranked(most: int = 8, **changes: tuple[Endpoint, ...]) -> Candidates:
    given = {
        "configured": (CONFIGURED,),
        "mapped": (MAPPED,),
        "listening": LISTENING,
        "believed": (SEEN,),
        "tentative": (MAYBE,),
    }
    given |= changes
    return rank_candidates(**given, most=most)


class RankTests(SynchronousTestCase):
    def test_surest_candidates_come_first(self) -> None:
        """What is surest first, what is private last; what is tentative is for requests only."""
        found = ranked()
        self.assertEqual(
            found.known,
            (
                OwnEndpoint(CONFIGURED, EndpointSource.CONFIGURED),
                OwnEndpoint(MAPPED, EndpointSource.MAPPED),
                OwnEndpoint(GLOBAL, EndpointSource.INTERFACE),
                OwnEndpoint(SEEN, EndpointSource.OBSERVED),
                OwnEndpoint(PRIVATE, EndpointSource.PRIVATE),
            ),
        )
        self.assertEqual(found.endpoints, (CONFIGURED, MAPPED, GLOBAL, SEEN, PRIVATE))
        self.assertEqual(found.asked, (*found.endpoints, MAYBE))

    def test_endpoint_known_twice_has_its_best_source(self) -> None:
        """An endpoint that is known in several ways has the best of them."""
        found = ranked(mapped=(CONFIGURED,), believed=(GLOBAL, CONFIGURED), tentative=(GLOBAL, PRIVATE))
        self.assertEqual(found.endpoints, (CONFIGURED, GLOBAL, PRIVATE))
        self.assertEqual([each.source.value for each in found.known], ["configured", "interface", "private"])
        found = ranked(configured=(PRIVATE,))
        self.assertEqual(found.known[0], OwnEndpoint(PRIVATE, EndpointSource.CONFIGURED))
        self.assertEqual(found.endpoints.count(PRIVATE), 1)

    def test_private_candidates_are_dropped_first(self) -> None:
        """Private ones go first, and make room for tentative ones; those that are sure make none."""
        self.assertEqual(ranked(5).asked, (CONFIGURED, MAPPED, GLOBAL, SEEN, MAYBE))
        self.assertEqual(ranked(5).endpoints, (CONFIGURED, MAPPED, GLOBAL, SEEN, PRIVATE))
        self.assertEqual(ranked(4).asked, (CONFIGURED, MAPPED, GLOBAL, SEEN))
        self.assertEqual(ranked(2).endpoints, (CONFIGURED, MAPPED))

    def test_last_private_candidate_is_kept(self) -> None:
        """A tentative one does not displace it."""
        nothing = {"configured": (), "mapped": (), "believed": ()}
        found = ranked(1, **nothing, listening=(PRIVATE,))
        self.assertEqual(found.asked, (PRIVATE,))
        found = ranked(1, **nothing, listening=())
        self.assertEqual((found.endpoints, found.asked), ((), (MAYBE,)))

    def test_observed_address_of_ours_is_named_once(self) -> None:
        """A peer in our own network has seen us at a private address."""
        self.assertEqual(ranked(9, tentative=(PRIVATE,)).asked, (CONFIGURED, MAPPED, GLOBAL, SEEN, PRIVATE))

    @given(some, some, some, some, some, st.integers(1, 6))
    def test_candidates_are_bounded_and_unique(
        self,
        configured: list[Endpoint],
        mapped: list[Endpoint],
        listening: list[Endpoint],
        believed: list[Endpoint],
        tentative: list[Endpoint],
        most: int,
    ) -> None:
        """Never too many, none twice, and no request without what is sure."""
        found = rank_candidates(configured, mapped, listening, believed, tentative, most)
        for each in (found.endpoints, found.asked):
            self.assertLessEqual(len(each), most)
            self.assertEqual(len(set(each)), len(each))
        sure = [each.endpoint for each in found.known if each.source is not EndpointSource.PRIVATE]
        self.assertEqual(list(found.asked[: len(sure)]), sure)
        self.assertEqual(found.endpoints[:1], found.asked[:1] if found.endpoints else ())
