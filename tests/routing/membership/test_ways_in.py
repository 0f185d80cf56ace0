"""Which links make a node part of its network, and that it looks for another when it has none of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.limits import BOOTSTRAP_TIMEOUT_SECONDS
from routing_crust.names import Name
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.membership.attachment import BESIDE_LOOK_SECONDS, BESIDE_SECONDS
from routing_crust.routing.membership.proxy_trial import FIRST_PATIENCE_SECONDS
from routing_crust.routing.state import State
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.messages import LinkUse


class WayInTests(SynchronousTestCase):
    """A newcomer with a proxy, and with a link that an application has requested."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5)
        self.addCleanup(self.net.stop)
        others = self.net.nodes(4)
        self.net.run_until(self.net.joined)
        self.newcomer = self.net.node()
        self.net.run_until(lambda: self.core.proxy is not None)
        self.core.joiner.rest()  # nobody answers what it asks to join
        self.patch(self.core.trial, "cut_off", lambda: False)  # it waits before it tries again
        self.other = next(each.name for each in others if each.name != self.core.proxy)
        self.net.result_of(self.newcomer.service.connect(self.other))

    @property
    def core(self) -> RoutingCore:
        """What the newcomer is made of."""
        assert self.newcomer.core is not None
        return self.newcomer.core

    def lose(self, name: Name | None) -> None:
        """The newcomer loses its link to a node."""
        assert name is not None
        self.core.links.drop(name, CloseReason.NO_LONGER_NEEDED)

    def test_requested_link_is_no_way_into_the_network(self) -> None:
        """Without a proxy the newcomer bootstraps again, and keeps the requested link meanwhile."""
        link = self.core.links.link_to(self.other)
        self.lose(self.core.proxy)
        self.assertIs(self.core.state, State.DISCONNECTED)
        self.assertIs(self.core.links.link_to(self.other), link)
        self.net.run_until(self.net.joined)
        self.assertIs(self.core.state, State.CONNECTED)
        self.assertIsNotNone(self.core.links.link_to(self.other))

    def test_node_joins_by_a_requested_link_where_nobody_else_can_be_dialled(self) -> None:
        """Its peer is not dialled, since there is a link, and is asked to make us a member instead."""
        for node in self.net.alive:
            if node.name != self.other and node is not self.newcomer:
                self.net.network.block(self.newcomer.crust, node.crust)
        self.lose(self.core.proxy)
        self.net.run_until(lambda: self.other in self.core.table, 30)
        self.assertIs(self.core.state, State.CONNECTED)

    def test_link_that_only_an_application_uses_any_more_is_no_way_in(self) -> None:
        """It was one for as long as its peer was attached to us, and nothing is lost when it is raised."""
        proxy = self.core.proxy
        assert proxy is not None
        attached = self.core.links.peer(proxy)
        assert attached is not None
        raised = replace(attached, use=LinkUse.DIRECT)
        self.core.neighbourhood.proxy = None
        woken: list[None] = []
        self.patch(self.core.joiner, "wake", lambda: woken.append(None))
        for peers, state, times in (
            ((raised, attached), State.BOOTSTRAPPING, 0),
            ((raised,), State.DISCONNECTED, 1),
        ):
            self.patch(self.core.attachment, "_links", SimpleNamespace(peers=peers))
            self.core.attachment.peer_established(raised, attached)
            self.assertEqual((self.core.state, len(woken)), (state, times))

    def test_loss_of_a_requested_link_changes_no_state(self) -> None:
        """It is none while the newcomer bootstraps again, either."""
        self.lose(self.core.proxy)
        self.core.lifecycle.machine.retry()
        self.lose(self.other)
        self.assertIs(self.core.state, State.BOOTSTRAPPING)

    def test_requested_link_to_the_proxy_is_a_way_in(self) -> None:
        """A link to the proxy is a way in, whatever else it is for."""
        proxy = self.core.proxy
        assert proxy is not None
        self.net.result_of(self.newcomer.service.connect(proxy))
        self.lose(self.other)
        self.assertIs(self.core.state, State.BOOTSTRAPPING)
        self.lose(proxy)
        self.assertIs(self.core.state, State.DISCONNECTED)


class BrokenPathTests(SynchronousTestCase):
    """A member whose path may have broken, and which is still linked with one other."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5)
        self.addCleanup(self.net.stop)
        cores = [each.core for each in self.net.nodes(4) if each.core is not None]
        self.net.run_for(10)
        for each in cores:  # nobody asks for the lost links
            each.joiner.rest()
            self.patch(each.joiner, "wake", lambda: None)
        self.core = cores[1]
        *others, silent = self.core.links.peers  # the first is its contact
        for other in others:
            self.core.links.drop(other.name, CloseReason.CONNECTION_LOST)
        self.net.run_for(0.2)  # until these links are gone altogether
        self.silent, self.lost = silent.name, others[0].name

    def change(self, has_heard: bool) -> None:
        """The network has changed."""
        for each in self.core.links.peers:
            each.link.has_heard = has_heard
        self.core.network_changed()

    def test_node_looks_for_a_proxy_beside_links_that_are_silent(self) -> None:
        """It is connected all the while, and the proxy carries what it asks."""
        proxies: list[Name | None] = []
        self.core.neighbourhood.watch_proxy(proxies.append)
        self.change(has_heard=False)
        self.net.run_for(2)
        self.assertTrue(proxies)
        self.assertIs(self.core.state, State.CONNECTED)
        self.assertIn(self.silent, self.core.table)

    def test_node_looks_for_none_while_a_link_brings_something(self) -> None:
        proxies: list[Name | None] = []
        self.core.neighbourhood.watch_proxy(proxies.append)
        self.change(has_heard=True)
        self.net.run_for(5)
        self.assertEqual(proxies, [])

    def test_proxy_is_let_go_and_no_other_is_sought_when_the_links_live(self) -> None:
        """The members need none, and the contact that was one for a moment has not failed."""
        proxies: list[Name | None] = []
        self.core.neighbourhood.watch_proxy(proxies.append)
        self.patch(self.core.trial, "failed", self.fail)
        self.change(has_heard=False)
        self.net.run_for(BOOTSTRAP_TIMEOUT_SECONDS + 5)
        self.assertEqual(len(proxies), 2)
        self.assertIsNone(self.core.proxy)
        self.assertIn(self.silent, self.core.table)

    def test_proxy_stays_until_the_lost_neighbours_are_back(self) -> None:
        """The link that lives may be to a host whose own path breaks next."""
        self.core.joiner._view = self.silent, self.lost
        self.change(has_heard=False)
        self.net.run_for(1)
        alive = self.core.links.link_to(self.silent)
        assert alive is not None
        alive.has_heard = True
        self.net.run_for(2 * BESIDE_LOOK_SECONDS)
        self.assertIsNotNone(self.core.proxy)
        self.core.joiner._view = (self.silent,)
        self.net.run_for(BESIDE_LOOK_SECONDS)
        self.assertIsNone(self.core.proxy)

    def test_proxy_is_kept_and_tried_when_the_last_member_is_lost(self) -> None:
        self.change(has_heard=False)
        self.net.run_for(1)
        first = self.core.proxy
        self.core.links.drop(self.silent, CloseReason.CONNECTION_LOST)
        self.net.run_for(BESIDE_LOOK_SECONDS)
        self.assertIsNotNone(first)
        self.assertEqual(self.core.proxy, first)
        self.net.run_for(2 * FIRST_PATIENCE_SECONDS)
        self.assertNotIn(self.core.proxy, (first, None))

    def test_tunnel_is_as_silent_as_the_link_to_its_relay(self) -> None:
        """What came through it long ago says nothing, since nobody watches the path of a tunnel."""
        bootstraps: list[None] = []
        self.patch(self.core.crust, "bootstrap", lambda: bootstraps.append(None))
        (member,) = self.core.links.peers
        relay, link_to = SimpleNamespace(has_heard=True), self.core.links.link_to
        self.patch(self.core.links, "link_to", lambda name: relay if name == self.lost else link_to(name))
        member.link.via, member.link.has_heard = self.lost, True
        self.core.attachment.network_changed()
        self.assertEqual(bootstraps, [])
        relay.has_heard = False
        self.core.attachment.network_changed()
        self.assertEqual(bootstraps, [None])

    def test_node_takes_no_other_proxy_once_that_is_long_ago(self) -> None:
        self.core.attachment.network_changed()
        self.net.run_for(BESIDE_SECONDS)
        proxies: list[Name | None] = []
        self.core.neighbourhood.watch_proxy(proxies.append)
        self.core.crust.bootstrap()
        self.net.run_for(5)
        self.assertEqual(proxies, [])
