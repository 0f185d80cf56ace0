"""
The examples: each is run as a program of its own, as its reader would run it, and must say what it promises.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from routing_crust import Contact, Role, RoutingService, Settings

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
reactor = cast(IReactorProcess, _reactor)


WITH_STREAMS = """
import asyncio

from twisted.internet.endpoints import TCP4ClientEndpoint, clientFromString
from twisted.internet.protocol import Factory, Protocol

from routing_crust import ApplicationLink, LinkLost, Message, Name, Request, RoutingService
from routing_crust.aio import open_connection, start_server
from routing_crust.errors import RefusalReason, RequestRefused
from routing_crust.streams import RoutingClientEndpoint, RoutingServerEndpoint, streams_of


def answer(link: ApplicationLink, kind: int, payload: bytes) -> None:
    link.send(kind, payload)


async def handle(request: Request) -> bytes:
    if request.group is None:
        raise RequestRefused("groups only")
    request.extend(60.0)
    return request.body


def handle_any(message: Message) -> bytes:
    return message.body


async def ask(node: RoutingService) -> dict[Name, bytes]:
    node.set_request_handler(handle)
    node.set_request_handler(handle_any)
    try:
        await node.request(str(node.node_name), b"x", timeout=5)
    except RequestRefused as refused:
        reason: RefusalReason = refused.reason
        print(reason.text, refused.detail)
    return await node.request_group(node.node_name, b"x")


async def main(node: RoutingService, reactor: object, loop: asyncio.AbstractEventLoop) -> None:
    node.observe(LinkLost, lambda event: print(event.link.name, event.reason))
    node.set_frame_handler(answer)
    link = await node.connect(node.node_name)
    await link.when_writable()
    streams_of(node).listen("x", Factory.forProtocol(Protocol))
    await streams_of(node).open(link.name, "x", Factory.forProtocol(Protocol))
    client, server = RoutingClientEndpoint(node, link.name, "x"), RoutingServerEndpoint(node, "x")
    await client.connect(Factory.forProtocol(Protocol))
    await server.listen(Factory.forProtocol(Protocol))
    for each in (client, TCP4ClientEndpoint(reactor, "192.0.2.1", 80)):
        await open_connection(each, loop=loop)
    await open_connection(clientFromString(reactor, "tcp:192.0.2.1:80"), loop=loop)
    await start_server(server, lambda reader, writer: None, loop=loop)
"""
"""A program that hands over, and is handed, things whose types are interfaces of zope."""


def example(name: str) -> str:
    if not EXAMPLES.is_dir():
        raise SkipTest("the examples are not here: they are not installed")
    return str(EXAMPLES / name)


class Child(ProcessProtocol):
    """
    A program that was started.

    @ivar ended: fires with what ended it: its exit code, or the negative number of a signal.
    @ivar output: what it has written, on both channels.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.ended: Deferred[int] = Deferred()
        self.output = ""
        self._awaited: list[tuple[str, Deferred[None]]] = []

    def says(self, text: str) -> Deferred[None]:
        """Fires once the program has written this; fails when it ends without."""
        said: Deferred[None] = Deferred()
        self._awaited.append((text, said))
        self._look()
        return said

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output += data.decode()
        self._look()

    def processEnded(self, reason: Failure) -> None:
        awaited, self._awaited = self._awaited, []
        for text, said in awaited:
            said.errback(AssertionError(f"{text!r} is not in {self.output!r}"))
        value = reason.value
        assert isinstance(value, (ProcessDone, ProcessTerminated))
        self.ended.callback(-value.signal if value.signal else value.exitCode)

    def _look(self) -> None:
        for each in list(self._awaited):
            if each[0] in self.output:
                self._awaited.remove(each)
                each[1].callback(None)


class ExampleTests(TestCase):
    def start(self, *arguments: str, **variables: str) -> Child:
        """Start Python in a folder of its own, with these environment variables; kill it after the test."""
        child = Child()
        folder = self.mktemp()
        os.mkdir(folder)
        path = os.pathsep.join([str(ROOT), *(each for each in sys.path if each)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **variables}
        process = reactor.spawnProcess(
            child, sys.executable, [sys.executable, *arguments], env=environment, path=folder
        )
        self.addCleanup(self._end, child, process)
        return child

    def _end(self, child: Child, process: IProcessTransport) -> Deferred[None] | None:
        if child.ended.called:
            return None
        process.signalProcess("KILL")
        return child.ended.addCallback(lambda _: None)

    async def run_to_end(self, *arguments: str, **variables: str) -> list[str]:
        child = self.start(*arguments, **variables)
        self.assertEqual((await child.ended, child.output.count("Traceback")), (0, 0), child.output)
        return child.output.splitlines()

    async def test_greeter_finds_the_first_node_by_name_and_is_answered(self) -> None:
        """The second node finds the first, asks it by name, and gets its answer."""
        self.assertEqual(await self.run_to_end(example("greeter.py")), ["hello world"])

    async def test_greeter_passes_mypy_without_any_configuration(self) -> None:
        """A program that uses this package needs neither our plugin nor our settings to be checked."""
        if find_spec("mypy") is None:
            raise SkipTest("mypy is not installed")
        program = Path(self.mktemp()).with_suffix(".py").resolve()
        program.write_text(WITH_STREAMS)
        checker = ("-m", "mypy", "--config-file=", "--cache-dir=cache", "--no-color-output")
        lines = await self.run_to_end(*checker, example("greeter.py"), str(program), MYPYPATH=str(ROOT))
        self.assertEqual(lines, ["Success: no issues found in 2 source files"])

    async def test_group_members_receive_and_acknowledge_a_message(self) -> None:
        """Observers hear of every node; each member of the group gets the message, and acknowledges it."""
        self.assertEqual(
            await self.run_to_end(example("group.py")),
            ["5 nodes have acknowledged", "5 handlers were called", "nearest first: True"],
        )

    async def test_shouting_serves_asyncio_clients_on_the_asyncio_reactor(self) -> None:
        """On the asyncio reactor, which the program installs itself; a server and a client of asyncio."""
        self.assertEqual(
            await self.run_to_end(example("shouting.py")),
            ["here is asyncio", "HELLO BY NAME"],
        )

    async def test_node_runs_under_twistd_and_is_found_by_its_contact(self) -> None:
        """twistd runs the application; others find it by its contact; it stops in good order."""
        run = "from twisted.scripts.twistd import run; run()"
        child = self.start("-c", run, "--pidfile=", "-ny", example("node.tac"))
        await child.says("counting requests; contact: ")
        found = re.search("contact: (.+@.+)", child.output)
        assert found is not None
        contact = Contact.from_text(found[1])
        asker = RoutingService(Settings(role=Role.CLIENT, contacts=(contact,), lan_discovery=False))
        asker.startService()
        self.addCleanup(asker.stopService)
        await asker.when_connected()
        assert contact.name is not None
        self.assertEqual(await asker.request(contact.name, b""), b"1")
        child.transport.signalProcess("TERM")
        # twistd ends itself by the signal that it was sent
        self.assertEqual(await child.ended, -signal.SIGTERM)
        self.assertIn("Server Shut Down.", child.output)
        self.assertNotIn("Traceback", child.output)

    async def test_tests_shown_on_the_testing_page_pass(self) -> None:
        lines = await self.run_to_end("-m", "twisted.trial", example("test_greeting.py"))
        self.assertEqual(lines[-1], "PASSED (successes=4)")

    async def test_tests_shown_for_nodes_behind_nats_pass(self) -> None:
        """The page shows them as well."""
        lines = await self.run_to_end("-m", "twisted.trial", example("test_behind_nats.py"))
        self.assertEqual(lines[-1], "PASSED (successes=4)")
