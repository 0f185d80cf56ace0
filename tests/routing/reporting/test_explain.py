"""What a node says of why it has a link with another, or none."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.daemon.text import explanation_text
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.errors import PeerUnreachable
from routing_crust.identity import Identity
from routing_crust.routing.reporting.explain import Explanation, in_words
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.codec import to_wire

NOBODY = Identity.from_seed(b"n" * 32).name


class ExplainTests(SynchronousTestCase):
    """In a network of four and a client."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=21)
        self.nodes = self.net.nodes(4)
        self.client = self.net.node(role=Role.CLIENT)
        self.net.run_until(self.net.joined)
        self.one, self.two, *_ = self.nodes

    def tearDown(self) -> None:
        self.net.stop()

    def explain(self, node: SimulatedNode, other: SimulatedNode) -> Explanation:
        """What one says of another; it can be written as JSON."""
        found = node.service.explain(other.name)
        self.assertEqual(json.loads(json.dumps(found.as_dict()))["name"], str(other.name))
        return found

    def outcomes(self, found: Explanation) -> list[str]:
        return [each.outcome for each in found.attempts]

    def test_linked_peer_says_how_the_link_came_about(self) -> None:
        """How the link came about, and that nothing is to be done."""
        found = self.explain(self.one, self.two)
        self.assertTrue(found.linked)
        self.assertRegex(found.summary, r"^there is a link: direct, .* in use as member, round trip \d+ ms$")
        self.assertEqual(found.next, ())
        self.assertTrue(found.attempts)

    def test_link_whose_peer_owes_an_answer_says_so(self) -> None:
        """Also in the status."""
        self.assertEqual({each["silent_seconds"] for each in self.one.service.status()["links"]}, {None})
        self.net.network.sleep(self.two.crust)
        self.one.service.send(self.two.name, b"hello").addErrback(lambda failure: None)
        self.net.run_for(4)
        found = self.explain(self.one, self.two).summary
        self.assertRegex(found, r"; it has not answered for [34] s, and another one is tried for$")
        silent = {each["peer"]: each["silent_seconds"] for each in self.one.service.status()["links"]}
        self.assertTrue(2 <= silent[str(self.two.name)] <= 4)

    def test_tunnel_is_explained_by_the_node_in_its_middle(self) -> None:
        """Its address is that of the relay, and it says so."""
        core = self.one.core
        assert core is not None
        peer = core.links.peer(self.two.name)
        assert peer is not None
        peer.link.path_kind = PathKind.TUNNEL
        self.assertIn(
            "there is a link: tunnel, through the node at ", self.explain(self.one, self.two).summary
        )

    def test_requester_and_responder_tell_their_sides(self) -> None:
        """One has asked, the other was asked; each says where the other's endpoints are from."""
        found = [
            self.explain(each, other) for each in self.nodes for other in self.nodes if other is not each
        ]
        outcomes = {each for one in found for each in self.outcomes(one)}
        self.assertIn("we asked it, and it agreed", outcomes)
        self.assertIn("it asked us, and we agreed", outcomes)
        sources = {source for one in found for each in one.candidates for source in each.sources}
        self.assertLessEqual({"its request", "its answer", "the setting contacts"}, sources)

    def test_unknown_name_says_that_nothing_was_tried(self) -> None:
        """The explanation also says what an operator can do."""
        found = self.one.service.explain(NOBODY)
        self.assertEqual(
            (found.linked, found.summary, found.candidates, found.attempts),
            (False, "there is no link, and none was tried within the last hour", (), ()),
        )
        self.assertIn("the routing table wants it", found.next[0])
        self.assertIn("RoutingService.connect()", found.next[1])

    def test_client_tries_nothing_by_itself(self) -> None:
        found = self.client.service.explain(NOBODY)
        self.assertIn("does not try by itself", found.next[0])

    def test_request_is_explained_while_under_way_and_after_its_end(self) -> None:
        """A request that is under way, and then what those have said who were asked for the peer."""
        connecting = self.one.service.connect(NOBODY)
        self.net.run_for(2)
        found = self.one.service.explain(NOBODY)
        self.assertIn(
            "has been under way for 2 s; without an answer within 20 s another one follows", found.next[0]
        )
        with self.assertRaises(PeerUnreachable):
            self.net.result_of(connecting)
        found = self.one.service.explain(NOBODY)
        self.assertRegex(
            found.summary,
            r"^there is no link; the last thing that happened, 0 s ago: request: none of the 3 nodes",
        )

    def test_silent_peer_is_explained(self) -> None:
        """A peer that does not answer, and when it is asked again."""
        self.two.crash(silently=True)
        self.net.run_for(70)
        with self.assertRaises(PeerUnreachable):
            self.net.result_of(self.one.service.connect(self.two.name))
        found = self.explain(self.one, self.two)
        self.assertIn("we asked it, and it did not answer", self.outcomes(found))
        self.assertRegex(found.next[0], r"did not answer: left alone for \d+ (s|min)")

    def test_lost_peer_says_when_and_why(self) -> None:
        """A peer that is gone: when and why the link was lost, and what was tried since."""
        self.two.crash(silently=True)
        self.net.run_for(120)
        found = self.explain(self.one, self.two)
        self.assertFalse(found.linked)
        self.assertIn("lost:", " ".join(self.outcomes(found)))

    def test_refused_candidates_say_why_they_are_not_dialled(self) -> None:
        core = self.one.core
        assert core is not None
        candidates = core.connector._candidates
        candidates.dialable(NOBODY, candidates.ours(), "its request")
        (candidate,) = self.one.service.explain(NOBODY).candidates
        self.assertEqual((candidate.endpoint, candidate.sources), (str(self.one.endpoint), ("its request",)))
        self.assertEqual((candidate.obstacle, candidate.next_seconds), ("it is our own address", None))
        self.assertEqual(candidate.outcome, "")

    def test_never_and_may_be_are_not_said_of_one_address(self) -> None:
        """What is never dialled now is said once; what was refused and may be dialled now is not mixed."""
        core = self.one.core
        assert core is not None
        low = Endpoint("9.9.9.9", 443)
        core.candidates.dialable(NOBODY, (to_wire(low),), "its request")
        line = self.candidate_line(low)
        self.assertEqual(line, "it is not dialled: ports below 1024 are never dialled for a stranger")
        self.patch(self.one.crust, "is_known", lambda endpoint, peer: endpoint == low)
        self.assertEqual(self.candidate_line(low), "not dialled within the last hour; it may be dialled")

    def candidate_line(self, endpoint: Endpoint) -> str:
        """What the command shows of an endpoint of this peer."""
        lines = explanation_text(self.one.service.explain(NOBODY).as_dict()).splitlines()
        (number,) = (at for at, line in enumerate(lines) if line.startswith(f"  {endpoint}, "))
        return lines[number + 1].strip()

    def test_obstacle_says_for_how_long_it_stands(self) -> None:
        endpoint = Endpoint("192.0.2.9", 5000)
        self.one.crust.history.told(NOBODY, [endpoint], "its beacon")
        for obstacle, seconds in ((("it failed recently", 7.04), 7.0), (("denied", float("inf")), None)):
            self.patch(self.one.crust, "obstacle", lambda *_, given=obstacle: given)
            (candidate,) = self.one.service.explain(NOBODY).candidates
            self.assertEqual((candidate.obstacle, candidate.next_seconds), (obstacle[0], seconds))

    def test_without_a_network_no_node_is_asked(self) -> None:
        self.net.partition([self.one], [each for each in self.net if each is not self.one])
        self.net.run_for(100)
        found = self.explain(self.one, self.two)
        self.assertIn("no way into the network", found.next[0])
        self.assertTrue(any(each.way == "bootstrap" or "lost" in each.outcome for each in found.attempts))
        self.net.heal()

    def test_stopped_service_and_own_name_are_explained(self) -> None:
        self.assertEqual(self.explain(self.one, self.one).summary, "this is this node's own name")
        self.net.stop()
        self.assertEqual(self.explain(self.one, self.two).summary, "this node is not running")


class WordsTests(SynchronousTestCase):
    def test_time_spans_are_put_in_words(self) -> None:
        for seconds, words in ((-1, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")):
            self.assertEqual(in_words(seconds), words)
