"""Which links make a node part of its network, and that it looks for another when it has none of them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import CloseReason
from routing_crust.names import Name
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.state import State
from routing_crust.testing.simulation import SimulatedNetwork


class WayInTests(SynchronousTestCase):
    """A newcomer that somebody speaks for, and that an application has already asked for a link."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5)
        self.addCleanup(self.net.stop)
        others = self.net.nodes(4)
        self.net.run_until(self.net.joined)
        self.newcomer = self.net.node()
        self.net.run_until(lambda: self.core.proxy is not None)
        self.core.joiner.rest()  # nobody answers what it asks to join
        self.other = next(each.name for each in others if each.name != self.core.proxy)
        self.net.result_of(self.newcomer.service.connect(self.other))

    @property
    def core(self) -> RoutingCore:
        """What the newcomer is made of."""
        assert self.newcomer.core is not None
        return self.newcomer.core

    def lose(self, name: Name | None) -> None:
        """The newcomer loses its link to somebody."""
        assert name is not None
        self.core.links.drop(name, CloseReason.NO_LONGER_NEEDED)

    def test_a_link_that_was_asked_for_is_none(self) -> None:
        """When nobody speaks for it any more it bootstraps again, and keeps the link all the while."""
        link = self.core.links.link_to(self.other)
        self.lose(self.core.proxy)
        self.assertIs(self.core.state, State.DISCONNECTED)
        self.assertIs(self.core.links.link_to(self.other), link)
        self.net.run_until(self.net.joined)
        self.assertIs(self.core.state, State.CONNECTED)
        self.assertIsNotNone(self.core.links.link_to(self.other))

    def test_its_loss_changes_nothing(self) -> None:
        """It is none while the newcomer bootstraps again, either."""
        self.lose(self.core.proxy)
        self.core.lifecycle.machine.retry()
        self.lose(self.other)
        self.assertIs(self.core.state, State.BOOTSTRAPPING)

    def test_who_speaks_for_it_may_be_asked_too(self) -> None:
        """A link to the node that speaks for the newcomer is a way in, whatever else it is for."""
        proxy = self.core.proxy
        assert proxy is not None
        self.net.result_of(self.newcomer.service.connect(proxy))
        self.lose(self.other)
        self.assertIs(self.core.state, State.BOOTSTRAPPING)
        self.lose(proxy)
        self.assertIs(self.core.state, State.DISCONNECTED)
