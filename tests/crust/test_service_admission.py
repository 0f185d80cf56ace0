"""Crust as a whole, over real sockets on loopback: who is let in."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import formatEvent, globalLogPublisher

from routing_crust.crust.accept.descriptors import MIN_DESCRIPTORS, RESERVED_DESCRIPTORS
from routing_crust.endpoints import Endpoint
from routing_crust.errors import (
    CloseReason,
    ConnectFailed,
    LimitReached,
)
from routing_crust.timing.shares import OURSELVES

from .addresses import at, name
from .services import KIND, ServiceTests, reactor, silent_factory


class AdmissionTests(ServiceTests):
    async def test_too_many_strangers_from_one_address(self) -> None:
        """They crowd out each other; a peer from elsewhere notices nothing."""
        two, others = self.start(2, listen=(at("0.0.0.0:0"),), max_unverified_links=8)
        port = two._listening[0].port
        honest, events = self.start(1)
        link = await honest.connect([Endpoint("127.0.0.2", port)], name(2), b"", OURSELVES)
        (accepted,) = await others.next("accept")
        accepted.verified()
        accepted.confirmed()
        made: list[Deferred[None]] = [Deferred() for _ in range(9)]
        gone: Deferred[None] = Deferred()

        class Stranger(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                if not gone.called:
                    gone.callback(None)

        for number in range(9):
            reactor.connectTCP(
                "127.0.0.3", port, silent_factory(Stranger, made[number]), bindAddress=("127.0.0.3", 0)
            )
            await made[number]
        await gone
        self.assertEqual(two._gate.unverified.total(), 8)
        link.verified()
        link.send(KIND, b"still here")
        self.assertEqual(await others.next("message"), (accepted, KIND, b"still here"))
        self.assertEqual((events.of("lost"), others.of("lost")), ([], []))
        another = await honest.connect([Endpoint("127.0.0.2", port)], name(2), b"2", OURSELVES)
        self.assertEqual(another.peer, name(2))
        await two.stop()
        self.assertEqual(two._gate.unverified.total(), 0)

    async def test_confirmed_links_do_not_count(self) -> None:
        """One that is verified only makes room for the next."""
        two, others = self.start(2, max_unverified_links=1)
        one, events = self.start(1)
        for token in (b"1", b"2", b"3", b"4"):
            await one.connect(two.endpoints, name(2), token, OURSELVES)
            (accepted,) = await others.next("accept")
            accepted.verified()
            if token != b"3":
                accepted.confirmed()
        link, reason = await others.next("lost")
        self.assertIs(link, others.of("accept")[2][0])
        self.assertIs(reason.reason, CloseReason.TOO_MANY_LINKS)
        await events.next("lost")
        self.assertEqual((len(others.of("accept")), len(others.of("lost"))), (4, 1))

    async def test_unconfirmed_links_do_not_keep_us_from_dialling(self) -> None:
        """Nor does one that the peer does not close."""
        two, others = self.start(2, max_links=1)
        one, _ = self.start(1)
        three, _ = self.start(3)
        await one.connect(two.endpoints, name(2), b"", OURSELVES)
        (accepted,) = await others.next("accept")
        accepted.verified()
        link = await two.connect(three.endpoints, name(3), b"", OURSELVES)
        lost, reason = await others.next("lost")
        self.assertEqual((lost, reason.reason), (accepted, CloseReason.TOO_MANY_LINKS))
        link.close(CloseReason.NO_LONGER_NEEDED)
        again = await two.connect(three.endpoints, name(3), b"2", OURSELVES)
        self.assertTrue(again.is_open)

    async def test_few_descriptors_are_left_to_the_rest(self) -> None:
        """Unconfirmed connections make room while there is a little; then nobody is let in."""
        two, others = self.start(2)
        one, _ = self.start(1)
        left = 1000
        self.patch(two._gate, "_descriptors_left", lambda: left)
        await one.connect(two.endpoints, name(2), b"1", OURSELVES)
        await others.next("accept")
        left = MIN_DESCRIPTORS
        await one.connect(two.endpoints, name(2), b"2", OURSELVES)
        _, reason = await others.next("lost")
        self.assertIs(reason.reason, CloseReason.TOO_MANY_LINKS)
        left = MIN_DESCRIPTORS - 1
        error = await self.assertFailure(one.connect(two.endpoints, name(2), b"3", OURSELVES), ConnectFailed)
        self.assertIn("127.0.0.1", str(error))
        (accepted,) = others.of("accept")[-1]
        accepted.confirmed()
        left = RESERVED_DESCRIPTORS - 1
        await self.assertFailure(one.connect(two.endpoints, name(2), b"4", OURSELVES), ConnectFailed)
        self.assertEqual(len(others.of("accept")), 2)

    async def test_denied_address_is_refused_before_tls_and_not_dialled(self) -> None:
        two, others = self.start(2, deny=("127.0.0.0/8",))
        one, _ = self.start(1)
        for crust, peer in ((one, two), (two, one)):
            error = await self.assertFailure(
                crust.connect(peer.endpoints, None, b"", OURSELVES), ConnectFailed
            )
        self.assertIn("the address is on the deny list", str(error))
        self.assertEqual(others.events[1:], [])

    async def test_denied_name_is_refused_once_known_and_no_link_is_reported(self) -> None:
        """The end that dialled makes no difference."""
        two, others = self.start(2, deny=(str(name(1)),))
        one, events = self.start(1)
        link = await one.connect(two.endpoints, name(2), b"", OURSELVES)
        _, reason = await events.next("lost")
        self.assertEqual((reason.reason, reason.by_peer), (CloseReason.NOT_ALLOWED, True))
        for wanted in (name(1), None):
            error = await self.assertFailure(
                two.connect(one.endpoints, wanted, b"", OURSELVES), ConnectFailed
            )
            self.assertIn("the name is on the deny list", str(error))
        self.assertEqual(link.peer, name(2))
        self.assertEqual((others.of("connect"), others.of("accept")), ([], []))

    async def test_nothing_is_dialled_or_accepted_beyond_max_links(self) -> None:
        """No more links than max_links: further ones are neither dialled nor accepted."""
        two, others = self.start(2, max_links=1)
        one, _ = self.start(1)
        three, _ = self.start(3)
        await one.connect(two.endpoints, name(2), b"", OURSELVES)
        (accepted,) = await others.next("accept")
        accepted.confirmed()
        limit = await self.assertFailure(two.connect(three.endpoints, name(3), b"", OURSELVES), LimitReached)
        self.assertEqual(limit.setting, "max_links")
        await self.assertFailure(three.connect(two.endpoints, name(2), b"", OURSELVES), ConnectFailed)
        self.assertEqual(len(others.of("accept")), 1)

    async def test_max_links_while_dials_go_on(self) -> None:
        """Of two dials that were begun in time only one gets the last place."""
        one, events = self.start(1, max_links=1)
        two, three = self.start(2)[0], self.start(3)[0]
        dials = [one.connect(two.endpoints, name(2), b"", OURSELVES)]
        dials.append(one.connect(three.endpoints, name(3), b"", OURSELVES))
        outcomes = [await each.addErrback(lambda failure: failure.value) for each in dials]
        (failed,) = [each for each in outcomes if isinstance(each, ConnectFailed)]
        self.assertIn("max_links", str(failed))
        self.assertEqual(len(events.of("connect")), 1)

    async def test_many_refusals_cost_one_log_line(self) -> None:
        """Each refusal names reason, peer, limit and setting; many cost one line."""
        lines: list[Any] = []
        globalLogPublisher.addObserver(lines.append)
        self.addCleanup(globalLogPublisher.removeObserver, lines.append)
        two, _ = self.start(2, deny=("127.0.0.0/8",))
        for _ in range(5):
            self.assertFalse(two.may_accept(at("127.0.0.1:7777")))
        await two.stop()
        texts = [formatEvent(each) for each in lines if each["log_namespace"].startswith("routing_crust")]
        self.assertIn(
            "refused 127.0.0.1:7777: the address is on the deny list (limit 127.0.0.0/8, setting deny)", texts
        )
        self.assertIn("4 more lines like the last about refusals by the setting deny", texts)
        self.assertFalse(two.may_accept(at("127.0.0.1:7777")))
