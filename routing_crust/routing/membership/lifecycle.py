"""
The lifecycle of a node between a start and the next stop: the state machine, and what its decisions lead to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel

from ...timing.backoff import Backoff
from ...timing.timers import cancel, is_pending
from ..events import Observers, StateChanged
from ..node import Node
from ..state import State, StateCore, make_machine

FIRST_RETRY_SECONDS: Final = 1.0
"""The upper bound of the wait after a first failed bootstrap."""
CHANGED_SECONDS: Final = 5.0
"""If the network changed within this time before the last link was lost, bootstrapping begins at once."""
MAX_RETRY_SECONDS: Final = 60.0
"""The upper bound of the wait after many failed bootstraps."""
RETRY_FACTOR: Final = 1.5
"""Each wait before bootstrapping again is longer than the last by this factor, on average."""


class Lifecycle:
    """
    The L{StateOutputs<routing_crust.routing.state.StateOutputs>} of the machine. Made with each start of the
    service, discarded when it has been stopped.

    @ivar machine: takes the inputs.
    @ivar problem: why the last attempt to bootstrap brought no link; empty before that, and once connected.
    """

    log = Logger()

    def __init__(self, node: Node, observers: Observers) -> None:
        self._node = node
        self._observers = observers
        self._retry: IDelayedCall | None = None
        self._backoff = Backoff(FIRST_RETRY_SECONDS, RETRY_FACTOR, MAX_RETRY_SECONDS, 1.0, node.random)
        self._changed = float("-inf")
        self.problem = ""
        self._core = StateCore(node.settings.role, self, node.incarnation)
        self._entered: dict[State, list[Callable[[], object]]] = {state: [] for state in State}
        self.machine = make_machine(self._core)

    @property
    def state(self) -> State:
        """The state of the machine."""
        return self._core.state

    def on_entering(self, state: State, *actions: Callable[[], object]) -> None:
        """
        Call these, in this order, whenever this state is entered: before the observers hear of it; for
        C{TERMINATED}, after they have.
        """
        self._entered[state].extend(actions)

    def network_changed(self) -> None:
        """Bootstrap at once: a contact that was out of reach may be in reach now."""
        self._changed = self._node.clock.seconds()
        if self.state is State.DISCONNECTED and is_pending(self._retry):
            # the waits so far say nothing about the new network
            self._backoff.reset()
            cancel(self._retry)
            self.machine.retry()

    def wake(self) -> None:
        """Bootstrap now, unless we are in the network or on the way there: there is a new contact."""
        if self.state is State.DISCONNECTED:
            self.machine.retry()

    def bootstrap_finished(self, problem: str) -> None:
        """An attempt to bootstrap has ended without a link."""
        if self.state is State.BOOTSTRAPPING:
            problem = problem or "no contact let us in"
            # it goes on trying: only another problem is news
            level = LogLevel.debug if problem == self.problem else LogLevel.info
            self.log.emit(level, "found no way into the network: {problem}", problem=problem)
            self.problem = problem
            self.machine.bootstrap_failed()

    # What the state machine decides.

    def state_changed(self, old: State, new: State) -> None:
        """Act on a change, then tell observers."""
        cancel(self._retry)
        if new is State.CONNECTED:
            self._backoff.reset()
            self.problem = ""
        # the parts stop in shut_down, after the observers have heard of TERMINATED
        if new is not State.TERMINATED:
            self._enter(new)
        self._observers.tell(StateChanged(old, new))

    def begin_bootstrap(self) -> None:
        """Dial contacts."""
        self._node.crust.bootstrap()

    def schedule_retry(self) -> None:
        """Bootstrap again after the back-off."""
        wait = self._backoff.next_wait()
        # once: what is lost with our own path costs nobody else a link, so there is no crowd to spread
        if 0 <= self._node.clock.seconds() - self._changed < CHANGED_SECONDS:
            self._changed, wait = float("-inf"), 0.0
        self.log.debug("bootstrapping again in {wait:.1f} s", wait=wait)
        self._retry = self._node.clock.callLater(wait, self.machine.retry)

    def listen_only(self) -> None:
        """
        A first node dials nobody. If it has saved contacts from an earlier start it bootstraps, so that it
        finds its network again instead of founding a second one.
        """
        if self._node.crust.saved_contacts():
            self.machine.retry()

    def shut_down(self) -> None:
        """Stop every part."""
        cancel(self._retry)
        self._enter(State.TERMINATED)

    def _enter(self, state: State) -> None:
        for action in self._entered[state]:
            action()
