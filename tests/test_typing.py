"""
What a type checker says to an application that uses the package: mypy without the plugin for zope.interface,
which an application need not have.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import routing_crust

USER = """
from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol

from routing_crust import (
    Contact,
    Endpoint,
    LinkGained,
    Message,
    Name,
    Role,
    RoutingClientEndpoint,
    RoutingServerEndpoint,
    RoutingService,
    Settings,
    node,
)


class Quiet(Protocol):
    def dataReceived(self, data: bytes) -> None:
        print(len(data))


async def use(reactor: Any) -> None:
    settings = Settings(role=Role.FIRST, listen=(Endpoint("127.0.0.1", 0),), lan_discovery=False)
    service = RoutingService(settings, reactor=reactor)
    service.startService()
    stop = service.observe(LinkGained, gained)
    service.set_message_handler(received)
    contact: Contact | None = service.contact
    name: Name = service.node_name
    port = await RoutingServerEndpoint(service, "quiet").listen(Factory.forProtocol(Quiet))
    protocol: IProtocol = await RoutingClientEndpoint(service, name, "quiet").connect(
        Factory.forProtocol(Quiet)
    )
    await service.send(name, b"hello")
    answer: bytes = await service.request(str(name), b"ping")
    print(contact, protocol, answer, port)
    stop()
    await service.stopService()
    async with node(Settings.from_text(role="first", listen="127.0.0.1:0")) as other:
        print(other.node_name)


def gained(event: LinkGained) -> None:
    print(event.link.name, event.link.path_kind.value)


def received(message: Message) -> None:
    print(message.source, message.body)
"""
WRONG = """
from routing_crust import RoutingService, Settings

RoutingService(Settings(max_links="many"))
"""


class UserTests(SynchronousTestCase):
    def setUp(self) -> None:
        if find_spec("mypy") is None:
            raise SkipTest("mypy is not installed")

    def mypy(self, source: str) -> str:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "user.py").write_text(source, "utf-8")
        (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n", "utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir=cache", "user.py"],
            cwd=folder,
            env={**os.environ, "MYPYPATH": str(Path(routing_crust.__file__).parent.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_strict_mypy_without_plugins_has_nothing_to_say_to_an_application(self) -> None:
        self.assertEqual(self.mypy(USER), "Success: no issues found in 1 source file\n")

    def test_wrong_use_is_found(self) -> None:
        self.assertIn('Argument "max_links" to "Settings" has incompatible type "str"', self.mypy(WRONG))
