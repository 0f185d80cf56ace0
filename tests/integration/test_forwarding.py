"""
Programs that know nothing of this package, across two daemons: HTTP, SSH and a database through forwards, and
what they hear when something on the way goes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.integration.processes import Daemon, DaemonCase, environment
from tests.integration.programs import Program, find, free_port, missing, unprivileged
from tests.integration.test_daemons import asynchronous, here

reactor: Any = _reactor
MIB = 1 << 20
SIZE = 20 * MIB
_TWISTD = "from twisted.scripts.twistd import run; run()"


class Talker(Protocol):
    """One end of a connection that a test plays."""

    transport: Any

    def __init__(self) -> None:
        self.received = 0
        self.reason: BaseException | None = None
        self.something: Deferred[None] = Deferred()
        self.over: Deferred[BaseException | None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self._happened()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason.value
        self._happened()
        self.over.callback(self.reason)

    def _happened(self) -> None:
        waiter, self.something = self.something, Deferred()
        waiter.callback(None)


class Endless(Talker):
    """Sends for as long as it may."""

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.transport.write(bytes(65536))

    def stopProducing(self) -> None:
        """It stops when it is not asked any more."""


class TwoDaemonsCase(DaemonCase):
    """A daemon that exposes, and one that forwards; programs are ended before the daemons are."""

    async def two(self, exposed: dict[str, str], allow: str = "*") -> None:
        """
        @param exposed: the targets, by their protocols.
        """
        options = [f"--expose={protocol}={target}" for protocol, target in exposed.items()]
        options += [f"--allow-peer={protocol}={allow}" for protocol in exposed if allow]
        self.server = self.start("server", "--first", f"--listen={here()}", *options)
        await self.until(lambda: self.server.contact)
        self.ports = {protocol: free_port() for protocol in exposed}
        self.client = await self.forwarding("client")
        await self.until(lambda: {self.server.name} == self.client.table and self.client.state == "connected")

    async def forwarding(self, name: str, *options: str) -> Daemon:
        forwards = [f"--forward=tcp:{port}=there/{protocol}" for protocol, port in self.ports.items()]
        daemon = self.start(
            name,
            f"--contact={self.server.contact}",
            f"--listen={here()}",
            f"--nickname=there={self.server.name}",
            *forwards,
            *options,
        )
        await self.until(lambda: daemon.contact)
        return daemon

    def program(self, *command: str, **options: Any) -> Program:
        program = Program(*command, **options)
        self.addCleanup(lambda: Deferred.fromCoroutine(program.end()))
        return program

    async def output(self, *command: str, **more: str) -> tuple[bytes, int]:
        """What a program writes to its standard output, and how it ends."""
        path = find(command[0])
        assert path is not None
        env = {**os.environ, "LC_ALL": "C", **more}
        out, err, status = await getProcessOutputAndValue(path, command[1:], env=env)
        self.last_error = err
        return out, status

    async def web(self, folder: Path, endpoint: str) -> Program:
        """Twisted's own web server, as a process."""
        words = ["-n", "--pidfile=", "web", f"--listen={endpoint}", f"--path={folder}"]
        server = self.program(sys.executable, "-c", _TWISTD, *words, **environment())
        await server.says(b"Starting factory <twisted.web.server.Site")
        return server

    def files(self) -> Path:
        """A folder with a large file and a small one."""
        folder = self.folder / "files"
        folder.mkdir()
        (folder / "large").write_bytes(Random(1).randbytes(SIZE))
        (folder / "small").write_bytes(b"small\n")
        return folder

    async def status(self, daemon: Daemon) -> Any:
        out, _, _ = await self.run_command("status", "--json", f"--state-dir={daemon.state_dir}")
        return json.loads(out)

    async def nothing_open(self, *daemons: Daemon) -> None:
        """Wait until these daemons carry nothing, and hold no stream either that is only half over."""
        for each in daemons:
            status = await self.status(each)
            while status["streams"] or status["stream_counts"]:
                status = await self.status(each)


class HttpTests(TwoDaemonsCase):
    def setUp(self) -> None:
        super().setUp()
        if gone := missing({"curl": "curl"}):
            raise SkipTest(gone)

    async def curl(self, name: str, *more: str) -> tuple[bytes, int]:
        url = f"http://127.0.0.1:{self.ports['web']}/{name}"
        return await self.output("curl", "--silent", "--show-error", "--max-time", "600", *more, url)

    @asynchronous
    async def test_file_arrives_intact_through_curl(self) -> None:
        """An unmodified server and curl: the file is intact, again and again, and many at once."""
        folder, port = self.files(), free_port()
        await self.web(folder, f"tcp:{port}:interface=127.0.0.1")
        await self.two({"web": f"tcp:127.0.0.1:{port}"})
        digest = sha256((folder / "large").read_bytes()).digest()
        for _ in range(2):
            out, status = await self.curl("large")
            self.assertEqual((sha256(out).digest(), status), (digest, 0))
        many = [Deferred.fromCoroutine(self.curl("small")) for _ in range(24)]
        self.assertEqual(await gatherResults(many), [(b"small\n", 0)] * 24)
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_endpoint_string_serves_a_forward(self) -> None:
        """A web server that is given the string of an endpoint, and a forward that a command makes."""
        folder = self.files()
        self.server = self.start("server", "--first", f"--listen={here()}")
        await self.until(lambda: self.server.contact)
        self.ports = {}
        self.client = await self.forwarding("client")
        await self.until(lambda: self.client.state == "connected")
        await self.web(folder, f"routing:web:state-dir={self.server.state_dir}")
        port = self.ports["web"] = free_port()
        words = ("forward", f"--state-dir={self.client.state_dir}", f"tcp:{port}=there/web")
        code = "from routing_crust.daemon.cli import main; main()"
        forward = self.program(sys.executable, "-c", code, *words, **environment())
        await forward.says(b"forwarding 127.0.0.1:%d to web of there\n" % port)
        out, status = await self.curl("large")
        self.assertEqual(
            (sha256(out).digest(), status), (sha256((folder / "large").read_bytes()).digest(), 0)
        )
        forward.signal(signal.SIGINT)
        self.assertEqual(await forward.ended, 0)
        while (await self.status(self.client))["forwarded"]:
            pass
        _, status = await self.curl("small")
        self.assertEqual(status, 7)  # curl: failed to connect

    @asynchronous
    async def test_no_byte_passes_without_permission(self) -> None:
        """Without a permission there is no byte, and both logs say why."""
        await self.two({"web": "tcp:127.0.0.1:1"}, allow="")
        _, status = await self.curl("small")
        # curl: an empty reply or a reset, as soon as it has connected or before it looks whether it has
        self.assertIn(status, (7, 52, 56))
        for each in (self.server, self.client):
            await self.until(lambda each=each: each.said("this protocol is not for this peer"))
        self.assertTrue(self.server.said("to nobody: --allow-peer lets peers in"))

    @asynchronous
    async def test_daemon_does_not_start_where_a_port_is_taken(self) -> None:
        """The daemon does not start, and says which port it is."""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        daemon = self.start(
            "taken", "--first", f"--listen={here()}", f"--forward=tcp:{number}={'a' * 52}/web"
        )
        self.assertEqual(await daemon.ended, 1)
        self.assertTrue(daemon.said(f"cannot listen on tcp:{number}: Address already in use"))


class SshCase(TwoDaemonsCase):
    """Has a server for SSH."""

    def setUp(self) -> None:
        super().setUp()
        needed = {"sshd": "openssh-server", "ssh": "openssh-client", "scp": "openssh-client"}
        if gone := missing({**needed, "ssh-keygen": "openssh-client"}):
            raise SkipTest(gone)

    async def sshd(self) -> int:
        """A server of our own, with a key of its own, that lets in who has ours."""
        for name in ("host", "user"):
            words = ("-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
            self.assertEqual(await self.output("ssh-keygen", *words), (b"", 0))
        port = free_port()
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder}/user.pub\nStrictModes no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        path = find("sshd")
        assert path is not None
        server = self.program(path, "-D", "-e", "-f", str(config))
        await server.says(b"Server listening on 127.0.0.1")
        return port


class SshTests(SshCase):
    @asynchronous
    async def test_ssh_and_scp_work_through_a_forward(self) -> None:
        """A command, a session that sends and gets much at once, and a file there and back."""
        await self.two({"ssh": f"tcp:127.0.0.1:{await self.sshd()}"})
        port = str(self.ports["ssh"])
        options = ["-F", "none", "-i", str(self.folder / "user"), "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
        out, status = await self.output("ssh", *options, "-p", port, "127.0.0.1", "echo from afar")
        self.assertEqual((out, status), (b"from afar\n", 0), self.last_error)
        command = "head -c 5000000 /dev/zero | sha256sum; exit 3"
        out, status = await self.output("ssh", *options, "-p", port, "127.0.0.1", command)
        self.assertEqual((out.split()[0].decode(), status), (sha256(bytes(5_000_000)).hexdigest(), 3))
        folder = self.files()
        for source, target in (
            (str(folder / "large"), f"127.0.0.1:{folder}/there"),
            (f"127.0.0.1:{folder}/there", str(folder / "back")),
        ):
            _, status = await self.output("scp", *options, "-q", "-P", port, source, target)
            self.assertEqual(status, 0, self.last_error)
        self.assertEqual((folder / "back").read_bytes(), (folder / "large").read_bytes())
        await self.nothing_open(self.server, self.client)


class PostgresqlTests(TwoDaemonsCase):
    def setUp(self) -> None:
        super().setUp()
        server, client = "postgresql", "postgresql-client"
        if gone := missing({"initdb": server, "postgres": server, "psql": client}):
            raise SkipTest(gone)
        self.ids = unprivileged()
        if os.geteuid() == 0 and self.ids is None:
            raise SkipTest("a PostgreSQL server cannot run as root, and there is no other user")

    async def database(self) -> int:
        """A server of our own in a folder of its own, as a user who is not root."""
        # where that user may go, whatever folder the tests run in
        folder = Path("/tmp") / f"rc-pg-{os.getpid()}"
        folder.mkdir(mode=0o700)
        self.addCleanup(self.output, "rm", "-rf", str(folder))
        if self.ids is not None:
            os.chown(folder, *self.ids)
        initdb, postgres = find("initdb"), find("postgres")
        assert initdb is not None
        assert postgres is not None
        words = ("-D", f"{folder}/data", "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8")
        made = self.program(initdb, *words, ids=self.ids)
        self.assertEqual(await made.ended, 0, made.out)
        port = free_port()
        words = ("-D", f"{folder}/data", "-p", str(port), "-k", str(folder), "-h", "127.0.0.1", "-F")
        server = self.program(postgres, *words, ids=self.ids)
        await server.says(b"ready to accept connections")
        self.addCleanup(self.stop_database, server)
        return port

    async def stop_database(self, server: Program) -> None:
        server.signal(signal.SIGQUIT)
        if server.status is None:
            await server.ended

    async def psql(self, *words: str) -> bytes:
        where = f"host=127.0.0.1 port={self.ports['db']} user=tester dbname=postgres"
        out, status = await self.output("psql", "-X", "-q", "-A", "-t", where, *words)
        self.assertEqual(status, 0, self.last_error)
        return out

    @asynchronous
    async def test_several_database_sessions_work_at_once(self) -> None:
        """A table is made, filled with much, read, and copied out, in several sessions, some at once."""
        await self.two({"db": f"tcp:127.0.0.1:{await self.database()}"})
        fill = "insert into t select i, repeat(md5(i::text), 8) from generate_series(1, 40000) i"
        await self.psql("-c", "create table t (number int primary key, word text)", "-c", fill)
        out = await self.psql("-c", "select count(*), sum(length(word)) from t")
        self.assertEqual(out, b"40000|10240000\n")
        copied = await self.psql("-c", "copy (select word from t order by number) to stdout")
        self.assertEqual(len(copied), 40000 * 257)
        several = [Deferred.fromCoroutine(self.psql("-c", "select max(number) from t")) for _ in range(8)]
        self.assertEqual(await gatherResults(several), [b"40000\n"] * 8)
        await self.nothing_open(self.server, self.client)


class LossTests(TwoDaemonsCase):
    """Bytes flow without end from a server to a client, both played by the test; then something goes."""

    # Only for links that are cut: a busy machine may well stand still for a second or two.
    QUICK = ("--set=inactivity_timeout=6",)

    async def flowing(self, *settings: str) -> None:
        self.served: list[Endless] = []

        class Source(Factory):
            noisy = False

            def buildProtocol(source, addr: object) -> Endless:
                self.served.append(Endless())
                return self.served[-1]

        port = reactor.listenTCP(0, Source(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.options = [
            f"--expose=app=tcp:127.0.0.1:{port.getHost().port}",
            "--allow-peer=app=*",
            *settings,
        ]
        self.server = self.start("server", "--first", f"--listen={here()}", *self.options)
        await self.until(lambda: self.server.contact)
        self.ports = {"app": free_port()}
        self.client = await self.forwarding("client", *settings)
        await self.until(lambda: self.client.state == "connected")
        self.addCleanup(self.hang_up)
        self.ends: list[Talker] = []
        await self.open()

    async def open(self, kind: type[Talker] = Talker) -> None:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.ports["app"])
        self.mine: Talker = await connectProtocol(endpoint, kind())
        self.ends.append(self.mine)
        while self.mine.received < MIB and self.mine.reason is None:
            await self.mine.something
        self.assertIsNone(self.mine.reason)
        self.theirs = self.served[-1]

    def hang_up(self) -> None:
        for each in (*self.served, *self.ends):
            if each.reason is None:
                each.transport.abortConnection()

    @asynchronous
    async def test_death_of_either_program_is_heard(self) -> None:
        """The other hears, and nothing is left in the daemons."""
        await self.flowing()
        self.mine.transport.abortConnection()
        await self.theirs.over
        await self.open()
        self.theirs.transport.abortConnection()
        await self.mine.over
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_stopped_reader_stops_only_its_sender(self) -> None:
        """The sender stops too, with a bounded amount on the way; another connection is not held up."""
        await self.flowing()
        slow = self.mine
        slow.transport.pauseProducing()
        before = -1
        while (sent := (await self.status(self.client))["streams"][0]["received"]) != before:
            before = sent
        self.assertLess(sent - slow.received, 32 * MIB)
        await self.open()
        slow.transport.resumeProducing()
        while slow.received <= sent:
            await slow.something
        self.hang_up()
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_the_other_reader_stops(self) -> None:
        """The server's program reads nothing: the client's is held up, and still gets what that sends."""
        await self.flowing()
        await self.open(Endless)
        mine, slow = self.mine, self.theirs
        slow.transport.pauseProducing()
        before = -1
        while (sent := (await self.status(self.client))["streams"][-1]["sent"]) != before:
            before = sent
        self.assertGreater(sent, slow.received)
        self.assertLess(sent - slow.received, 32 * MIB)
        came = mine.received
        while mine.received <= came:
            await mine.something
        await self.open()
        slow.transport.resumeProducing()
        while slow.received <= sent:
            await slow.something
        self.hang_up()
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_death_of_either_daemon_is_heard_and_survived(self) -> None:
        """Its own program hears at once, the other when it is back; new connections are carried as before."""
        await self.flowing()
        mine, theirs = self.mine, self.theirs
        self.server.signal(signal.SIGKILL)
        await theirs.over
        await self.server.ended
        again = f"--listen={self.server.endpoint}"
        self.server = self.start("server", "--first", again, *self.options)
        await self.until(lambda: self.server.contact)
        # its successor knows nothing of the stream
        await mine.over
        await self.open()
        mine, theirs = self.mine, self.theirs
        self.client.signal(signal.SIGKILL)
        await mine.over
        await self.client.ended
        self.client = await self.forwarding("client")
        await theirs.over
        await self.nothing_open(self.server)

    async def halt(self, stopped: Daemon, other: Daemon) -> None:
        """A daemon says nothing any more, until the other one has noticed by the heartbeat."""
        stopped.signal(signal.SIGSTOP)
        await self.until(lambda: other.said("nothing was heard for too long (nothing came for 6 s)"))
        await self.until(lambda: other.said("waiting for another one"))
        stopped.signal(signal.SIGCONT)

    async def goes_on(self) -> None:
        """Bytes flow again, over the same connections."""
        came = self.mine.received
        while self.mine.received < came + 32 * MIB:
            await self.mine.something
        self.assertEqual((self.mine.reason, self.theirs.reason), (None, None))
        self.hang_up()
        await self.nothing_open(self.server, self.client)

    @asynchronous
    async def test_connections_outlive_a_link_that_is_cut(self) -> None:
        """The server's daemon stands still for a while."""
        await self.flowing(*self.QUICK)
        await self.halt(self.server, self.client)
        await self.goes_on()

    @asynchronous
    async def test_connections_outlive_a_link_that_is_cut_at_the_other_end(self) -> None:
        """The client's daemon stands still for a while."""
        await self.flowing(*self.QUICK)
        await self.halt(self.client, self.server)
        await self.goes_on()
