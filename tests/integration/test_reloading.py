"""
Daemons that are changed while they run, as real processes: streams under load over many reloads, sockets that
stay the same, files that vanish, and reloads at bad moments.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from tests.integration.processes import Daemon, DaemonCase
from tests.integration.programs import free_port

reactor: Any = _reactor
STREAMS = 200
RELOADS = 50
CHUNK = 700


class Echo(Protocol):
    """Sends everything back, and closes when the other end has."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Talker(Protocol):
    """
    Sends a piece, waits for its echo, and sends the next one, until it is told to stop.

    @ivar over: fires with why the connection was lost.
    """

    transport: Any

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._sent, self._received = sha256(), sha256()
        self._waiting = 0
        self._wanted: list[tuple[int, Deferred[None]]] = []
        self._last = False
        self.pieces = 0
        self.ended = False
        self.all_back: Deferred[None] = Deferred()
        self.over: Deferred[BaseException | None] = Deferred()

    def connectionMade(self) -> None:
        self._send()

    def dataReceived(self, data: bytes) -> None:
        self._received.update(data)
        self._waiting -= len(data)
        if self._waiting == 0:
            self.pieces += 1
            reached = [each for least, each in self._wanted if self.pieces >= least]
            self._wanted = [each for each in self._wanted if self.pieces < each[0]]
            for each in reached:
                each.callback(None)
            if self._last:
                self.all_back.callback(None)
            else:
                self._send()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True
        for _, each in self._wanted:
            each.errback(reason)
        self._wanted.clear()
        self.over.callback(reason.value)

    def gets(self, more: int) -> Deferred[None]:
        """
        @return: fires when this many more pieces have come back; fails if the connection is lost before.
        """
        self._wanted.append((self.pieces + more, Deferred()))
        return self._wanted[-1][1]

    def finish(self) -> Deferred[None]:
        """
        @return: fires when the echo of the last piece is here.
        """
        self._last = True
        return self.all_back

    @property
    def intact(self) -> bool:
        """Whether what came back is what was sent, byte by byte."""
        return not self._waiting and self._sent.digest() == self._received.digest()

    def _send(self) -> None:
        piece = self._random.randbytes(CHUNK)
        self._sent.update(piece)
        self._waiting += len(piece)
        self.transport.write(piece)


class Control(LineOnlyReceiver):
    """Asks a daemon over its control socket: one command after another."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 24

    def __init__(self) -> None:
        self._waiting: list[Deferred[Any]] = []

    def ask(self, **command: Any) -> Deferred[Any]:
        """
        @return: fires with the reply.
        """
        answer: Deferred[Any] = Deferred()
        self._waiting.append(answer)
        self.sendLine(json.dumps(command).encode())  # type: ignore[no-untyped-call]
        return answer

    def lineReceived(self, line: bytes) -> None:
        self._waiting.pop(0).callback(json.loads(line))


class ReloadingTests(DaemonCase):
    """A server exposes an echo, and a client forwards a port to it; both have settings files."""

    async def two(self, *more: str) -> None:
        """
        @param more: settings of the client, for its file.
        """
        self.echo = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
        self.addCleanup(self.echo.stopListening)
        self.port = free_port()
        self.files = {name: self.folder / f"{name}.toml" for name in ("server", "client")}
        self.server_lines = [
            'role = "first"',
            'listen = ["127.0.0.1:0"]',
            f'expose = {{ echo = "tcp:127.0.0.1:{self.echo.getHost().port}" }}',
        ]
        self.write("server", *self.server_lines, 'allow_peer = { echo = "*" }')
        self.server = self.start("server", f"--config={self.files['server']}")
        await self.until(lambda: self.server.contact)
        self.client_lines = [
            'listen = ["127.0.0.1:0"]',
            f'contacts = ["{self.server.contact}"]',
            *more,
        ]
        self.forward = f'"tcp:{self.port}" = "{self.server.name}/echo"'
        self.write("client", *self.client_lines, f"forward = {{ {self.forward} }}")
        self.client = self.start("client", f"--config={self.files['client']}")
        await self.until(lambda: self.client.state == "connected")
        self.controls = {each: await self.control(each) for each in (self.server, self.client)}

    def write(self, name: str, *lines: str) -> None:
        self.files[name].write_text("".join(f"{line}\n" for line in lines))

    async def control(self, daemon: Daemon) -> Control:
        endpoint = UNIXClientEndpoint(reactor, str(daemon.state_dir / "control.sock"))
        control: Control = await connectProtocol(endpoint, Control())
        self.addCleanup(control.transport.loseConnection)  # type: ignore[union-attr]
        return control

    async def reload(self, daemon: Daemon) -> Any:
        reply = await self.controls[daemon].ask(type="reload")
        self.assertEqual(reply["type"], "changed", reply)
        return reply

    async def talk(self, count: int) -> list[Talker]:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        # a failure that is not consumed here would be an error of whatever test runs later
        talkers: list[Talker] = await gatherResults(
            [connectProtocol(endpoint, Talker(seed)) for seed in range(count)], consumeErrors=True
        )
        for each in talkers:
            self.addCleanup(each.transport.abortConnection)
        return talkers

    async def is_cut_off(self) -> None:
        """Connect to the forward, which resets the connection, maybe before it is seen to be there."""
        with contextlib.suppress(FirstError):
            (refused,) = await self.talk(1)
            await refused.over

    async def status(self, daemon: Daemon) -> Any:
        return (await self.controls[daemon].ask(type="status"))["status"]

    async def until_each_has_pieces(self, talkers: list[Talker], more: int) -> None:
        await gatherResults([each.gets(more) for each in talkers])

    async def test_no_stream_of_200_breaks_over_50_reloads_and_each_byte_arrives(self) -> None:
        await self.two()
        talkers = await self.talk(STREAMS)
        await self.until_each_has_pieces(talkers, 1)
        kept = listening_sockets(self.client, self.port)
        self.assertEqual(len(kept), 1)
        other = free_port()
        for number in range(RELOADS):
            self.write(
                "server",
                *self.server_lines,
                'allow_peer = { echo = "*" }'
                if number % 2
                else f'allow_peer = {{ echo = ["{self.client.name}"] }}',
                f"max_links = {100 + number}",
            )
            more = f', "tcp:{other}" = "{self.server.name}/echo"' if number % 2 else ""
            self.write(
                "client",
                *self.client_lines,
                f"forward = {{ {self.forward}{more} }}",
                f'nicknames = {{ n{number} = "{self.server.name}" }}',
            )
            for daemon in (self.server, self.client):
                reply = await self.reload(daemon)
                self.assertTrue(reply["changed"])
                self.assertEqual((reply["ended"], reply["restart"]), (0, []))
            # the port of the other forward comes and goes, that of this one is the same socket all along
            self.assertEqual(listening_sockets(self.client, self.port), kept)
            self.assertEqual(len(listening_sockets(self.client, other)), number % 2)
        self.assertEqual([each for each in talkers if each.ended], [])
        await gatherResults([each.finish() for each in talkers])
        self.assertTrue(all(each.intact for each in talkers))
        self.assertTrue(all(each.pieces > 1 for each in talkers))

    async def test_burst_of_sighup_a_torn_file_and_one_that_vanishes_break_nothing(self) -> None:
        await self.two()
        talkers = await self.talk(5)
        whole = self.files["client"].read_text()
        for text in (whole[:-9], "max_links = 0\n", None):
            if text is None:
                self.files["client"].unlink()
            else:
                self.files["client"].write_text(text)
            said = len([line for line in self.client.lines if "nothing has changed" in line])
            for _ in range(20):
                self.client.signal(signal.SIGHUP)
            await self.until(
                lambda said=said: len([x for x in self.client.lines if "nothing has changed" in x]) > said  # type: ignore[misc]
            )
        self.assertTrue(self.client.said(f"(in {self.files['client']}, line 1)"))
        self.files["client"].write_text(whole + "max_links = 99\n")
        for _ in range(20):
            self.client.signal(signal.SIGHUP)
        await self.until(lambda: self.client.said("reloaded: max_links: 256 -> 99"))
        await self.until_each_has_pieces(talkers, 1)
        await gatherResults([each.finish() for each in talkers])
        self.assertTrue(all(each.intact for each in talkers))

    async def test_stream_that_is_not_allowed_any_more_ends_and_says_why(self) -> None:
        await self.two()
        (talker,) = await self.talk(1)
        await self.until_each_has_pieces([talker], 1)
        self.write("server", *self.server_lines)
        reply = await self.reload(self.server)
        self.assertEqual(reply["ended"], 1)
        await talker.over
        await self.is_cut_off()
        await self.until(lambda: self.client.said("this protocol is not for this peer"))

    async def test_suspended_streams_outlive_a_reload(self) -> None:
        await self.two("inactivity_timeout = 3")
        (talker,) = await self.talk(1)
        await self.until_each_has_pieces([talker], 1)
        self.server.signal(signal.SIGSTOP)
        await self.until(lambda: self.client.said("waiting for another one"))
        self.write(
            "client",
            *self.client_lines,
            f"forward = {{ {self.forward} }}",
            "max_links = 99",
            "stream_survival = 9",
        )
        reply = await self.reload(self.client)
        self.assertEqual(len(reply["changed"]), 2)
        self.assertTrue((await self.status(self.client))["suspended"])
        self.server.signal(signal.SIGCONT)
        await self.until_each_has_pieces([talker], 3)
        await talker.finish()
        self.assertTrue(talker.intact)

    async def test_new_contact_leads_a_node_in_that_was_bootstrapping(self) -> None:
        await self.two()
        path = self.folder / "third.toml"
        listen = 'listen = ["127.0.0.1:0"]\n'
        path.write_text(f'{listen}contacts = ["{self.client.name}@127.0.0.1:{free_port()}"]\n')
        third = self.start("third", f"--config={path}")
        await self.until(lambda: third.said("found no way into the network"))
        path.write_text(f'{listen}contacts = ["{self.server.contact}"]\n')
        third.signal(signal.SIGHUP)
        await self.until(lambda: third.state == "connected")

    async def test_sigterm_lets_streams_finish_and_a_second_one_does_not(self) -> None:
        for at_once in (False, True):
            await self.two()
            self.write("server", *self.server_lines, 'allow_peer = { echo = "*" }', 'drain = "10m"')
            await self.reload(self.server)
            (talker,) = await self.talk(1)
            await self.until_each_has_pieces([talker], 1)
            self.server.signal(signal.SIGTERM)
            await self.until(lambda: self.server.said("draining: 1 streams may finish"))
            self.assertTrue((await self.status(self.server))["draining"])
            await self.is_cut_off()
            await self.until(lambda: self.client.said("this node is about to stop"))
            await self.until_each_has_pieces([talker], 2)
            if at_once:
                self.server.signal(signal.SIGTERM)
                await talker.over
            else:
                await talker.finish()
                self.assertTrue(talker.intact)
                talker.transport.loseConnection()
            self.assertEqual(await self.server.ended, -signal.SIGTERM)
            await self.until(lambda: self.client.said("the service is stopping"))
            await self.end_all()

    async def test_what_commands_add_and_remove_is_in_force_at_once(self) -> None:
        await self.two()
        port, where = free_port(), ("--state-dir", str(self.client.state_dir))
        entry = f"tcp:{port}={self.server.name}/echo"
        out, err, status = await self.run_command("forward", "add", entry, *where)
        self.assertEqual((out, status), (f"forward: {entry} added\n", 0))
        self.assertIn("--save writes it", err)
        first, self.port = self.port, port
        (talker,) = await self.talk(1)
        await self.until_each_has_pieces([talker], 1)
        out, _, _ = await self.run_command("forward", "list", *where)
        self.assertIn(f"{entry}, added, not saved\n", out)
        _, err, status = await self.run_command("forward", "add", "1=nobody/x", *where)
        self.assertEqual((err.endswith("(nicknames: none)\n"), status), (True, 1), err)
        out, _, status = await self.run_command("forward", "remove", str(port), *where)
        self.assertEqual((out, status), (f"forward: {entry} removed\nended: 1 connections\n", 0))
        await talker.over
        self.assertEqual(listening_sockets(self.client, port), [])
        self.assertEqual(len(listening_sockets(self.client, first)), 1)
        _, err, status = await self.run_command("forward", "remove", str(port), *where)
        self.assertEqual(
            (err, status), (f"routing-crust: {port} is not forwarded; there is tcp:{first}\n", 1)
        )


def listening_sockets(daemon: Daemon, port: int) -> list[tuple[str, str]]:
    """The descriptors of a daemon that listen on a port of 127.0.0.1, with the numbers of their sockets."""
    transport: Any = daemon.transport
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    # 0A: it listens
    inodes = {row[9] for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "0A"}
    found = []
    for each in Path(f"/proc/{transport.pid}/fd").iterdir():
        try:
            target = os.readlink(each)
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.removeprefix("socket:[").removesuffix("]") in inodes:
            found.append((each.name, target))
    return found
