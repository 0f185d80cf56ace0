"""How an application with a node is tested. Run it with: python -m twisted.trial examples/test_greeting.py"""

from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust import Endpoint, Identity, Message, Name, Role, RoutingService, Settings
from routing_crust.errors import PeerUnreachable
from routing_crust.testing.network import MemoryCrust, MemoryNetwork


class Greeter:
    """The application: it greets whoever asks, and counts them."""

    def __init__(self, node: RoutingService) -> None:
        self.node = node
        self.greeted = 0
        node.set_request_handler(self.answer)

    def answer(self, message: Message) -> bytes:
        self.greeted += 1
        return b"hello " + message.body

    def greet(self, name: Name) -> Deferred[bytes]:
        return self.node.request(name, b"world")


class InMemoryTests(SynchronousTestCase):
    """Without sockets: the test moves the time, and the same seed gives the same run."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, random=Random(1))
        self.first = self.make(1, Settings(role=Role.FIRST))
        assert self.first.node.contact is not None
        self.second = self.make(2, Settings(contacts=(self.first.node.contact,)))
        connected = self.second.node.when_connected()
        self.network.run_until(lambda: connected.called)

    def make(self, seed: int, settings: Settings) -> Greeter:
        identity = Identity.from_seed(seed.to_bytes(32, "big"))
        crust = MemoryCrust(self.network, settings, identity)
        node = RoutingService(
            settings, reactor=self.clock, identity=identity, crust=crust, random=Random(seed)
        )
        node.startService()
        return Greeter(node)

    def test_greet(self) -> None:
        answer = self.second.greet(self.first.node.node_name)
        self.network.run_until(lambda: answer.called)
        self.assertEqual(self.successResultOf(answer), b"hello world")
        self.assertEqual(self.first.greeted, 1)

    def test_nobody_there(self) -> None:
        """Some three minutes of waiting, and none of them is spent."""
        answer = self.second.greet(Name(bytes(32)))
        self.network.run_until(lambda: answer.called, timeout=300)
        self.failureResultOf(answer, PeerUnreachable)


class OnLoopbackTests(TestCase):
    """With real sockets: port 0 lets the system choose, so that tests can run beside each other."""

    timeout = 60  # a bound on hanging, not a part of the test

    def make(self, **settings: object) -> Greeter:
        here = (Endpoint("127.0.0.1", 0),)
        node = RoutingService(Settings(listen=here, lan_discovery=False, **settings))  # type: ignore[arg-type]
        node.startService()
        self.addCleanup(node.stopService)
        return Greeter(node)

    async def test_greet(self) -> None:
        first = self.make(role=Role.FIRST)
        second = self.make(contacts=(first.node.contact,))
        await gatherResults([second.node.when_connected(), first.node.when_connected()])
        self.assertEqual(await second.greet(first.node.node_name), b"hello world")
