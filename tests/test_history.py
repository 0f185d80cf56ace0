"""What was tried to get a link with each peer: what is kept of it, and for how long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Endpoint
from routing_crust.history import (
    MAX_PEERS,
    MAX_PER_PEER,
    MAX_TEXT_CHARACTERS,
    OUTCOME_LIFETIME_SECONDS,
    History,
    PeerHistory,
    Way,
)
from routing_crust.names import Name


def name(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


def at(number: int) -> Endpoint:
    return Endpoint("192.0.2.1", 1024 + number)


A, B = name(1), name(2)


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.history = History(self.clock.seconds)

    def texts(self, peer: Name) -> list[tuple[str, int]]:
        """What came of each try, and how often."""
        return [(each.text, each.times) for each in self.history.of(peer).outcomes]

    def test_outcomes_are_in_order_and_peers_are_kept_apart(self) -> None:
        """The latest last, each with its time; peers are kept apart."""
        self.history.tried(A, Way.DIAL, at(1), "refused")
        self.clock.advance(5)
        self.history.tried(A, Way.PUNCH, at(1), "opened", good=True)
        self.history.tried(B, Way.TUNNEL, A, "no answer")
        first, second = self.history.of(A).outcomes
        self.assertEqual((first.at, first.way, first.where, first.good), (0, Way.DIAL, str(at(1)), False))
        self.assertEqual((second.at, second.way, second.good), (5, Way.PUNCH, True))
        self.assertEqual(self.history.of(B).outcomes[0].where, str(A))

    def test_failures_of_all_peers_are_the_latest_first_and_no_lost_links(self) -> None:
        self.history.tried(A, Way.DIAL, at(1), "refused")
        self.clock.advance(1)
        self.history.tried(B, Way.DIAL, at(2), "silent")
        self.history.tried(A, Way.PUNCH, at(1), "opened", good=True)
        self.history.tried(A, Way.LINK, at(1), "lost")
        found = [(peer, each.text) for peer, each in self.history.failures(8)]
        self.assertEqual(found, [(B, "silent"), (A, "refused")])
        self.assertEqual(len(self.history.failures(1)), 1)
        self.clock.advance(OUTCOME_LIFETIME_SECONDS)
        self.assertEqual([peer for peer, _ in self.history.failures(8)], [B])

    def test_repeated_outcome_is_kept_once_as_the_latest(self) -> None:
        for _ in range(100):
            self.clock.advance(1)
            self.history.tried(A, Way.DIAL, at(1), "refused")
            self.history.tried(A, Way.DIAL, at(2), "no answer")
        self.history.tried(A, Way.DIAL, at(1), "refused")
        self.assertEqual(self.texts(A), [("no answer", 100), ("refused", 101)])
        self.assertEqual(self.history.of(A).outcomes[1].at, 100)

    def test_source_of_each_endpoint_is_kept_with_the_latest_last(self) -> None:
        self.history.told(A, [at(1), at(2)], "its request")
        self.history.told(A, [at(1)], "told by B")
        self.history.told(A, [at(1)], "its request")
        told = [(each.endpoint, each.source) for each in self.history.of(A).told]
        self.assertEqual(told, [(at(2), "its request"), (at(1), "told by B"), (at(1), "its request")])

    def test_peer_without_a_name_or_unheard_of_has_no_history(self) -> None:
        self.history.tried(None, Way.BOOTSTRAP, at(1), "refused")
        self.history.told(None, [at(1)], "a contact")
        self.assertEqual(len(self.history), 0)
        self.assertEqual(self.history.of(A), PeerHistory())
        self.assertEqual(len(self.history), 0)

    def test_outcomes_older_than_an_hour_and_empty_peers_are_forgotten(self) -> None:
        self.history.tried(A, Way.DIAL, at(1), "refused")
        self.history.told(A, [at(1)], "its request")
        self.history.tried(B, Way.DIAL, at(1), "refused")
        self.clock.advance(OUTCOME_LIFETIME_SECONDS / 2)
        self.history.tried(A, Way.DIAL, at(1), "no answer")
        self.clock.advance(OUTCOME_LIFETIME_SECONDS / 2 + 1)
        self.assertEqual(self.texts(A), [("no answer", 1)])
        self.assertEqual(self.history.of(A).told, ())
        self.assertEqual(len(self.history), 1)

    def test_oldest_peers_outcomes_and_endpoints_make_room_and_texts_are_cut(self) -> None:
        for number in range(3 * MAX_PER_PEER):
            self.history.tried(A, Way.DIAL, at(number), "x" * 1000)
            self.history.told(A, [at(number)], "its request")
        found = self.history.of(A)
        self.assertEqual(
            [each.endpoint for each in found.told], [at(MAX_PER_PEER * 2 + n) for n in range(MAX_PER_PEER)]
        )
        self.assertEqual([each.where for each in found.outcomes], [str(each.endpoint) for each in found.told])
        self.assertEqual(len(found.outcomes[0].text), MAX_TEXT_CHARACTERS)
        for number in range(MAX_PEERS):
            self.history.tried(name(1000 + number), Way.DIAL, at(1), "refused")
        self.assertEqual(len(self.history), MAX_PEERS)
        self.assertEqual(self.texts(A), [])

    def test_minor_outcome_displaces_no_peer(self) -> None:
        """What anybody can bring about displaces nobody."""
        self.history.tried(A, Way.REQUEST, "", "ignored", minor=True)
        for number in range(MAX_PEERS - 1):
            self.history.tried(name(1000 + number), Way.DIAL, at(1), "refused")
        self.history.tried(B, Way.REQUEST, "", "ignored", minor=True)
        self.history.tried(A, Way.REQUEST, "", "ignored", minor=True)
        self.assertEqual((self.texts(A), self.texts(B)), ([("ignored", 2)], []))

    @given(
        st.lists(
            st.tuples(st.integers(0, 300), st.integers(0, 40), st.sampled_from(Way), st.floats(0, 1000)),
            max_size=200,
        )
    )
    def test_history_stays_bounded_whatever_happens(self, steps: list[tuple[int, int, Way, float]]) -> None:
        clock = Clock()
        history = History(clock.seconds)
        for peer, endpoint, way, seconds in steps:
            clock.advance(seconds)
            history.tried(name(peer), way, at(endpoint), "text")
            history.told(name(peer), [at(endpoint + each) for each in range(endpoint)], "somebody")
            found = history.of(name(peer))
            self.assertLessEqual(len(history), MAX_PEERS)
            self.assertLessEqual(max(len(found.told), len(found.outcomes)), MAX_PER_PEER)
            self.assertTrue(
                all(each.at >= clock.seconds() - OUTCOME_LIFETIME_SECONDS for each in found.outcomes)
            )
