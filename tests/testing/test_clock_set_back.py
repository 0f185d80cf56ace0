"""A node whose host's clock is set back: nothing that it waits for is held up by it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import PeerUnreachable
from routing_crust.limits import MAX_ATTEMPTS
from routing_crust.testing.simulation import SimulatedNetwork

HOUR = 3600.0


class SetBackTests(SynchronousTestCase):
    """In a network of five, of which three have just gone silently."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(seed=5)
        self.node, self.other, *gone = self.net.nodes(5)
        self.net.run_until(self.net.joined)
        for each in gone:
            each.crash(silently=True)
        self.gone = gone[0].name

    def tearDown(self) -> None:
        self.net.stop()

    def test_silent_peer_is_noticed_in_time(self) -> None:
        """Silent peers are noticed in time."""
        self.net.run_for(10)
        self.node.jump_clock(-HOUR)
        # a link looks at its silence every ten seconds
        self.net.run_for(self.node.settings.inactivity_timeout + 10)
        core = self.node.core
        assert core is not None
        self.assertEqual([each.name for each in core.links.peers], [self.other.name])

    def test_message_without_ack_is_given_up_in_time(self) -> None:
        """So is a message that does not arrive."""
        settings = self.node.settings
        sent = self.node.service.send(self.gone, b"hello?")
        self.net.run_for(1)
        self.node.jump_clock(-HOUR)
        with self.assertRaises(PeerUnreachable):
            self.net.result_of(sent, settings.ack_timeout * MAX_ATTEMPTS)
