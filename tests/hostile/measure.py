"""
A live daemon with an honest peer, and how both fare while a behaviour is played.

The daemon is a process of its own, as an operator runs it, with default settings; the honest peer and the
honest newcomers are nodes of this process, over real sockets; the behaviour is another process.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from routing_crust import Contact, Endpoint, Identity, RoutingService, Settings
from routing_crust.errors import RoutingCrustError, ServiceStopped

from .behaviour import EXPOSED, Behaviour
from .children import ROOT, Child, environment
from .private_ground import PrivateGround

reactor: Any = _reactor
NETWORK: Final = "hostile"
PING_SECONDS: Final = 0.1
NEWCOMER_SECONDS: Final = 1.0
SETTLING_SECONDS: Final = 1.5
"""So long after it is linked an honest node still makes lines in the log."""
_ABOUT_HOSTILE: Final = re.compile(
    r"127\.(?!0\.0\.)\d+\.|\blimit |\bdropped |\btoo many |\bto the proxy\b|\bdatagrams to\b"
    r"|\brefused the invitation "
    r"|\bproxy: (?:refused|not connected)\b"
)
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Outcome:
    """
    What a behaviour did to the daemon and to honest peers.

    @ivar reactions: what the daemon did, in the words of each behaviour.
    @ivar memory: bytes that the daemon's resident set has grown by.
    @ivar processor: the share of one core that the daemon used.
    @ivar descriptors: how many more are open afterwards.
    @ivar pings: round trips of the honest peer, in seconds.
    @ivar failed_pings: how many were not answered.
    @ivar joins: how long honest newcomers took, in seconds.
    @ivar waiting: for each newcomer that had not joined at the end, how long it had waited, in seconds.
    @ivar log: the lines that the daemon wrote.
    """

    reactions: tuple[str, ...]
    memory: int = 0
    processor: float = 0.0
    descriptors: int = 0
    pings: list[float] = field(default_factory=list)
    failed_pings: int = 0
    joins: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def explanations(self) -> int:
        """How many lines of the log are about hostile connections, or about a limit."""
        return len([line for line in self.log if _ABOUT_HOSTILE.search(line)])

    @property
    def ping(self) -> float:
        """The median round trip, in seconds."""
        return median(self.pings) if self.pings else 0.0


class Daemon(Child):
    """
    C{twistd -n routing-node} as a child process.

    @ivar started: fires with its contact.
    @ivar proxy_port: where its proxy listens.
    """

    def __init__(self, folder: Path, network: str, *options: str) -> None:
        self.started: Deferred[Contact] = Deferred()
        self.proxy_port = 0
        arguments = ["-n", "--pidfile=", "routing-node"]
        arguments += [f"--state-dir={folder}", f"--network={network}", "--no-lan-discovery", *options]
        super().__init__("from twisted.scripts.twistd import run; run()", arguments)

    def line(self, line: str) -> None:
        if found := re.search(r"proxy: SOCKS5 and HTTP at 127\.0\.0\.1:(\d+)", line):
            self.proxy_port = int(found[1])
        found = re.search(r"contact: (\S+)", line)
        if found and not self.started.called:
            self.started.callback(Contact.from_text(found[1]))

    def processEnded(self, reason: Failure) -> None:
        if not self.started.called:
            self.started.errback(Exception("the daemon does not start:\n" + "\n".join(self.lines)))
        super().processEnded(reason)

    # What the kernel says of the process.

    def memory(self) -> int:
        """Its resident set, in bytes."""
        found = re.search(r"VmRSS:\s+(\d+)", self._proc("status").read_text())
        return int(found[1]) * 1024 if found else 0

    def processor(self) -> float:
        """Seconds of processor time that it has used."""
        fields = self._proc("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(list(self._proc("fd").iterdir()))

    def _proc(self, what: str) -> Path:
        return Path(f"/proc/{self.transport.pid}/{what}")  # type: ignore[union-attr]


class Stage:
    """
    The daemon and its honest peer. Made for one behaviour, and ended with L{end}.

    @ivar daemon: the target.
    @ivar peer: an honest node that is linked with it.
    """

    def __init__(self, private: bool = False) -> None:
        """
        @param private: whether they are of a private network, and the hostile client is no member.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="rc-hostile-", dir="/tmp"))
        self._ground = PrivateGround() if private else None
        self._network = NETWORK if self._ground is None else self._ground.network
        target = self._folder / "target"
        if self._ground is not None:
            self._ground.fill(target)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self._udp_port = free.getsockname()[1]
        self._program = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.daemon = Daemon(
            target,
            self._network,
            "--first",
            "--listen=127.0.0.1:0",
            "--local-proxy=tcp:0",
            f"--forward=udp:{self._udp_port}={Identity.generate().name}/dns",
            f"--expose={EXPOSED}=tcp:127.0.0.1:{self._program.getHost().port}",
            f"--allow-peer={EXPOSED}=*",
        )
        self.peer: RoutingService | None = None
        self._nodes: list[RoutingService] = []
        self._joining: dict[RoutingService, float] = {}

    async def begin(self) -> None:
        """Start both, and wait until the honest peer has its place."""
        self.contact = await self.daemon.started
        self.peer = self._node()
        await self.peer.when_group_connected()

    async def settle(self) -> None:
        """Wait until the log tells no more of the honest peer."""
        await deferLater(reactor, SETTLING_SECONDS)

    async def end(self) -> None:
        """Stop both."""
        for node in self._nodes:
            if node.running:
                await node.stopService()
        await self.daemon.kill()
        await self._program.stopListening()
        shutil.rmtree(self._folder)

    async def play(self, behaviours: Sequence[Behaviour], seconds: float, *, newcomers: bool) -> Outcome:
        """
        Play behaviours, all at once, and measure meanwhile.

        @param seconds: how long a flood lasts.
        @param newcomers: whether honest newcomers join while it lasts.
        """
        assert self.peer is not None
        outcome = Outcome(())
        at = reactor.seconds()
        memory, processor, lines = self.daemon.memory(), self.daemon.processor(), len(self.daemon.lines)
        descriptors = self.daemon.descriptors()
        pinging = LoopingCall(self._ping, outcome)
        pinging.start(PING_SECONDS)
        joining = LoopingCall(self._join, outcome)
        played = self._child(behaviours, seconds)
        try:
            if newcomers:
                # the flood has to be there first
                await deferLater(reactor, min(1.0, seconds / 3))
                joining.start(NEWCOMER_SECONDS)
            outcome.reactions = await played
        finally:
            for loop in (pinging, joining):
                if loop.running:
                    loop.stop()
        outcome.processor = (self.daemon.processor() - processor) / max(0.001, reactor.seconds() - at)
        outcome.memory = self.daemon.memory() - memory
        outcome.descriptors = self.daemon.descriptors() - descriptors
        outcome.log = self.daemon.lines[lines:]
        outcome.waiting = [reactor.seconds() - began for began in self._joining.values()]
        return outcome

    async def honest_request(self) -> None:
        """Have the honest peer ask the daemon something, until it is answered."""
        assert self.peer is not None
        assert self.contact.name is not None
        while True:
            try:
                await self.peer.request(self.contact.name, b"ping")
            except RoutingCrustError:
                continue  # after a flood a busy machine may take longer than a request may
            return

    async def honest_newcomer(self) -> None:
        """Have one more honest node join."""
        node = self._node()
        await node.when_connected()
        await node.stopService()

    async def _child(self, behaviours: Sequence[Behaviour], seconds: float) -> tuple[str, ...]:
        assert self.peer is not None
        where = self.contact.endpoint
        arguments = (
            ",".join(each.name for each in behaviours),
            where.host,
            where.port,
            self._network,
            self.contact.name,
            self.peer.node_name,
            seconds,
            self.daemon.proxy_port,
            self._udp_port,
        )
        out, err, status = await getProcessOutputAndValue(
            sys.executable, ["-m", "tests.hostile.play", *map(str, arguments)], env=environment(), path=ROOT
        )
        if status:
            raise RuntimeError(f"the hostile peer failed:\n{err.decode()}")
        return tuple(out.decode().splitlines())

    def _node(self) -> RoutingService:
        settings = Settings(
            network=self._network,
            contacts=(self.contact,),
            listen=(Endpoint("127.0.0.1", 0),),
            lan_discovery=False,
        )
        identity = Identity.generate()
        membership = None if self._ground is None else self._ground.membership(identity)
        node = RoutingService(settings, identity=identity, membership=membership)
        self._nodes.append(node)
        node.startService()
        return node

    def _ping(self, outcome: Outcome) -> None:
        assert self.peer is not None
        assert self.contact.name is not None
        began = reactor.seconds()
        answered = self.peer.request(self.contact.name, b"ping")

        def failed(_: Failure) -> None:
            outcome.failed_pings += 1

        answered.addCallbacks(lambda _: outcome.pings.append(reactor.seconds() - began), failed)

    async def _join(self, outcome: Outcome) -> None:
        node = self._node()
        began = self._joining[node] = reactor.seconds()
        try:
            await node.when_connected()
        except ServiceStopped:
            return  # the behaviour is over; it is counted as waiting
        del self._joining[node]
        outcome.joins.append(reactor.seconds() - began)
        await node.stopService()
