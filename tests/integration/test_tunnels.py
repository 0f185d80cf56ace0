"""Three services over real sockets: two that may not dial each other, and one that both can dial."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from routing_crust import Contact, Identity, Role, RoutingService, Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.tunnel import relay as tunnel_relay
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.routing.connecting import rendezvous
from routing_crust.routing.events import LinkChanged, LinkGained

reactor: Any = _reactor
KIND = 200


class ServiceTests(TestCase):
    def setUp(self) -> None:
        self.patch(rendezvous, "TUNNEL_DELAY_SECONDS", 0.05)

    async def start(self, number: int, **settings: Any) -> RoutingService:
        """A node at 127.0.0.NUMBER."""
        service = RoutingService(
            Settings(
                listen=(Endpoint(f"127.0.0.{number}", 0),),
                lan_discovery=False,
                port_mapping=False,
                **settings,
            ),
            reactor=reactor,
            identity=Identity.from_seed(bytes([number]) * 32),
        )
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: RoutingService) -> Deferred[None] | None:
        return service.stopService() if service.running else None

    def contact(self, service: RoutingService) -> Contact:
        assert service.contact is not None
        return service.contact

    async def three(self, relays: int = 1) -> None:
        """A is at 127.0.0.1 and B at 127.0.0.2, and neither lets the other's address in, or dials it."""
        self.relays = [await self.start(3, role=Role.FIRST)]
        for number in range(1, relays):
            relay = await self.start(3 + number, contacts=(self.contact(self.relays[0]),))
            await relay.when_connected()
            self.relays.append(relay)
        contacts = (self.contact(self.relays[0]),)
        self.a = await self.start(1, contacts=contacts, deny=("127.0.0.2/32",))
        self.b = await self.start(2, contacts=contacts, deny=("127.0.0.1/32",))

    def gained(self, service: RoutingService, peer: RoutingService, *path_kinds: PathKind) -> Deferred[Any]:
        """Fires when there is a link of one of these path kinds."""
        done: Deferred[Any] = Deferred()

        def look(event: Any = None) -> None:
            core = service._core
            link = None if core is None else core.links.link_to(peer.node_name)
            if link is not None and link.path_kind in path_kinds and not done.called:
                done.callback(link)

        service.observe(LinkGained, look)
        service.observe(LinkChanged, look)
        look()
        return done

    async def test_messages_pass_the_tunnel_whole(self) -> None:
        """Through the tunnel 256 KiB each way come whole."""
        await self.three()
        link = await self.gained(self.a, self.b, PathKind.TUNNEL)
        await self.gained(self.b, self.a, PathKind.TUNNEL)
        self.assertEqual(link.via, self.relays[0].node_name)
        body = bytes(range(256)) * 1024
        self.b.set_request_handler(lambda message: message.body[::-1])
        self.assertEqual(await self.a.request(self.b.node_name, body), body[::-1])

    async def test_better_link_replaces_the_tunnel(self) -> None:
        """When they may dial each other, another link takes the tunnel's place, and nothing is lost."""
        await self.three()
        link = await self.gained(self.a, self.b, PathKind.TUNNEL)
        await self.gained(self.b, self.a, PathKind.TUNNEL)
        got: list[int] = []
        last: Deferred[None] = Deferred()

        def received(_: object, kind: int, payload: bytes) -> None:
            got.append(int(payload))
            if payload == b"-1":
                last.callback(None)

        self.b.set_frame_handler(received)
        sending = [True]

        def send(number: int) -> None:
            if sending:
                for each in range(number, number + 5):
                    link.send(KIND, b"%d" % each)
                reactor.callLater(0.001, send, number + 5)
            else:
                link.send(KIND, b"-1")

        send(0)
        for service in (self.a, self.b):
            assert service._core is not None
            service._core.crust._gate.rules.__dict__.update(Rules((), ()).__dict__)
        assert self.a._core is not None
        self.a._core.tunnels.wake()
        await self.gained(self.a, self.b, PathKind.DIRECT, PathKind.PUNCHED)
        sending.clear()
        await last
        self.assertEqual(got, [*range(len(got) - 1), -1])
        self.assertGreater(len(got), 5)

    async def test_altering_relay_is_replaced(self) -> None:
        """A node that alters what it carries ends the tunnel; another one is made through somebody else."""
        await self.three(2)
        link = await self.gained(self.a, self.b, PathKind.TUNNEL)
        await self.gained(self.b, self.a, PathKind.TUNNEL)
        intact = tunnel_relay.data_frame
        bad = next(each for each in self.relays if each.node_name == link.via)
        assert bad._core is not None
        relay: Any = bad._core.crust
        hand_on = relay._tunnels._relay._hand_on

        def alter(side: Any) -> None:
            tunnel_relay.data_frame = lambda number, chunk: intact(number, bytes(len(chunk)))
            try:
                hand_on(side)
            finally:
                tunnel_relay.data_frame = intact

        relay._tunnels._relay._hand_on = alter
        lost = self.gained_through(self.a, self.b, [each for each in self.relays if each is not bad])
        link.send(KIND, b"spoilt")
        again = await lost
        self.assertNotEqual(again.via, bad.node_name)
        await self.a.send(self.b.node_name, b"whole")

    def gained_through(
        self, service: RoutingService, peer: RoutingService, relays: list[RoutingService]
    ) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        names = [each.node_name for each in relays]

        def look(event: Any) -> None:
            assert service._core is not None
            link = service._core.links.link_to(peer.node_name)
            if link is not None and link.via in names and not done.called:
                done.callback(link)

        service.observe(LinkGained, look)
        return done

    async def test_stopped_relay_is_replaced(self) -> None:
        """When the relay stops, the tunnel goes through another one."""
        await self.three(2)
        link = await self.gained(self.a, self.b, PathKind.TUNNEL)
        await self.gained(self.b, self.a, PathKind.TUNNEL)
        gone = next(each for each in self.relays if each.node_name == link.via)
        again = self.gained_through(self.a, self.b, [each for each in self.relays if each is not gone])
        await gone.stopService()
        self.assertNotEqual((await again).via, gone.node_name)
