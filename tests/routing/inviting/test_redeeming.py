"""
Redeeming an invitation, on simulated networks: with the inviter itself, through a member, and by who should
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.resolving.name_servers import RecordKind
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import JoinFailed, LinkClosed
from routing_crust.hosts.contacts import NamedContact
from routing_crust.identity import PROTOCOL_VERSION
from routing_crust.names import Name
from routing_crust.routing.inviting import doorkeeper as doorkeeping
from routing_crust.routing.inviting.doorkeeper import TRIES_PER_MINUTE
from routing_crust.routing.inviting.redeemer import PATIENCE_SECONDS, Redeemer
from routing_crust.routing.links.handshake import make_hello
from routing_crust.routing.service import RoutingService
from routing_crust.routing.state import State
from routing_crust.testing import Nat, SimulatedNetwork, SimulatedNode
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.testing.memory.name_servers import SERVER
from routing_crust.testing.memory.nat import PORT_RESTRICTED, SYMMETRIC
from routing_crust.timing.shares import OURSELVES
from routing_crust.trust.certificate import Certificate
from routing_crust.trust.networks import network_of
from routing_crust.trust.redeeming import (
    Redeem,
    RedeemAnswer,
    RedeemedFor,
    RedeemRefusal,
    Redemption,
    Welcome,
    decode_answer,
    encode,
)
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import EnvelopeKind, Hello, Sealed, WireRole

SEED = 7


def private_network() -> str:
    """The id of the network that all tests play, which comes from the seed."""
    founder = SimulatedNetwork(SEED, private=True).founder
    assert founder is not None
    return founder.network


NETWORK = private_network()
SECRET = b"s" * 16


class OneInvitation:
    """
    The inviter's side, with one invitation.

    @ivar tries: who has tried it, with which outcome.
    """

    def __init__(self, node: SimulatedNode, refusal: RedeemRefusal = RedeemRefusal.NONE) -> None:
        self.node = node
        self.refusal = refusal
        self.tries: list[tuple[Name, bool]] = []

    def has(self, which: bytes) -> bool:
        return False

    def told_to(self, peer: Certificate) -> Iterable[bytes]:
        return ()

    def take(self, peer: Certificate, payload: bytes) -> bool:
        return False

    def save(self) -> None:
        pass

    def redeem(self, name: Name, binding: bytes, redeem: Redeem) -> RedeemAnswer:
        attempt = Redemption(redeem.network, self.node.name, SECRET, name, binding)
        good = attempt.is_asked_by(redeem)
        self.tries.append((name, good))
        if not good:
            return RedeemAnswer(RedeemRefusal.UNKNOWN)
        if self.refusal:
            return attempt.answer(self.refusal)
        return attempt.answer(self.refusal, encode(Welcome(f"for {redeem.nickname}", b"c", b"b", (), 3)))


class RedeemingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = SimulatedNetwork(SEED, internet=True, private=True)

    def network_of(self, *nats: Nat | None) -> list[SimulatedNode]:
        """Nodes that are all linked, behind these NATs."""
        nodes = [self.net.node(nat=nat) for nat in nats]
        self.net.run_until(self.net.joined)
        return nodes

    def inviter(self, node: SimulatedNode, refusal: RedeemRefusal = RedeemRefusal.NONE) -> OneInvitation:
        inviter = OneInvitation(node, refusal)
        node.service.set_inviter(inviter)
        return inviter

    def newcomer(
        self,
        inviter: SimulatedNode,
        endpoints: Sequence[Endpoint],
        secret: bytes = SECRET,
        nat: Nat | None = None,
        network: str = NETWORK,
        hosts: Sequence[NamedContact] = (),
        short: bool = False,
    ) -> Redeemer:
        """Somebody who has an invitation that names these endpoints."""
        self.identity = self.net.new_identity()
        own = self.net.network.new_endpoint(None if nat is None else self.net.nat(nat))
        settings = Settings(network=network, listen=(own,), lan_discovery=False)
        self.crust = MemoryCrust(self.net.network, settings, self.identity, (own,))
        name = self.identity.name

        def attempt(peer: Name, binding: bytes) -> Redemption:
            if short:
                return Redemption("", peer, secret, name, binding)
            return Redemption(network, inviter.name, secret, name, binding)

        return Redeemer(self.crust, self.net.clock, attempt, endpoints, "laptop", hosts)

    def refused(self, redeemer: Redeemer) -> str:
        error = self.assertRaises(JoinFailed, self.net.result_of, redeemer.redeem())
        return str(error)

    def test_inviter_gives_what_it_has_to_who_knows_the_secret(self) -> None:
        founder, _other = self.network_of(None, None)
        invitation = self.inviter(founder)
        redeemer = self.newcomer(founder, [founder.endpoint])
        welcome, contact = self.net.result_of(redeemer.redeem())
        self.assertEqual((welcome.label, welcome.members), ("for laptop", 3))
        self.assertEqual(contact, Contact(founder.endpoint, founder.name))
        self.assertEqual(invitation.tries, [(self.identity.name, True)])
        self.assertEqual(self.crust.links, ())

    def test_short_invitation_is_redeemed_without_the_names_of_network_and_inviter(self) -> None:
        founder, _other = self.network_of(None, None)
        invitation = self.inviter(founder)
        welcome, contact = self.net.result_of(self.newcomer(founder, [founder.endpoint], short=True).redeem())
        self.assertEqual(welcome.label, "for laptop")
        self.assertEqual(contact, Contact(founder.endpoint, founder.name))
        self.assertEqual(invitation.tries, [(self.identity.name, True)])

    def test_short_invitation_is_of_no_use_at_another_member(self) -> None:
        founder, other = self.network_of(None, None)
        invitation = self.inviter(founder)
        self.inviter(other).refusal = RedeemRefusal.VOID
        stranger = self.newcomer(founder, [founder.endpoint], secret=b"t" * 16, short=True)
        self.assertIn(RedeemRefusal.UNKNOWN.text, self.refused(stranger))
        self.assertNotIn((self.identity.name, True), invitation.tries)
        # what is proven is proven to who is at the other end
        redeemer = self.newcomer(founder, [other.endpoint], short=True)
        self.assertIn(RedeemRefusal.VOID.text, self.refused(redeemer))
        self.assertNotIn((self.identity.name, True), invitation.tries)

    def named(self, node: SimulatedNode, *addresses: str) -> NamedContact:
        """A host name that has these addresses."""
        self.net.network.name_servers.set("home.example.org", *addresses)
        return NamedContact("home.example.org", node.endpoint.port)

    def test_host_name_is_dialled_beside_addresses_that_do_not_answer(self) -> None:
        founder, other = self.network_of(None, None)
        self.inviter(founder)
        host = self.named(founder, founder.endpoint.host)
        nobody = replace(other.endpoint, port=1)
        welcome, contact = self.net.result_of(self.newcomer(founder, [nobody], hosts=[host]).redeem())
        self.assertEqual(welcome.label, "for laptop")
        # by its name, since the address may be another one tomorrow
        self.assertEqual(contact, replace(host, name=founder.name))

    def test_address_is_dialled_beside_a_host_name_about_which_the_server_is_silent(self) -> None:
        founder, _other = self.network_of(None, None)
        self.inviter(founder)
        host = self.named(founder)
        for kind in RecordKind.A, RecordKind.AAAA:
            self.net.network.name_servers.records[host.host, kind] = None
        redeemer = self.newcomer(founder, [founder.endpoint], hosts=[host])
        _welcome, contact = self.net.result_of(redeemer.redeem())
        self.assertEqual(contact, Contact(founder.endpoint, founder.name))
        self.assertEqual(self.net.network.name_servers.waiting, 0)

    def test_host_name_is_asked_for_anew_in_each_round(self) -> None:
        founder, _other = self.network_of(None, None)
        self.inviter(founder)
        host = self.named(founder)
        done = self.newcomer(founder, [], hosts=[host]).redeem()
        self.net.network.name_servers.set(host.host, founder.endpoint.host)
        _welcome, contact = self.net.result_of(done)
        self.assertEqual(contact, replace(host, name=founder.name))

    def test_host_name_that_nobody_knows_is_told_with_its_server(self) -> None:
        founder, _other = self.network_of(None, None)
        told = self.refused(self.newcomer(founder, [], hosts=[NamedContact("gone.example.org", 5483)]))
        self.assertIn(f"gone.example.org:5483: gone.example.org: {SERVER} does not know this name", told)

    def test_inviter_behind_a_nat_is_reached_through_a_member_that_is_not(self) -> None:
        public, founder = self.network_of(None, PORT_RESTRICTED)
        invitation = self.inviter(founder)
        redeemer = self.newcomer(founder, [founder.endpoint, public.endpoint], nat=SYMMETRIC)
        welcome, contact = self.net.result_of(redeemer.redeem())
        self.assertEqual(welcome.label, "for laptop")
        self.assertEqual(contact, Contact(public.endpoint, public.name))
        self.assertEqual(invitation.tries, [(self.identity.name, True)])

    def test_inviter_that_nobody_can_dial_dials_who_waits_with_its_invitation(self) -> None:
        founder = self.net.node(nat=PORT_RESTRICTED)
        invitation = self.inviter(founder)
        redeemer = self.newcomer(founder, [founder.endpoint])
        founder.service.call_on(self.crust.listening, self.net.clock.now + 600)
        welcome, contact = self.net.result_of(redeemer.redeem())
        self.assertEqual(welcome.label, "for laptop")
        self.assertIsNone(contact)
        self.assertEqual(invitation.tries, [(self.identity.name, True)])
        # its node starts some time later, and cannot dial the founder either
        self.net.run_for(30.0)
        contacts = (Contact(founder.endpoint, founder.name),)
        place = self.crust.listening[0]
        settings = Settings(network=NETWORK, listen=(place,), lan_discovery=False, contacts=contacts)
        assert self.net.founder is not None
        server = RoutingService(
            settings,
            reactor=self.net.clock,
            identity=self.identity,
            membership=self.net.founder.membership(self.identity, nickname="laptop"),
            crust=MemoryCrust(self.net.network, settings, self.identity, (place,)),
        )
        server.startService()
        self.net.run_until(lambda: server.state is State.CONNECTED and founder.connected)
        server.set_request_handler(lambda message: b"hello " + message.body)
        answer = founder.service.request(self.identity.name, b"desk")
        self.assertEqual(self.net.result_of(answer), b"hello desk")
        self.net.run_for(5.0)
        self.net.result_of(server.stopService())
        self.assertEqual(founder.core.doorkeeper.calls._calls, [])  # type: ignore[union-attr]

    def test_place_where_nobody_waits_is_given_up_in_the_end(self) -> None:
        founder = self.net.node(nat=PORT_RESTRICTED)
        self.inviter(founder)
        founder.service.call_on([self.net.network.new_endpoint(None)], self.net.clock.now + 60)
        self.net.run_for(75.0)
        self.assertEqual(founder.core.doorkeeper.calls._calls, [])  # type: ignore[union-attr]

    def test_who_does_not_know_the_secret_is_told_no_more_than_that(self) -> None:
        founder, _other = self.network_of(None, None)
        invitation = self.inviter(founder)
        text = self.refused(self.newcomer(founder, [founder.endpoint], secret=b"t" * 16))
        self.assertIn(f"{founder.endpoint}: {RedeemRefusal.UNKNOWN.text}", text)
        self.assertNotIn((self.identity.name, True), invitation.tries)

    def test_refusal_of_the_inviter_ends_it_at_once(self) -> None:
        founder, other = self.network_of(None, None)
        self.inviter(founder, RedeemRefusal.USED_UP)
        began = self.net.clock.now
        text = self.refused(self.newcomer(founder, [other.endpoint, founder.endpoint]))
        self.assertEqual(text, f"the invitation is not accepted: {RedeemRefusal.USED_UP.text}")
        self.assertLess(self.net.clock.now - began, 3)

    def test_member_that_lies_about_the_inviter_is_not_believed(self) -> None:
        founder, liar = self.network_of(None, None)
        self.inviter(founder)
        doorkeeper = liar.core.doorkeeper  # type: ignore[union-attr]
        lie = encode(RedeemAnswer(RedeemRefusal.NONE, encode(Welcome("evil", b"", b"", (), 1)), bytes(32)))
        self.patch(doorkeeper, "_pass_on", lambda link, inviter, payload: doorkeeper._answer(link, lie))
        redeemer = self.newcomer(founder, [liar.endpoint])
        text = self.refused(redeemer)
        self.assertIn(f"{liar.endpoint}: its answer is not proven", text)
        redeemer = self.newcomer(founder, [liar.endpoint, founder.endpoint])
        self.assertEqual(self.net.result_of(redeemer.redeem())[0].label, "for laptop")

    def test_inviter_that_is_gone_is_named_with_who_was_tried(self) -> None:
        founder, other = self.network_of(None, None)
        self.net.result_of(founder.stop())
        began = self.net.clock.now
        text = self.refused(self.newcomer(founder, [founder.endpoint, other.endpoint]))
        self.assertIn(f"{founder.endpoint}: ", text)
        self.assertIn(f"{other.endpoint}: {RedeemRefusal.INVITER_GONE.text}", text)
        self.assertLessEqual(self.net.clock.now - began, PATIENCE_SECONDS + 1)

    def test_invitation_of_another_network_is_refused_as_such(self) -> None:
        founder, _other = self.network_of(None, None)
        invitation = self.inviter(founder)
        elsewhere = network_of(Name(bytes(32)))
        text = self.refused(self.newcomer(founder, [founder.endpoint], network=elsewhere))
        self.assertIn(RedeemRefusal.OTHER_NETWORK.text, text)
        self.assertEqual(invitation.tries, [])


class StrangerTests(SynchronousTestCase):
    """What somebody can do on a link that begins with an invitation."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(SEED, private=True)
        self.founder, self.other = self.net.nodes(2)
        self.net.run_until(self.net.joined)
        self.invitation = OneInvitation(self.founder)
        self.founder.service.set_inviter(self.invitation)
        self.identity = self.net.new_identity()
        own = self.net.network.new_endpoint()
        settings = Settings(network=NETWORK, listen=(own,), lan_discovery=False)
        self.crust = MemoryCrust(self.net.network, settings, self.identity, (own,))
        self.frames: list[tuple[int, bytes]] = []
        self.lost: list[LinkClosed] = []
        self.crust.start(_Recorder(self))

    def link(self) -> ILink:
        return self.net.result_of(
            self.crust.connect([self.founder.endpoint], None, Random(len(self.lost)).randbytes(16), OURSELVES)
        )

    def redeem(
        self, link: ILink, secret: bytes = SECRET, network: str = NETWORK, inviter: Name | None = None
    ) -> bytes:
        name = self.founder.name if inviter is None else inviter
        attempt = Redemption(network, name, secret, self.identity.name, link.binding)
        return encode(attempt.ask((PROTOCOL_VERSION,), "laptop"))

    def test_one_try_is_all_that_a_link_gives(self) -> None:
        link = self.link()
        link.send(FrameKind.REDEEM, self.redeem(link, b"wrong" * 4))
        link.send(FrameKind.REDEEM, self.redeem(link))
        self.net.run_until(lambda: self.lost)
        self.assertEqual(self.invitation.tries, [(self.identity.name, False)])
        self.assertEqual([kind for kind, _ in self.frames], [FrameKind.REDEEMED])

    def test_nothing_but_the_answer_comes_of_such_a_link(self) -> None:
        link = self.link()
        link.send(FrameKind.REDEEM, self.redeem(link))
        core = self.other.core
        assert core is not None
        link.send(FrameKind.HELLO, make_hello(core.node, link, b""))
        link.send(FrameKind.ENVELOPE, b"")
        self.net.run_until(lambda: self.lost)
        self.assertEqual([kind for kind, _ in self.frames], [FrameKind.REDEEMED])
        self.assertIsNone(self.founder.core.links.peer(self.identity.name))  # type: ignore[union-attr]

    def test_proof_is_good_on_its_own_link_only(self) -> None:
        first, second = self.link(), self.link()
        second.send(FrameKind.REDEEM, self.redeem(first))
        self.net.run_until(lambda: self.frames)
        self.assertEqual(decode_answer(self.frames[0][1]).refusal, RedeemRefusal.UNKNOWN)

    def test_link_whose_hello_came_takes_no_invitation(self) -> None:
        links = self.other.core.links  # type: ignore[union-attr]
        link = links.link_to(self.founder.name)
        assert link is not None
        link.send(FrameKind.REDEEM, self.redeem(link))
        self.net.run_until(lambda: links.link_to(self.founder.name) is not link)
        self.assertEqual(self.invitation.tries, [])

    def test_tries_of_one_network_are_limited(self) -> None:
        tries = 3 * int(TRIES_PER_MINUTE)
        for _ in range(tries):
            link = self.link()
            link.send(FrameKind.REDEEM, self.redeem(link, b"wrong" * 4))
            before = len(self.lost)
            self.net.run_until(lambda before=before: len(self.lost) > before)
        refusals = [decode_answer(payload).refusal for _, payload in self.frames]
        self.assertEqual(len(refusals), tries)
        self.assertLess(len(self.invitation.tries), 2 * TRIES_PER_MINUTE + 3)
        self.assertEqual(refusals[-1], RedeemRefusal.TOO_MANY)

    def test_malformed_one_closes_the_link(self) -> None:
        for payload in (b"", b"\x90", encode(RedeemAnswer(RedeemRefusal.NONE)), bytes(3000)):
            before = len(self.lost)
            self.link().send(FrameKind.REDEEM, payload)
            self.net.run_until(lambda before=before: len(self.lost) > before)
        self.assertEqual(self.frames, [])
        self.assertEqual(self.invitation.tries, [])

    def test_short_invitation_of_another_inviter_is_refused_at_once(self) -> None:
        link = self.link()
        link.send(FrameKind.REDEEM, self.redeem(link, network="", inviter=self.other.name))
        asked = self.net.clock.seconds()
        self.net.run_until(lambda: self.lost)
        refusals = [decode_answer(payload).refusal for _, payload in self.frames]
        self.assertEqual(refusals, [RedeemRefusal.OTHER_NETWORK])
        self.assertLess(self.net.clock.seconds() - asked, 1.0)

    def test_open_network_takes_none(self) -> None:
        net = SimulatedNetwork(7, network="open")
        (founder,) = net.nodes(1)
        identity = net.new_identity()
        own = net.network.new_endpoint()
        crust = MemoryCrust(net.network, Settings(network="open", listen=(own,)), identity, (own,))
        crust.start(_Recorder(self))
        link: ILink = net.result_of(crust.connect([founder.endpoint], None, b"t" * 16, OURSELVES))
        link.send(FrameKind.REDEEM, self.redeem(link))
        net.run_until(lambda: self.lost)
        self.assertEqual(self.frames, [])


class PassingOnTests(SynchronousTestCase):
    """A member between who redeems and the inviter."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(SEED, private=True)
        self.founder, self.middle, self.third = self.net.nodes(3)
        self.net.run_until(self.net.joined)
        core = self.middle.core
        assert core is not None
        links = core.links
        self.net.run_until(lambda: links.peer(self.third.name) and links.peer(self.founder.name))
        self.doorkeeper = core.doorkeeper
        self.frames: list[tuple[int, bytes]] = []
        self.lost: list[LinkClosed] = []
        identity = self.net.new_identity()
        own = self.net.network.new_endpoint()
        settings = Settings(network=NETWORK, listen=(own,), lan_discovery=False)
        self.crust = MemoryCrust(self.net.network, settings, identity, (own,))
        self.crust.start(_Recorder(self))
        self.identity = identity

    def cut_off_the_inviter(self) -> None:
        others = [self.middle.crust, self.third.crust, self.crust]
        self.net.network.partition([[self.founder.crust], others])

    def ask(self) -> ILink:
        """Redeem through the member in the middle, while the inviter has no answer yet."""
        endpoints = [self.middle.endpoint]
        link: ILink = self.net.result_of(self.crust.connect(endpoints, None, b"t" * 16, OURSELVES))
        self.attempt = Redemption(NETWORK, self.founder.name, SECRET, self.identity.name, link.binding)
        link.send(FrameKind.REDEEM, encode(self.attempt.ask((PROTOCOL_VERSION,), "laptop")))
        self.net.run_until(lambda: self.doorkeeper._passed_on)
        return link

    def test_answer_of_another_member_is_ignored(self) -> None:
        self.cut_off_the_inviter()
        self.ask()
        (number,) = self.doorkeeper._passed_on
        answer = encode(self.attempt.answer(RedeemRefusal.USED_UP))
        core = self.third.core
        assert core is not None
        body = encode(RedeemedFor(number, answer))
        self.assertIsNotNone(core.messenger.send_control(EnvelopeKind.REDEEMED_FOR, self.middle.name, body))
        self.net.run_until(lambda: self.lost)
        refusals = [decode_answer(payload).refusal for _, payload in self.frames]
        self.assertEqual(refusals, [RedeemRefusal.INVITER_GONE])

    def test_link_that_waits_for_its_answer_becomes_no_other_link(self) -> None:
        self.cut_off_the_inviter()
        link = self.ask()
        body = encode(Hello((PROTOCOL_VERSION,), NETWORK, WireRole.NODE, 1, b"", None, ()))
        signature = self.identity.sign("hello", NETWORK, link.binding, body)
        link.send(FrameKind.HELLO, encode(Sealed(body, signature)))
        self.net.run_until(lambda: self.lost)
        self.assertEqual([kind for kind, _ in self.frames], [FrameKind.REDEEMED])

    def test_inviter_without_invitations_knows_none(self) -> None:
        self.ask()
        self.net.run_until(lambda: self.lost)
        refusals = [decode_answer(payload).refusal for _, payload in self.frames]
        self.assertEqual(refusals, [RedeemRefusal.UNKNOWN])

    def test_no_network_of_strangers_keeps_others_from_an_inviter(self) -> None:
        net = SimulatedNetwork(SEED, internet=True, private=True)
        founder, middle = net.nodes(2)
        net.run_until(net.joined)
        self.patch(doorkeeping, "MAX_PASSED_ON", 4)
        core = middle.core
        assert core is not None
        net.network.partition([[founder.crust]])
        internet, first = net.network.internet, net.network.new_endpoint(None)
        assert internet is not None
        crowd = [first, *(internet.new_neighbour(first.host) for _ in range(4))]
        for place in (net.network.new_endpoint(None), *crowd):
            settings = Settings(network=NETWORK, listen=(place,), lan_discovery=False)
            crust = MemoryCrust(net.network, settings, net.new_identity(), (place,))
            crust.start(_Recorder(self))
            link: ILink = net.result_of(crust.connect([middle.endpoint], None, b"t" * 16, OURSELVES))
            attempt = Redemption(NETWORK, founder.name, SECRET, link.peer, link.binding)
            link.send(FrameKind.REDEEM, encode(attempt.ask((PROTOCOL_VERSION,), "laptop")))
            net.run_for(0.2)
        waiting = [each.link.connection.peer.prefix for each in core.doorkeeper._passed_on.values()]
        self.assertEqual(len(waiting), 4)
        self.assertEqual(waiting.count(first.prefix), 3)
        net.stop()

    def test_lost_answer_is_asked_for_again(self) -> None:
        self.founder.service.set_inviter(OneInvitation(self.founder))
        self.cut_off_the_inviter()
        self.ask()
        self.net.run_for(1.0)
        self.net.heal()
        self.net.run_until(lambda: self.lost)
        refusals = [decode_answer(payload).refusal for _, payload in self.frames]
        self.assertEqual(refusals, [RedeemRefusal.NONE])

    def test_member_that_stops_leaves_no_timer(self) -> None:
        self.cut_off_the_inviter()
        self.ask()
        self.net.result_of(self.middle.stop())
        self.assertEqual(self.doorkeeper._passed_on, {})


class _Recorder:
    """Crust's events, of which only frames and losses matter."""

    def __init__(self, case: StrangerTests | PassingOnTests) -> None:
        self._case = case

    def new_message(self, link: ILink, kind: int, payload: bytes) -> None:
        self._case.frames.append((kind, payload))

    def lost_connection(self, link: ILink, reason: LinkClosed) -> None:
        self._case.lost.append(reason)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None
