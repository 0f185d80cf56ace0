"""
L{ICrust}: what crust does for the layer above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from ...endpoints import Contact, Endpoint
from ...history import History
from ...hosts.contacts import NamedContact
from ...names import Name
from ...timing.shares import Account
from ...wire.messages import NatKind
from ..key_agreement import IKeyAgreement
from ..reachability import Knock, OwnEndpoint, PathProblems, Reachability
from .events import ICrustEvents
from .link import ILink


@dataclass(frozen=True, slots=True)
class Guess:
    """
    Both ends agree to guess ports beside a hole punch.

    @ivar host: the address at which the relay of our tunnel sees the peer.
    @ivar opens: whether we open ports, since ours is the NAT whose ports nobody knows; else we guess them.
    @ivar told_by: who is held to account for the address, as L{account_of} has it for the tunnel.
    """

    host: str
    opens: bool
    told_by: Account


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """
    How to dial a peer that dials us at the same time, because each has told the other to.

    @ivar requester: whether we requested it. The requester is the TLS client, also on a connection that it
        has accepted, and picks the connection that becomes the link.
    @ivar after: seconds from now to the first dial, so that both ends begin at once.
    @ivar guess: how ports are guessed beside it; C{None} guesses none.
    """

    requester: bool
    after: float = 0.0
    guess: Guess | None = None


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
    path_problems: PathProblems = Attribute("What dials have to get around on their way out.")
    on_link_networks: tuple[str, ...] = Attribute("The networks of our own interfaces, as texts.")
    inner_networks: tuple[str, ...] = Attribute(
        "The networks behind carriers' NATs in which our routers are, as they have told us, as texts."
    )
    own_hosts: frozenset[str] = Attribute("The addresses of our own interfaces, as texts.")
    proxy: str = Attribute("The proxy that dials to the internet go out through, without secrets; or empty.")
    history: History = Attribute("What was tried recently to get links: for people, written by all.")

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
        C{BOOTSTRAP_TIMEOUT_SECONDS}. While an attempt runs, another call only has it dial those as well that
        have lost their links since it began.
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

    def may_guess(tunnel: ILink) -> bool:
        """Whether we would guess ports now, to replace a tunnel by a link without one."""

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
        to expect this rendezvous (C{expect}); either of the two may open the tunnel.

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

    def when_routers_asked() -> Deferred[None]:
        """
        @return: fires when each port of L{mapped_ports} is mapped, or it is known why it is not; at once if
            there is nothing to ask. Does not fail, unless it is cancelled.
        """

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

    def configured_contacts() -> tuple[Contact, ...]:
        """The contacts of the settings; those by name have the addresses that they had last."""

    def problem_with(contact: NamedContact) -> str:
        """Why a contact by name had no address when it was last looked for; empty if it had one."""

    def resolve(host: NamedContact, found: Callable[[tuple[Contact, ...]], object]) -> Deferred[None]:
        """
        Find out the addresses of a host name.

        @param found: called with each part of them, as it comes.
        @return: fires when all have come; fails with a L{RoutingCrustError<routing_crust.errors>} whose text
            names the host and the name server, if there are none. Can be cancelled.
        """

    def resolve_contacts() -> None:
        """Find out again which addresses the contacts by name have."""
