"""Rendezvous over real sockets on loopback: both dial from their listening ports, or one accepts."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from routing_crust.config import Role
from routing_crust.crust.admission import Rules
from routing_crust.crust.interfaces import Rendezvous
from routing_crust.crust.link.preface import PREFACE_BYTES, Preface
from routing_crust.crust.punch import puncher
from routing_crust.crust.punch.punch import OWNED
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Direction, Endpoint, PathKind
from routing_crust.errors import ConnectFailed, LimitReached, ServiceStopped
from routing_crust.timing.shares import OURSELVES
from tests.crust.addresses import STRANGER

from ..addresses import at, name
from ..services import KIND, ServiceTests, reactor, silent_factory, turn

TOKEN = b"sixteen bytes of"
SO_ATTACH_FILTER = 26


def deafen(crust: CrustService) -> None:
    """Have the system drop whatever comes to the listening sockets of a node, as a firewall would (Linux)."""
    if not sys.platform.startswith("linux"):
        raise SkipTest("only Linux has filters for sockets")
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HP", 1, ctypes.addressof(drop))
    for port in crust._ports._fixed.values():
        port.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)  # type: ignore[attr-defined]


class RendezvousTests(ServiceTests):
    def setUp(self) -> None:
        super().setUp()
        # as long as a busy machine may take
        self.patch(puncher, "PUNCH_TIMEOUT_SECONDS", 120.0)

    def two(self, **settings: Any) -> None:
        """Two nodes, of which the first is the requester."""
        self.one, self.events = self.start(1, listen=(at("127.0.0.2:0"),), **settings)
        self.two_, self.others = self.start(2, listen=(at("127.0.0.3:0"),), **settings)

    def expect(self) -> None:
        self.one.expect(name(2), TOKEN, True)
        self.two_.expect(name(1), TOKEN, False)

    def meet(self, requester: bool, after: float = 0) -> Deferred[Any]:
        here, there, peer = (self.one, self.two_, 2) if requester else (self.two_, self.one, 1)
        return here.connect(there.endpoints, name(peer), TOKEN, OURSELVES, Rendezvous(requester, after))

    async def check(self, link: Any, other: Any) -> None:
        """The two ends of one link, with all that is said of it."""
        self.assertEqual((link.peer, other.peer), (name(2), name(1)))
        self.assertEqual((link.initiator, other.initiator), (True, False))
        self.assertEqual((link.token, other.token), (TOKEN, TOKEN))
        self.assertEqual(link.connection.peer, other.connection.local)
        self.assertEqual(link.connection.peer, self.two_.endpoints[0])
        self.assertEqual(link.connection.local, self.one.endpoints[0])
        self.assertEqual(link.binding, other.binding)
        link.verified()
        other.verified()
        link.send(KIND, b"hole")
        self.assertEqual(await self.others.next("message"), (other, KIND, b"hole"))

    async def test_both_ends_dial_and_share_one_link(self) -> None:
        """Both dial each other: one link, whichever way the two SYNs met, and both Deferreds fire with it."""
        self.two()
        self.expect()
        link, other = await gatherResults([self.meet(True), self.meet(False)])
        await self.check(link, other)
        self.assertEqual(len(self.events.of("connect") + self.events.of("accept")), 1)
        self.assertEqual(len(self.others.of("connect") + self.others.of("accept")), 1)
        await turn()
        self.assertEqual((self.events.of("lost"), self.others.of("lost")), ([], []))

    async def test_requester_that_dials_alone_gets_a_link(self) -> None:
        """The other only expects: it accepts, and the requester is the TLS client as always."""
        self.two()
        self.expect()
        link = await self.meet(True)
        (other,) = await self.others.next("accept")
        await self.check(link, other)
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual((link.path_kind, other.path_kind), (PathKind.DIRECT, PathKind.DIRECT))

    async def test_responder_that_dials_alone_gets_a_link(self) -> None:
        """The requester only expects: it accepts, and is the TLS client all the same."""
        self.two()
        self.expect()
        other = await self.meet(False)
        (link,) = await self.events.next("accept")
        await self.check(link, other)
        self.assertEqual((link.direction, other.direction), (Direction.ACCEPTED, Direction.CONNECTED))
        self.assertEqual((link.path_kind, other.path_kind), (PathKind.DIRECT, PathKind.DIRECT))
        # the accept may come before the requester dials: then it gets what there is
        self.assertIs(await self.meet(True), link)

    async def test_two_syns_that_meet_give_one_link(self) -> None:
        """Neither listener gets a connection, as behind two NATs."""
        self.two()
        self.expect()
        deafen(self.one)
        deafen(self.two_)
        mine = self.meet(True)
        await turn()
        link, other = await gatherResults([mine, self.meet(False)])
        await self.check(link, other)
        self.assertEqual((link.direction, other.direction), (Direction.CONNECTED,) * 2)
        self.assertEqual((link.path_kind, other.path_kind), (PathKind.PUNCHED, PathKind.PUNCHED))

    async def test_responder_that_dials_first_gets_the_link(self) -> None:
        """As before, with the responder's SYN first."""
        self.two()
        self.expect()
        deafen(self.one)
        deafen(self.two_)
        theirs = self.meet(False)
        await turn()
        link, other = await gatherResults([self.meet(True, after=0.01), theirs])
        await self.check(link, other)
        self.assertEqual((link.path_kind, other.path_kind), (PathKind.PUNCHED, PathKind.PUNCHED))

    async def fails(
        self, *endpoints: Endpoint, crust: CrustService | None = None, peer: int = 2
    ) -> list[str]:
        """What went wrong at each endpoint."""
        dial = (crust or self.one).connect(endpoints, name(peer), TOKEN, OURSELVES, Rendezvous(True))
        error = await self.assertFailure(dial, ConnectFailed)
        return [what for _, what in error.attempts]

    async def test_unexpected_peer_is_cut_until_it_is_expected(self) -> None:
        """Its dial is tried again until then."""
        self.two()
        self.one.expect(name(2), TOKEN, True)
        refused: Deferred[Any] = Deferred()
        heard = self.two_.accepting

        def note(failure: Failure) -> Failure:
            if not refused.called:
                refused.callback(failure.value)
            return failure

        def listen(peer: Endpoint, link: Deferred[Any], abort: Any) -> None:
            heard(peer, link.addErrback(note), abort)

        self.patch(self.two_, "accepting", listen)
        dial = self.meet(True)
        reason = await refused
        self.assertIn("this rendezvous is not expected", str(reason))
        self.two_.expect(name(1), TOKEN, False)
        link = await dial
        (other,) = await self.others.next("accept")
        await self.check(link, other)

    async def test_undone_expectation_lets_no_peer_in(self) -> None:
        """Undoing it twice does nothing, and another expectation stays."""
        self.two()
        undo = self.two_.expect(name(1), TOKEN, False)
        self.two_.expect(name(1), TOKEN, False)()
        undo()
        undo()
        self.assertEqual(self.two_._puncher._entries, {})
        self.two_.expect(name(1), TOKEN, False)
        undo()
        self.assertEqual(len(self.two_._puncher._entries), 1)

    async def test_right_token_with_the_wrong_name_is_refused(self) -> None:
        """A relay knows the token, and is not the peer."""
        self.two()
        self.one.expect(name(3), TOKEN, True)
        self.two_.expect(name(1), TOKEN, False)
        (problem,) = await self.fails(*self.two_.endpoints, peer=3)
        self.assertEqual(problem, f"{name(2)} answered instead of {name(3)}")
        self.assertEqual((self.events.of("connect"), self.others.of("accept")), ([], []))

    async def test_server_of_another_kind_is_refused(self) -> None:
        """So is an echo."""
        self.two()

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)  # type: ignore[union-attr]

        class Server(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n")  # type: ignore[union-attr]

        for protocol, words in (
            (Echo, "the peer does not know the rendezvous"),
            (Server, "what came first is neither TLS nor a preface"),
        ):
            factory = silent_factory(protocol, Deferred())
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.assertEqual(await self.fails(Endpoint("127.0.0.1", port.getHost().port)), [words])
            await port.stopListening()

    async def test_own_candidate_is_not_dialled(self) -> None:
        """A candidate that is our own, as two networks with the same addresses bring about."""
        self.two()
        self.assertEqual(await self.fails(*self.one.endpoints), ["not dialled: it is our own address"])

    async def test_unknown_own_address_is_found_to_be_ourselves(self) -> None:
        """The two ends of the connection are one."""
        one, _ = self.start(1, listen=(at("0.0.0.0:0"),))
        here = Endpoint("127.0.0.9", one._listening[0].port)
        (problem,) = await self.fails(here, crust=one)
        # from the wildcard the system chooses another address of ours, and we find nobody who expects us
        self.assertIn("the connection was lost", problem)

    async def test_client_without_listening_port_cannot_punch(self) -> None:
        """A client listens nowhere, and so has nothing to punch from."""
        client, _ = self.start(1, role=Role.CLIENT, listen=())
        self.assertEqual(
            await self.fails(self.closed_port(), crust=client),
            ["not dialled: there is no listening port to dial it from"],
        )

    async def test_denied_address_is_not_punched(self) -> None:
        self.two(deny=("127.0.0.3/32",))
        (problem,) = await self.fails(*self.two_.endpoints)
        self.assertIn("the address is on the deny list", problem)

    async def test_port_that_is_not_shared_cannot_be_dialled_from(self) -> None:
        """The error says so, and nothing else is tried."""
        self.two()
        self.patch(self.one._ports, "_fixed", {self.silent_port(): None})
        self.assertEqual(await self.fails(*self.two_.endpoints), ["address already in use"])

    async def test_between_two_ports_there_can_be_one_connection(self) -> None:
        """Between two ports there can be one connection: while a link has them, no other comes of them."""
        self.two()
        self.expect()
        await self.meet(True)
        self.patch(puncher, "PUNCH_TIMEOUT_SECONDS", 1.0)
        dial = self.one.connect(self.two_.endpoints, name(2), b"another", OURSELVES, Rendezvous(True))
        error = await self.assertFailure(dial, ConnectFailed)
        # the end of the time may come while the kernel is asked once more
        self.assertIn([what for _, what in error.attempts], ([OWNED], ["no answer within 1 s"]))
        self.assertEqual(len(self.events.of("connect") + self.events.of("accept")), 1)

    async def test_last_caller_that_cancels_ends_the_punch(self) -> None:
        """The others go on waiting until then."""
        self.two()
        deafen(self.two_)
        first, second = self.meet(True), self.meet(True)
        first.cancel()
        await self.assertFailure(first, CancelledError)
        self.assertFalse(self.one._puncher.idle)
        second.cancel()
        await self.assertFailure(second, CancelledError)
        self.assertEqual(self.one._puncher._entries, {})

    async def test_stop_fails_all_waiting_callers(self) -> None:
        self.two()
        self.expect()
        deafen(self.two_)
        dial = self.meet(True)
        await turn()
        stopped = self.one.stop()
        await self.assertFailure(dial, ServiceStopped)
        await stopped
        self.assertTrue(self.one._puncher.idle)
        self.assertEqual(self.one._puncher._entries, {})
        self.one.expect(name(2), TOKEN, True)()

    async def test_unanswered_punch_ends_after_punch_timeout(self) -> None:
        self.patch(puncher, "PUNCH_TIMEOUT_SECONDS", 1.0)
        self.two()
        deafen(self.two_)
        self.assertEqual(await self.fails(*self.two_.endpoints), ["no answer within 1 s"])

    async def test_link_that_a_rule_forbids_is_not_returned(self) -> None:
        """The rule applies once the name is known."""
        self.two()
        self.expect()
        self.one._gate.rules = Rules((), (str(name(2)),))
        other = self.meet(False)
        (reason,) = [str(each[1]) for each in [await self.others.next("lost")]]
        self.assertIn("allow and deny lists", reason)
        self.assertEqual((await other).peer, name(1))
        (problem,) = await self.fails(*self.two_.endpoints)
        self.assertIn("deny", problem)

    async def test_dials_to_a_strangers_address_are_counted_together(self) -> None:
        """The dials to a stranger's address are counted together: plain, punched and again."""
        one, _ = self.start(1, listen=(at("0.0.0.0:0"),))
        limits = one._puncher._limits
        victim = at("8.8.8.8:5483")
        for _ in range(2):
            limits.spend(victim, STRANGER)
        dial = one.connect([victim], name(2), TOKEN, STRANGER, Rendezvous(True))
        error = await self.assertFailure(dial, LimitReached)
        self.assertEqual(error.setting, "stranger_dials_per_prefix")
        plain = one.connect([victim], name(2), TOKEN, STRANGER)
        self.assertEqual((await self.assertFailure(plain, LimitReached)).setting, error.setting)


class HostileTests(ServiceTests):
    """What comes to the listening port in place of a preface."""

    async def say(self, crust: CrustService, data: bytes, hear: int | None = None) -> bytes:
        """
        Connect, say something, and return what came back before the connection was cut.

        @param hear: after this many bytes the stranger cuts it.
        """
        over: Deferred[bytes] = Deferred()

        class Stranger(Protocol):
            heard = b""

            def connectionMade(self) -> None:
                self.transport.write(data)  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                self.heard += data
                if hear is not None and len(self.heard) >= hear:
                    self.transport.abortConnection()  # type: ignore[union-attr]

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                over.callback(self.heard)

        port = crust._listening[0].port
        reactor.connectTCP("127.0.0.1", port, ClientFactory.forProtocol(Stranger))
        return await over

    async def test_peer_without_the_token_learns_nothing(self) -> None:
        one, events = self.start(1)
        one.expect(name(2), TOKEN, True)
        wrong_role = Preface.of(TOKEN, True, True)
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            Preface.of(b"a guess", False, True).octets,
            wrong_role.octets,
            b"\x00" * 100_000,
        ):
            self.assertEqual(await self.say(one, data), b"")
        self.assertEqual(one._gate.unverified.total(), 0)
        self.assertEqual(one._acceptor.pending, {})
        self.assertEqual(events.of("accept"), [])

    async def test_silent_peer_with_the_token_is_given_a_preface_and_a_client_hello(self) -> None:
        """L{test_meeting} shows that it is cut after C{hello_timeout}."""
        one, events = self.start(1)
        one.expect(name(2), TOKEN, True)
        preface = Preface.of(TOKEN, False, True).octets
        heard = await self.say(one, preface, hear=PREFACE_BYTES + 1)
        self.assertEqual(heard[:PREFACE_BYTES], Preface.of(TOKEN, True, False).octets)
        self.assertEqual(heard[PREFACE_BYTES : PREFACE_BYTES + 1], b"\x16")
        while one._gate.unverified.total():
            await turn()
        self.assertEqual(events.of("accept"), [])

    async def test_rendezvous_counts_as_unverified_connection(self) -> None:
        one, _ = self.start(1, max_unverified_links=2, hello_timeout=0.5)
        over = [self.say(one, b"rcp") for _ in range(3)]
        waiting = [Deferred.fromCoroutine(each) for each in over]
        await gatherResults(waiting)
        self.assertEqual(one._gate.unverified.total(), 0)
