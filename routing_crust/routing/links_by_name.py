"""
Links by name, as applications and the layers above use them: the part of C{RoutingService} that gets them,
and waits for those by which this node is in its network.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from ..crust.interfaces import ILink
from ..errors import ServiceStopped
from ..names import Name
from ..timing.waiters import Waiters
from .application_link import ApplicationLink, FrameHandler
from .events import GroupConnectedChanged, Observers, StateChanged
from .links.stream_layer import StreamLayer
from .messages_by_name import MessagesByName
from .naming.directory import PeerDirectory
from .state import State


class LinksByName(MessagesByName):
    """
    A base of C{RoutingService}.

    @ivar stream_layer: the layer of byte streams; C{None} before L{set_stream_layer}.
    """

    def __init__(self, directory: PeerDirectory) -> None:
        """
        @param directory: what texts stand for.
        """
        super().__init__(directory)
        self._observers = Observers()
        self._frame_handler: FrameHandler | None = None
        self.stream_layer: StreamLayer | None = None
        self._waiting_for_state: Waiters[None] = Waiters()
        self._waiting_for_group: Waiters[None] = Waiters()
        self._waiting_for_way: Waiters[None] = Waiters()
        self._observers.add(StateChanged, self._state_changed)
        self._observers.add(GroupConnectedChanged, self._group_changed)

    @property
    def state(self) -> State:
        """How this service stands to its network."""
        if self._core is None:
            return State.DISCONNECTED
        return self._core.state

    @property
    def bootstrapped(self) -> bool:
        """Whether this node has a confirmed link to its proxy, or to nodes in its routing table."""
        return self._core is not None and self._core.bootstrapped

    @property
    def group_connected(self) -> bool:
        """Whether every reachable member of the close group of our name is in the routing table."""
        return self._core is not None and self._core.group_connected

    def when_connected(self) -> Deferred[None]:
        """
        @return: fires with C{None} once the state is C{CONNECTED}, at once if it is. There is no deadline:
            bootstrapping is never given up. Fails with L{ServiceStopped} when the service stops first.
        """
        return self._when(self.state is State.CONNECTED, self._waiting_for_state)

    def when_bootstrapped(self) -> Deferred[None]:
        """
        @return: as L{when_connected}, once L{bootstrapped} is true, which is earlier: a proxy carries
            requests for links before this node has its place in the network.
        """
        return self._when(self.bootstrapped or self.state is State.CONNECTED, self._waiting_for_way)

    def when_group_connected(self) -> Deferred[None]:
        """
        @return: as L{when_connected}, once L{group_connected} is true. Clients never are.
        """
        return self._when(self.group_connected, self._waiting_for_group)

    def connect(self, name: Name | str) -> Deferred[ApplicationLink]:
        """
        Get a link to a node: the existing one, or a new one.

        Frames of kinds 128 to 255 that are sent over it go to the other end's frame handler (see
        L{set_frame_handler}).

        @return: fires with the link when both ends have confirmed it. Fails with
            L{PeerUnreachable<routing_crust.errors.PeerUnreachable>}: within 5 s when the node is gone, by
            what the nodes near its name and its own addresses say, else after C{UNREACHABLE_SECONDS}; with
            L{NotConnected} at once if there is no network and no known address of the node; and with
            L{ServiceStopped}. All of these are Twisted's C{ConnectError}s as well.
        @raise InvalidName: as L{name_of<routing_crust.routing.messages_by_name.MessagesByName.name_of>} does.
        """
        to = self.name_of(name)
        return self._running(
            lambda core: core.direct_links.connect(to, self.when_bootstrapped).addCallback(ApplicationLink)
        )

    def borrow(self, name: Name, patient: bool = False) -> Deferred[ILink]:
        """
        As L{connect}, for a layer above such as that of streams, which gives the link back with
        L{give_back}. Other users of a link to the peer share it.

        @param patient: whether to wait until the service is bootstrapped instead of failing with
            L{NotConnected}; no longer than L{connect} does.
        """
        return self._running(lambda core: core.direct_links.borrow(name, self.when_bootstrapped, patient))

    def ask_again(self, name: Name) -> None:
        """
        A L{borrow} that is under way is urgent: ask the peer once more. At most once a second for each peer,
        however often this is called.
        """
        if self._core is not None:
            self._core.connector.ask_again(name)

    def give_back(self, name: Name) -> None:
        """
        A borrowed link is not needed any more. If it was made for that, and neither the routing table nor an
        application has use for it, it is closed when C{IDLE_LINK_SECONDS} seconds have gone by without a
        message and without another L{borrow}.
        """
        if self._core is not None:
            self._core.idle.give_back(name)

    def set_stream_layer(self, layer: StreamLayer) -> None:
        """
        Have frames of kinds 32 to 63 go to a layer above, and tell it of the peers. Once for a
        service: L{routing_crust.streams.service.streams_of} does it.

        @raise ValueError: there is one.
        """
        if self.stream_layer is not None:
            raise ValueError("this service has a layer of streams already")
        self.stream_layer = layer
        if self._core is not None and self._started:
            self._core.set_stream_layer(layer)

    def set_frame_handler(self, handler: FrameHandler | None) -> None:
        """
        Call C{handler} with the link, the kind and the payload of each frame that a peer sends with
        L{ApplicationLink.send}. Without a handler they are dropped.
        """
        self._frame_handler = handler
        if self._core is not None:
            self._core.application.handler = handler

    def _when(self, now: bool, waiting: Waiters[None]) -> Deferred[None]:
        if now:
            return succeed(None)
        # nothing would ever fire it
        if self.state is State.TERMINATED:
            return fail(ServiceStopped("the service has been stopped"))
        return waiting.wait()

    def _state_changed(self, event: StateChanged) -> None:
        if event.new is State.CONNECTED:
            self._waiting_for_state.fire(None)
            # a first node with clients alone is connected, and has neither a proxy nor a table
            self._waiting_for_way.fire(None)
        elif event.new is State.TERMINATED:
            self._started = False
            for each in (self._waiting_for_state, self._waiting_for_way, self._waiting_for_group):
                each.fail(ServiceStopped("the service has been stopped"))

    def _proxy_changed(self, proxy: Name | None) -> None:
        if proxy is not None:
            self._waiting_for_way.fire(None)

    def _group_changed(self, event: GroupConnectedChanged) -> None:
        if event.connected:
            self._waiting_for_group.fire(None)
