"""How an application with a node is tested. Run it with: python -m twisted.trial examples/test_greeting.py"""

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust import Endpoint, Message, Name, Role, RoutingService, Settings
from routing_crust.errors import PeerUnreachable
from routing_crust.testing import SimulatedNetwork


class Greeter:
    """The application: it greets each peer that asks, and counts them."""

    def __init__(self, node: RoutingService) -> None:
        self.node = node
        self.greeted = 0
        node.set_request_handler(self.answer)

    def answer(self, message: Message) -> bytes:
        self.greeted += 1
        return b"hello " + message.body

    def greet(self, name: Name) -> Deferred[bytes]:
        return self.node.request(name, b"world")


class SimulatedTests(SynchronousTestCase):
    """Without sockets: the test moves the time, and the same seed gives the same run."""

    def setUp(self) -> None:
        self.greeters: dict[Name, Greeter] = {}
        self.network = SimulatedNetwork(seed=1)
        self.nodes = self.network.nodes(8, setup=self.install)
        self.network.run_until(self.network.joined)

    def install(self, service: RoutingService) -> None:
        self.greeters[service.node_name] = Greeter(service)

    def test_peer_is_greeted(self) -> None:
        one, other = self.nodes[1], self.nodes[6]
        answer = self.greeters[one.name].greet(other.name)
        self.assertEqual(self.network.result_of(answer), b"hello world")
        self.assertEqual(self.greeters[other.name].greeted, 1)

    def test_restarted_peer_is_greeted(self) -> None:
        """Its process was killed: no other node has to be told of the restart."""
        one, other = self.nodes[1], self.nodes[6]
        other.crash()
        self.network.run_for(30)
        other.restart()
        self.network.run_until(self.network.joined)
        answer = self.greeters[one.name].greet(other.name)
        self.assertEqual(self.network.result_of(answer), b"hello world")

    def test_missing_peer_is_unreachable(self) -> None:
        """No node knows of it, which they say twice within three seconds."""
        answer = self.greeters[self.nodes[1].name].greet(Name(bytes(32)))
        with self.assertRaises(PeerUnreachable):
            self.network.result_of(answer)


class OnLoopbackTests(TestCase):
    """With real sockets: port 0 lets the system choose, so that tests can run beside each other."""

    timeout = 300  # a bound on hanging, not a part of the test

    def make(self, **settings: object) -> Greeter:
        here = (Endpoint("127.0.0.1", 0),)
        node = RoutingService(Settings(listen=here, lan_discovery=False, **settings))  # type: ignore[arg-type]
        node.startService()
        self.addCleanup(node.stopService)
        return Greeter(node)

    async def test_peer_is_greeted(self) -> None:
        first = self.make(role=Role.FIRST)
        second = self.make(contacts=(first.node.contact,))
        await gatherResults([second.node.when_connected(), first.node.when_connected()])
        self.assertEqual(await second.greet(first.node.node_name), b"hello world")
