"""
Attachment: what makes this node part of the network, its proxy or the members of its table.

While we are joining, and all the time if we are a client, one peer is our proxy. A node lets it go when its
close group is reached. A proxy that leads nowhere is replaced; a node keeps its link to the former one as
well until then, since what was asked by it may still be answered.

A node that no other makes a member, although its proxy answers for the network, is served by it as a client
is, after C{SERVED_AFTER_SECONDS}: it counts as connected, publishes its proxy, and is reached by name.
Meanwhile it goes on asking to be a member, and trying other contacts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...config import Role
from ...crust.interfaces import ILink
from ...endpoints import Direction
from ...errors import CloseReason
from ...history import Way
from ...limits import BOOTSTRAP_TIMEOUT_SECONDS
from ...names import Name
from ...timing.timers import cancel, is_pending
from ...wire.messages import LinkUse
from ..links.peer import Peer, PeerListener
from ..links.registry import LinkRegistry
from ..node import Node
from ..state import State
from .joining import Joiner
from .lifecycle import Lifecycle
from .neighbourhood import Neighbourhood
from .partition_probe import Prober
from .proxy_trial import ProxyTrial

BESIDE_SECONDS: Final = 10.0
"""For how long after a break of the path a proxy is taken beside the links that may be dead."""
BESIDE_LOOK_SECONDS: Final = 2.0
"""Between two looks whether these links live after all, so that such a proxy is not needed."""
SERVED_AFTER_SECONDS: Final = 10.0
"""From the confirmation of a proxy until a node that has not joined is served by it as a client is."""


class Attachment(PeerListener):
    """Made with each start of the service, told of peers, discarded after L{stop}."""

    log = Logger()

    def __init__(
        self,
        node: Node,
        lifecycle: Lifecycle,
        neighbourhood: Neighbourhood,
        links: LinkRegistry,
        joiner: Joiner,
        prober: Prober,
        trial: ProxyTrial,
    ) -> None:
        self._node = node
        self._lifecycle = lifecycle
        self._neighbourhood = neighbourhood
        self._links = links
        self._joiner = joiner
        self._prober = prober
        self._trial = trial
        self._former: list[Name] = []
        self._is_relay: Callable[[Name], bool] = lambda _: False
        self._join_deadline: IDelayedCall | None = None
        self._serve_timer: IDelayedCall | None = None
        self._is_served = False
        self._broke = float("-inf")
        self._beside_timer: IDelayedCall | None = None
        self._when_served: Callable[[Name | None], object] = lambda _: None
        self._when_cut_off: tuple[Callable[[], object], ...] = ()

    def keep_relays(self, is_relay: Callable[[Name], bool]) -> None:
        """
        Let no proxy go that is needed as a relay.

        @param is_relay: whether a tunnel of ours goes through this node.
        """
        self._is_relay = is_relay

    def when_served(self, action: Callable[[Name | None], object]) -> None:
        """Call this with the proxy that serves this node as a client, and with C{None} when none does."""
        self._when_served = action

    def when_cut_off(self, *actions: Callable[[], object]) -> None:
        """Call these when the last link that made us part of the network is lost."""
        self._when_cut_off += actions

    def network_changed(self) -> None:
        """
        The path may have broken, or be another one. If nothing has come over any link that makes us part of
        the network, look for a proxy beside them: until they are known to be dead is too long to wait.
        """
        # a client has one already, and would close what it has dialled
        if self._node.is_client or self._lifecycle.state is not State.CONNECTED:
            return
        ways_in = [each.link for each in self._links.peers if self._is_a_way_in(each)]
        if not any(map(self._has_heard, ways_in)):
            self._broke = self._node.clock.seconds()
            self._node.crust.bootstrap()

    def stop(self) -> None:
        """Cancel the timers."""
        cancel(self._join_deadline)
        cancel(self._serve_timer)
        cancel(self._beside_timer)
        self._trial.stop()

    def peer_established(self, peer: Peer, before: Peer | None) -> None:
        """A new member or proxy makes us part of the network."""
        if peer.use is LinkUse.MEMBER:
            proxy = self._neighbourhood.proxy
            self._lifecycle.machine.table_entry_added()
            self._node.crust.end_bootstrap(None if proxy is None else self._links.link_to(proxy))
            self._trial.passed(peer.name)
            self._end_service()
            self._joiner.entered(peer.name)
        # the proxy is established again when its second direction comes up: that link is not a spare one
        elif peer.use is LinkUse.ATTACHED and peer.name not in (self._neighbourhood.proxy, *self._former):
            self._attached(peer)
        elif peer.use is LinkUse.DIRECT and not self._node.is_client:
            # an application has taken over the link that made us part of the network
            if before is not None and self._is_a_way_in(before) and not self._is_a_way_in(peer):
                self._look_at_ways_in()
            elif self._lifecycle.state is not State.CONNECTED:
                self._joiner.wake()

    def peer_lost(self, peer: Peer, reason: CloseReason, detail: str) -> None:
        """If this was the last way into the network, the machine leaves C{CONNECTED}."""
        # before the proxy is forgotten: a direct link is a way in only while its peer is the proxy
        was_a_way_in = self._is_a_way_in(peer)
        if peer.name in self._former:
            self._former.remove(peer.name)
        if peer.name == self._neighbourhood.proxy:
            self._neighbourhood.set_proxy(self._former.pop() if self._former else None)
            if self._is_served:
                self._when_served(self._neighbourhood.proxy)
        if was_a_way_in:
            self._look_at_ways_in()

    def _look_at_ways_in(self) -> None:
        if any(map(self._is_a_way_in, self._links.peers)):
            return
        for action in self._when_cut_off:
            action()
        cancel(self._join_deadline)
        cancel(self._beside_timer)
        self._end_service()
        is_hurried = self._trial.cut_off()
        # last, since observers hear of it, and may ask how we stand
        self._lifecycle.machine.last_link_lost()
        if is_hurried:
            self._lifecycle.wake()
        # peers with which an application has a link are not dialled again, and may know the way
        if not self._node.is_client and self._links.peers:
            self._joiner.wake()

    def group_changed(self, connected: bool) -> None:
        """Drop the proxy when the close group is reached: the members of the table replace it."""
        if connected:
            self._drop_proxies()

    def _drop_proxies(self) -> None:
        neighbourhood = self._neighbourhood
        proxy = None if neighbourhood.proxy is None else self._links.peer(neighbourhood.proxy)
        if proxy is not None and self._lifecycle.state is State.CONNECTED:
            # first: the loss of its link must not be taken for that of our proxy
            neighbourhood.set_proxy(None)
            former, self._former = self._former, []
            for each in (proxy, *(self._links.peer(name) for name in former)):
                # a proxy that is a member as well keeps its link, and so does the relay of a tunnel of ours
                if each is not None and each.use is LinkUse.ATTACHED and not self._is_relay(each.name):
                    self._let_go(each)

    def relay_not_needed(self, name: Name) -> None:
        """The last tunnel through this node has ended. A former proxy was kept for that only: drop it."""
        peer = self._links.peer(name)
        if (
            peer is not None
            and peer.use is LinkUse.ATTACHED
            and peer.link.direction is Direction.CONNECTED
            and self._neighbourhood.proxy is None
            and self._joiner.group_connected
        ):
            self._let_go(peer)

    def _let_go(self, peer: Peer) -> None:
        self._links.close(peer.link, CloseReason.NO_LONGER_NEEDED, "we are in the network now")

    def _is_a_way_in(self, peer: Peer) -> bool:
        """
        Whether this link makes us part of the network. One that an application asked for does not: its peer
        is neither our proxy nor has us in its table. Clients alone are a network only to a first node.
        """
        if peer.facts.is_client:
            return self._node.settings.role is Role.FIRST
        return peer.use is not LinkUse.DIRECT or peer.name == self._neighbourhood.proxy

    def _attached(self, peer: Peer) -> None:
        if peer.link.direction is Direction.ACCEPTED:
            self._lifecycle.machine.first_link_accepted()
        if peer.facts.is_client or self._prober.established(peer.link):
            return
        former = self._neighbourhood.proxy
        # several contacts are dialled at once, and one proxy that leads somewhere is enough
        since = self._node.clock.seconds() - self._broke
        needs_one = self._lifecycle.state is not State.CONNECTED or 0 <= since < BESIDE_SECONDS
        if not (self._trial.seeking or (former is None and needs_one)):
            if peer.link.bootstrap:
                self._links.close(peer.link, CloseReason.NO_LONGER_NEEDED)
            return
        # only a link that we dialled to get in may replace a proxy
        if not peer.link.bootstrap and former is not None:
            return
        is_beside = former is None and len(self._neighbourhood.table) > 0
        self._neighbourhood.set_proxy(peer.name)
        self._node.crust.end_bootstrap(peer.link)
        if former is not None:
            self._replaced(former)
        if self._node.is_client:
            self._lifecycle.machine.proxy_confirmed()
            return
        self._joiner.wake()
        if is_beside:
            # with members it need not lead us to any: it is not tried, and no other is looked for
            self._trial.proxy_changed(None)
            self._look_beside_later()
        elif self._is_served:
            self._when_served(peer.name)
        else:
            self._await_joining()

    def _has_heard(self, link: ILink) -> bool:
        # of a tunnel nobody watches the path: it is as alive as the link to its relay
        carrier = None if link.via is None else self._links.link_to(link.via)
        return (carrier or link).has_heard

    def _look_beside_later(self) -> None:
        if not is_pending(self._beside_timer):
            self._beside_timer = self._node.clock.callLater(BESIDE_LOOK_SECONDS, self._look_beside)

    def _look_beside(self) -> None:
        """Let the proxy go that was taken beside the members, if these are there after all."""
        proxy = self._neighbourhood.proxy
        if proxy is None:
            return
        found = (self._links.link_to(entry.name) for entry in self._neighbourhood.table)
        members = [link for link in found if link is not None]
        if not members:
            # it is our only way in by now, and has to show that it leads anywhere
            self._trial.proxy_changed(proxy)
            self._await_joining()
        elif any(map(self._has_heard, members)) and not any(each.is_doubted for each in members):
            # where most links are lost and one lives, it is what the others come back by
            if self._joiner.misses_neighbours:
                self._look_beside_later()
            else:
                self._drop_proxies()
        else:
            self._look_beside_later()

    def _await_joining(self) -> None:
        if not is_pending(self._serve_timer) and not self._neighbourhood.table:
            self._serve_timer = self._node.clock.callLater(SERVED_AFTER_SECONDS, self._serve)
        if not is_pending(self._join_deadline):
            # a proxy that does not even answer leads nowhere: bootstrap again
            self._join_deadline = self._node.clock.callLater(BOOTSTRAP_TIMEOUT_SECONDS, self._not_joined)

    def _replaced(self, former: Name) -> None:
        self.log.info("{proxy} let us in and led nowhere: using another proxy", proxy=former)
        self._trial.failed(former)
        if self._node.is_client:
            self._links.drop(former, CloseReason.NO_LONGER_NEEDED, "it led nowhere")
        else:
            self._former.append(former)

    def _serve(self) -> None:
        """Nobody has linked with us as a member yet: be served by our proxy, if it leads anywhere."""
        proxy = self._neighbourhood.proxy
        if proxy is None or self._neighbourhood.table:
            return
        if not self._joiner.group_view:
            self._serve_timer = self._node.clock.callLater(SERVED_AFTER_SECONDS, self._serve)
            return
        self._is_served = True
        self.log.info(
            "this node could not join yet ({reason}): {proxy} serves it as a client, and it goes on trying; "
            "see 'routing-crust explain {proxy}'",
            proxy=proxy,
            reason=self._last_failure(proxy),
        )
        self._when_served(proxy)
        self._lifecycle.machine.proxy_confirmed()

    def _end_service(self) -> None:
        """We have joined, or are cut off."""
        cancel(self._serve_timer)
        if self._is_served:
            self._is_served = False
            self._when_served(None)

    def _not_joined(self) -> None:
        proxy = self._neighbourhood.proxy
        # without it nothing would be better: others are tried beside it
        if proxy is not None and not self._is_served:
            reason = self._last_failure(proxy)
            self.log.info("{proxy} let us in, and led nowhere: {reason}", proxy=proxy, reason=reason)
            self._trial.failed(proxy)
            # the proxy last: its loss would make a former one the proxy again
            for name in (*self._former, proxy):
                self._links.drop(name, CloseReason.NO_LONGER_NEEDED, "this node has not joined by it")

    def _last_failure(self, proxy: Name) -> str:
        """What has failed last, of all that was tried with the nodes that we want to link with."""
        names = (proxy, *self._joiner.group_view)
        outcomes = (each for name in names for each in self._node.crust.history.of(name).outcomes)
        failures = [each for each in outcomes if not each.good and each.way is not Way.LINK]
        last = max(failures, key=lambda each: each.at, default=None)
        if last is None:
            return "it named no other node"
        return f"{last.way.value} {last.where}: {last.text}" if last.where else last.text
