"""
Names as text: wherever an application gives a name, its text or a nickname will do, and anything else is
refused before it can do harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Contact, Endpoint, Name, RoutingService
from routing_crust.errors import InvalidName
from routing_crust.forwarding_rules import Nickname
from routing_crust.streams import RoutingClientEndpoint, RoutingServerEndpoint, streams_of
from routing_crust.testing import SimulatedNetwork

Use = Callable[[RoutingService, Any], Any]

ANSWERED: Final[dict[str, Use]] = {
    "send": lambda service, name: service.send(name, b"x"),
    "request": lambda service, name: service.request(name, b"x"),
    "send_to_group": lambda service, name: service.send_to_group(name, b"x"),
    "close_group": lambda service, name: service.close_group(name),
    "connect": lambda service, name: service.connect(name),
    "streams.open": lambda service, name: streams_of(service).open(name, "p", Factory.forProtocol(Protocol)),
    "client endpoint": lambda service, name: RoutingClientEndpoint(service, name, "p").connect(
        Factory.forProtocol(Protocol)
    ),
}
"""What is done with a name, and gives a Deferred."""

AT_ONCE: Final[dict[str, Use]] = {
    "explain": lambda service, name: service.explain(name),
    "name_of": lambda service, name: service.name_of(name),
    "server endpoint": lambda service, name: RoutingServerEndpoint(service, "p", [name]),
}


class NamesAsTextTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = SimulatedNetwork(seed=3)
        self.other = self.network.node()
        self.node = self.network.node(nicknames=(Nickname("backup", self.other.name),))
        self.network.run_until(self.network.joined, 60.0)
        self.service = self.node.service
        self.other.service.set_request_handler(lambda message: message.body)
        streams_of(self.other.service).listen("p", Factory.forProtocol(Protocol))

    def tearDown(self) -> None:
        self.network.stop()

    def outstanding(self) -> int:
        core = self.node.core
        assert core is not None
        return core.messenger.outstanding

    def test_the_text_of_a_name_will_do_wherever_a_name_does(self) -> None:
        for text in (str(self.other.name), str(self.other.name).upper(), f" {self.other.name}\n"):
            for what, use in ANSWERED.items():
                with self.subTest(what):
                    self.network.result_of(use(self.service, text))
            for use in AT_ONCE.values():
                use(self.service, text)

    def test_a_nickname_of_the_settings_will_do_too(self) -> None:
        for use in ANSWERED.values():
            self.network.result_of(use(self.service, "backup"))
        self.assertEqual(self.service.name_of("backup"), self.other.name)
        self.assertEqual(self.service.explain("backup").name, str(self.other.name))

    def test_a_text_that_is_no_name_is_refused_with_advice_and_nothing_is_kept(self) -> None:
        for what, use in (ANSWERED | AT_ONCE).items():
            error = self.assertRaises(ValueError, use, self.service, "backups")
            self.assertIsInstance(error, InvalidName, what)
            self.assertIn("no name, which has 52 characters: did you mean 'backup'?", str(error))
            self.assertIn("the setting nicknames", str(error))
        self.assertEqual(self.outstanding(), 0)
        # and what is sent after it is not held up
        self.network.result_of(self.service.send(self.other.name, b"x"))

    def test_anything_else_is_refused_by_its_type(self) -> None:
        for what, use in (ANSWERED | AT_ONCE).items():
            for wrong in (self.other.name.raw, None, 7, self.other):
                error = self.assertRaises(TypeError, use, self.service, wrong)
                self.assertIn("a name is a Name, or its text", str(error), what)
        self.assertEqual(self.outstanding(), 0)

    def test_a_name_is_judged_before_whether_the_service_runs(self) -> None:
        self.network.result_of(self.service.stopService())
        for use in (ANSWERED | AT_ONCE).values():
            self.assertRaises(InvalidName, use, self.service, "x" * 52 + "!")


class ContactTests(SynchronousTestCase):
    def test_a_contact_takes_the_text_of_a_name(self) -> None:
        name, endpoint = Name(bytes(range(32))), Endpoint("192.0.2.1", 5483)
        text: Any = str(name)
        contact = Contact(endpoint, text)
        self.assertEqual(contact, Contact(endpoint, name))
        self.assertIs(type(contact.name), Name)

    def test_a_contact_takes_nothing_else_for_a_name(self) -> None:
        wrong: Any = "backup"
        self.assertRaises(InvalidName, Contact, Endpoint("192.0.2.1", 5483), wrong)
        wrong = b"x"
        self.assertRaises(TypeError, Contact, Endpoint("192.0.2.1", 5483), wrong)
