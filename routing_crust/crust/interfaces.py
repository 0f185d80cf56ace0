"""
What crust offers to the layer above, and what it reports to it.

A link that crust reports has passed its TLS handshake, so the peer's name is proven. What the link is for,
and whether it is allowed, the layer above decides by a Hello, before it calls L{ILink.verified}. Until then
the link is limited to C{hello_timeout} seconds and C{MAX_UNVERIFIED_BYTES} bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import Attribute, Interface

from ..endpoints import Connection, Contact, Direction, Endpoint, PathKind, is_local_only
from ..errors import CloseReason, LinkClosed
from ..history import History
from ..names import Name
from ..timing.shares import OURSELVES, Account
from ..wire.messages import NatKind
from .key_agreement import IKeyAgreement
from .reachability import Knock, OwnEndpoint, Reachability

ANSWER_WITHIN_SECONDS: Final = 8.0
"""For an answer after a change of our network: TCP, when packets were lost, tries again within 6 s."""


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """
    How to dial a peer that dials us at the same time, because each has told the other to.

    @ivar requester: whether we requested it. The requester is the TLS client, also on a connection that it
        has accepted, and picks the connection that becomes the link.
    @ivar after: seconds from now to the first dial, so that both ends begin at once.
    """

    requester: bool
    after: float = 0.0


class IRoundTrip(Protocol):
    """How long a round trip over a link takes, smoothed as in RFC 6298."""

    @property
    def smoothed(self) -> float | None:
        """In seconds; C{None} while nothing is known."""

    @property
    def variation(self) -> float | None:
        """By how much round trips differ from that, in seconds; C{None} before the first was measured."""


class ILink(Interface):
    """An authenticated connection that carries frames. Made by crust, never by others."""

    connection: Connection = Attribute("The L{Connection} that this link runs over.")
    direction: Direction = Attribute("Whether we connected or accepted.")
    peer: Name = Attribute("The peer's L{Name}, its public key: proven by TLS.")
    binding: bytes = Attribute("32 bytes that only the two ends of this very TLS session know (RFC 9266).")
    bootstrap: bool = Attribute("Whether it was dialled by L{ICrust.bootstrap}.")
    token: bytes = Attribute(
        "What L{ICrust.connect} was given as C{token}; for a link of a rendezvous, its token, at both ends; "
        "else empty."
    )
    initiator: bool = Attribute("Whether this end is the TLS client and so speaks first.")
    path_kind: PathKind = Attribute("How the link came about.")
    via: Name | None = Attribute("For a tunnel, the L{Name} of the relay; else C{None}.")
    writable: bool = Attribute(
        "Whether the send queue has room: no longer once it has reached C{QUEUE_PAUSE_BYTES}, and again once "
        "it has fallen to C{QUEUE_RESUME_BYTES}."
    )
    queued: int = Attribute("How many bytes wait in the send queue.")
    round_trip: IRoundTrip = Attribute("How long a round trip takes, as far as it is known.")
    is_verified: bool = Attribute("Whether L{verified} was called while the link was open.")
    is_confirmed: bool = Attribute("Whether L{confirmed} was called.")
    is_open: bool = Attribute("Whether neither end has closed it.")
    has_heard: bool = Attribute("Whether anything has come since this was set to C{False} last.")
    died_idle: bool = Attribute(
        "Of a lost link, whether it had been idle for 8 s or longer before the frame that nothing came after."
    )
    is_doubted: bool = Attribute("Whether the peer has owed an answer for so long that the link may be dead.")
    owed_for: float = Attribute(
        "Seconds for which the peer of a doubted link has owed an answer. A path that has only stalled shows "
        "itself within as many more, since TCP waits twice as long each time until it tries again."
    )

    def send(kind: int, payload: bytes) -> None:
        """
        Queue a frame. Frames arrive in order or not at all. After the link was closed, does nothing.

        @param kind: 0 to 255, a L{FrameKind<routing_crust.wire.framing.FrameKind>} or the application's.
        @raise ValueError: the payload is larger than C{MAX_FRAME_BYTES}.
        """

    def verified() -> None:
        """The peer's Hello is good: lift the limits for links of unknown purpose. Idempotent."""

    def confirmed() -> None:
        """Both ends have agreed on this link: it does not count as unverified any more. Idempotent."""

    def probe() -> None:
        """
        Send the peer a probe, where something suggests that it is out of reach or has lost this link. If
        nothing comes, L{ICrustEvents.link_doubted} follows. Without effect before L{verified}, and once the
        link is closed.
        """

    def must_answer(within: float | None) -> None:
        """
        As L{probe}, where a path is known to have broken: cut the link if nothing comes within these seconds,
        or eight round trips; C{None} is a mere probe.
        """

    def when_writable() -> Deferred[None]:
        """
        @return: fires with C{None} once L{writable} is true, at once if it is; fails with
            L{LinkClosed} if the link closes first.
        """

    def add_producer(producer: IPushProducer) -> None:
        """
        Have a producer paused and resumed with the send queue, and stopped when the link is lost.

        @raise ValueError: it was added already.
        """

    def remove_producer(producer: IPushProducer) -> None:
        """Forget a producer. One that is not known is no error."""

    def set_feeder(feeder: Callable[[int], object] | None) -> None:
        """
        Set a source of frames that is called whenever the connection takes more and the send queue is nearly
        empty, so that bulk data does not wait in the queue in front of urgent frames.

        @param feeder: called with the room, in bytes, more or less; it may send as much from within the call.
            It is called from L{feed_soon} on until it sends nothing. It must not raise. C{None} removes it.
            It is not called after the link was closed.
        """

    def feed_soon() -> None:
        """Have the feeder called before the next turn of the reactor is over, or as soon as the connection
        takes more. Never calls it at once."""

    def hand_over(link: ILink) -> None:
        """
        Let another link to the same peer replace this one: from now on frames sent here go over that link,
        also when this one is closed, and waiters for L{writable} and producers move to it. Queued frames
        stay. Only frames of the handshake, of tunnels, whose numbers are this link's, and C{SWITCHED} still
        go over this one. Handing over to itself undoes it.
        """

    def pause_reading() -> None:
        """Take no more from the connection, so that the peer has to wait, until L{resume_reading}. Some
        frames that are on their way already are still delivered, and silence is not timed."""

    def resume_reading() -> None:
        """Undo L{pause_reading}."""

    def close(reason: CloseReason, detail: str = "") -> None:
        """
        Send a Goodbye with the reason and close, once what is queued has gone out; cut after
        C{CLOSE_TIMEOUT_SECONDS}. L{ICrustEvents.lost_connection} follows. No frame is delivered after this.
        Idempotent.

        @param detail: more, in words, for our own log; the peer never sees it.
        """

    def abort(reason: CloseReason, detail: str = "") -> None:
        """Cut the link at once; what is queued is lost. L{ICrustEvents.lost_connection} follows."""


class ICrustEvents(Interface):
    """
    The events of crust, for one receiver. None of them is called from within a call to crust or to a
    link by that receiver, and none may raise.
    """

    def on_connect(link: ILink) -> None:
        """A link that we dialled is up. Precedes the Deferred of L{ICrust.connect}."""

    def on_accept(link: ILink) -> None:
        """A peer has dialled us."""

    def new_message(link: ILink, kind: int, payload: bytes) -> None:
        """A frame came. Heartbeats and Goodbyes are crust's own and are not reported."""

    def lost_connection(link: ILink, reason: LinkClosed) -> None:
        """A link is gone; reported exactly once for each link that was reported as made."""

    def link_doubted(link: ILink) -> None:
        """
        The peer of a verified link has not answered for the larger of C{DOUBT_AFTER_SECONDS} and eight round
        trips. The link may be dead, or just slow. Reported again after twice as long each time.
        """

    def bootstrap_finished(links: int, problem: str) -> None:
        """
        An attempt to bootstrap is over; exactly once for each L{ICrust.bootstrap}.

        @param links: how many of its links are alive; 0 if none could be made or kept.
        @param problem: what went wrong, for the log; empty if nothing did.
        """

    def external_endpoints(endpoints: tuple[Endpoint, ...]) -> None:
        """Where others can dial us has changed, or is known for the first time."""

    def reachability_changed(reachability: Reachability) -> None:
        """What we know of how others can reach us has changed."""

    def network_changed() -> None:
        """
        The addresses, routes or interfaces of this host have changed, or it has slept: what could not be
        reached before may be reached now. Links that break because of it are reported as lost later.
        """


class ICrust(Interface):
    """Makes links."""

    endpoints: tuple[Endpoint, ...] = Attribute("Where others can dial us, best first.")
    candidates: tuple[Endpoint, ...] = Attribute(
        "What goes into requests for connections: L{endpoints}, and last where a single network has seen us."
    )
    sources: tuple[OwnEndpoint, ...] = Attribute("L{endpoints}, and how we know of each.")
    outside: tuple[Endpoint, ...] = Attribute(
        "Those of L{candidates} by which hosts outside our own networks can dial us, if anything lets them."
    )
    nat: NatKind = Attribute("What we know of the NAT in front of us.")
    reachability: Reachability = Attribute("The same, and whether we can be dialled.")
    mapped_ports: tuple[str, ...] = Attribute(
        "In words, for each port that a router was asked to map: what it has promised, or why it has not."
    )
    on_link_networks: tuple[str, ...] = Attribute("The networks of our own interfaces, as texts.")
    inner_networks: tuple[str, ...] = Attribute(
        "The networks behind carriers' NATs in which our routers are, as they have told us, as texts."
    )
    own_hosts: frozenset[str] = Attribute("The addresses of our own interfaces, as texts.")
    history: History = Attribute("What was tried lately to get links: for people, written by all.")

    def start(events: ICrustEvents) -> None:
        """
        Listen (clients do not) and from now on report events.

        @raise CannotListen: a port is taken or may not be used; nothing is left open.
        """

    def stop() -> Deferred[None]:
        """
        Close every link and port. Idempotent.

        @return: fires with C{None} when none is left and no delayed call is pending; it never fails.
        """

    def bootstrap() -> None:
        """
        Dial contacts, several at once, but none that we have a link with. Each link is reported as it comes
        up, with L{ILink.bootstrap} set; L{ICrustEvents.bootstrap_finished} ends the attempt when
        L{end_bootstrap} is called, when every contact has been tried and no such link is left, or after
        C{BOOTSTRAP_TIMEOUT_SECONDS}. While an attempt runs, another call does nothing.
        """

    def end_bootstrap(winner: ILink | None) -> None:
        """
        Dial no more contacts, and close the attempt's links except C{winner}. Without a running attempt
        it does nothing.
        """

    def connect(
        endpoints: Sequence[Endpoint],
        peer: Name | None,
        token: bytes,
        asked_by: Account,
        rendezvous: Rendezvous | None = None,
    ) -> Deferred[ILink]:
        """
        Dial a peer, its endpoints raced; which gives one link at most. Calls for a peer that is being
        dialled with the same token share one dial.

        With C{rendezvous} the endpoints are not raced from any port, but punched: all dialled at once from
        our listening port, with one long attempt each, for 6 seconds. The peer has to do
        the same with the same token. The link may come from either side:
        it may be one that we have accepted. A plain dial with the same token goes on beside it.

        @param peer: who must answer; C{None} accepts anyone.
        @param token: handed back as L{ILink.token}.
        @param asked_by: on whose account the endpoints are dialled, as L{account_of} has it; for all but
            L{OURSELVES} they count against C{stranger_dials} and the like.
        @return: fires with the link once its TLS handshake is done; cancelling it stops the dial.
            Fails with L{ConnectFailed} when no endpoint answers as it should, with
            L{LimitReached} when a limit forbids the dial, with L{ServiceStopped} after L{stop}.
        """

    def expect(peer: Name, token: bytes, requester: bool) -> Callable[[], None]:
        """
        From now on take connections for a rendezvous with this peer, which show that they know the token;
        others that claim to be for one are closed. Plain connections are not affected.

        @param requester: whether we requested it, as in L{Rendezvous}.
        @return: ends it, and cuts connections that have not become a link. Calling it again does nothing. It
            must be called some time; L{stop} does so as well.
        """

    def tunnel(
        relay: ILink, peer: Name, token: bytes, requester: bool, awaited: bool = False
    ) -> Deferred[ILink]:
        """
        Make a link to a peer that goes through another one, with which both have a direct link. The peer has
        to expect this rendezvous (L{expect}); either of the two may open the tunnel.

        The link's C{path_kind} is C{TUNNEL}, its C{via} is the relay, and its C{connection} has
        the addresses of the link to that one. When that link is lost, so is this one.

        @param relay: the link to the relay, whose Hello is verified.
        @param token: becomes L{ILink.token}.
        @param requester: whether we requested the rendezvous, as in L{Rendezvous}.
        @param awaited: whether somebody waits for it: a relay without room has it replace one of ours that is
            idle.
        @return: fires with the link once its TLS handshake is done; cancelling it ends the attempt. Fails
            with L{ConnectFailed}, with L{LimitReached} when there are too many links, with
            L{ServiceStopped} after L{stop}.
        """

    def carry_tunnels(way: Callable[[ILink, Name], ILink | None]) -> None:
        """
        Be the relay of others' tunnels, within C{tunnel_memory} and the other limits.

        @param way: for the link of a peer that requests a tunnel and the name of its far end, the link to
            that end; C{None} if there is none. Must not raise. Before this is called nothing is carried.
        """

    def carries_for(peer: Name) -> bool:
        """Whether a tunnel with this peer at an end goes through us."""

    def observed(link: ILink, endpoint: Endpoint) -> None:
        """The peer of a link, whose Hello is verified, says that it sees us at this endpoint."""

    def may_observe(endpoint: Endpoint) -> bool:
        """Whether a peer that we dial there, with an empty token, would tell us something new of our NAT."""

    def dial_back(endpoints: Sequence[Endpoint], peer: Name, asked_by: Account) -> Deferred[Endpoint]:
        """
        Find out for a peer whether it can be dialled, from a port that we have never dialled from, up to the
        end of the TLS handshake. It gives no link. Addresses that are not global are left out, and the others
        count against C{stranger_dials}.

        @param peer: who must answer.
        @param asked_by: as in L{connect}.
        @return: fires with the first endpoint that answers. Fails with L{ConnectFailed},
            L{LimitReached} or L{ServiceStopped}; it can be cancelled.
        """

    def knock(endpoints: Sequence[Endpoint], peer: Name) -> tuple[Deferred[Knock], ...]:
        """
        Find out whether a peer still answers where it did, on our own account: dial each endpoint, all at
        once, from a port that says nothing of ours, up to the end of the TLS handshake. It gives no link.

        @return: for each endpoint, fires with the outcome within C{DIAL_TIMEOUT_SECONDS}; can be cancelled.
            Fails with L{ServiceStopped} only.
        """

    def agree_on_keys(peer: Name, initiator: bool) -> IKeyAgreement:
        """
        Begin a handshake with a node that need not be linked; the caller carries the flights.

        @param peer: who must be at the other end.
        @param initiator: whether we begin, and so are the TLS client.
        """

    def not_reached(by: Name) -> None:
        """This peer reports that another node has tried to dial us, and failed."""

    def obstacle(endpoint: Endpoint, peer: Name) -> tuple[str, float]:
        """
        What keeps us from dialling this peer there on our own account.

        @return: what, in words, empty if nothing is; and for how many more seconds, C{inf} if that is up to a
            setting.
        """

    def is_known(endpoint: Endpoint, peer: Name) -> bool:
        """
        Whether we know this peer at this endpoint by more than what somebody says: it is a configured or a
        proven saved contact, or has answered there. The rules for addresses of strangers do not hold for it.
        """

    def remember(contact: Contact, proven: bool = True) -> None:
        """
        Save a contact for the next start.

        @param proven: whether it has led us into the network, or was a member of our table: a link alone
            proves nothing. An unproven one comes after the proven ones, and replaces none of them.
        """

    def demote(contact: Contact) -> None:
        """
        A contact has led nowhere: whether it is saved, configured or found on the local network, it is tried
        after all others, until it is remembered as proven.
        """

    def forget(name: Name) -> None:
        """Remove the saved contacts of a node."""

    def settings_changed() -> tuple[tuple[ILink, str], ...]:
        """
        Settings of this node have changed: go by them from now on.

        @return: the links that are not allowed any more, each with the reason. The layer above closes them.
        """

    def saved_contacts() -> tuple[Contact, ...]:
        """The saved contacts, most recently proven first."""


def account_of(link: ILink | None) -> Account:
    """
    Who is held to account for what came by this link.

    Addresses of one prefix are one party on the internet only. Hosts of a local network are parties of their
    own, and so are the nodes of one machine.

    @param link: C{None} if it came from ourselves.
    """
    if link is None:
        return OURSELVES
    at = link.connection.peer
    if not is_local_only(at):
        return at.prefix, at.origin, str(link.peer)
    first = str(link.peer) if at.address.is_loopback else at.origin
    return first, first, str(link.peer)
