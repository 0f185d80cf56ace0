"""
The state machine of L{routing_crust.routing.service.RoutingService}: four states, and what happens in each
of them upon each input.

The machines are built with Automat from the table below, one for each role, since a client, a node and a
first node come to be connected in different ways. What the table does not mention changes nothing: every
state answers every input.

What the service does about a change, it does in the methods of L{StateOutputs}. The machine decides and
does no I/O. An input that is given from within one of these methods is handled when the running one is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from automat import TypeMachineBuilder

from ..config import Role


class State(Enum):
    """How a service stands to its network."""

    DISCONNECTED = "disconnected"
    """Not started yet, or without a link: waiting to bootstrap, or, as first node, for others to come."""
    BOOTSTRAPPING = "bootstrapping"
    """Looking for a way into the network. Strangers are refused."""
    CONNECTED = "connected"
    """In the network."""
    TERMINATED = "terminated"
    """Stopped for good. Nothing is sent, and no peer is let in."""


class StateOutputs(Protocol):
    """
    What the machine asks of its owner. None of these may raise: the machine would be left half way.
    """

    def state_changed(self, old: State, new: State) -> None:
        """The state has changed. Called before any other output, and only if the two differ."""

    def begin_bootstrap(self) -> None:
        """Start an attempt to bootstrap. Its end without a link is the input C{bootstrap_failed}."""

    def schedule_retry(self) -> None:
        """Give the input C{retry} after the back-off. Leaving C{DISCONNECTED} makes it void."""

    def listen_only(self) -> None:
        """This is a first node and has just started: it dials no contact and waits."""

    def shut_down(self) -> None:
        """Close everything, fail what is pending and send nothing more. Called once."""


class Machine(Protocol):
    """
    The inputs. Each of them may be given at any time, more than once too.
    """

    def start(self) -> None:
        """The service starts."""

    def stop(self) -> None:
        """The service stops."""

    def first_link_accepted(self) -> None:
        """For a first node: a link that it accepted has a verified Hello. Means nothing to others."""

    def proxy_confirmed(self) -> None:
        """
        A proxy serves us: it has confirmed the link of a client, or a node that nobody has made a member yet.
        Means nothing to a first node.
        """

    def table_entry_added(self) -> None:
        """For nodes: a node has come into the routing table. Means nothing to a client."""

    def bootstrap_failed(self) -> None:
        """Crust has finished an attempt to bootstrap without a link."""

    def last_link_lost(self) -> None:
        """
        The last link is gone, not counting those that an application asked for. While an attempt to bootstrap
        has more contacts to try, this is not said: the attempt's end is C{bootstrap_failed} then.
        """

    def retry(self) -> None:
        """The back-off after L{StateOutputs.schedule_retry} is over."""


@dataclass(slots=True)
class StateCore:
    """
    What one machine knows. Made by the service with each start, fed by the machine alone, discarded with
    it at the next start.

    @ivar role: which of the machines this is for.
    @ivar outputs: carries out what the machine decides.
    @ivar incarnation: grows with each start; the Hello carries it.
    @ivar state: the current state; to be read only.
    """

    role: Role
    outputs: StateOutputs
    incarnation: int
    state: State = State.DISCONNECTED


def make_machine(core: StateCore) -> Machine:
    """
    A machine for one run of the service, in C{DISCONNECTED}. After C{stop} it stays in C{TERMINATED}: to
    start again takes a new core and a new machine.
    """
    return _FACTORIES[core.role](core)


_Input: TypeAlias = Callable[[Machine], None]
_Effect: TypeAlias = Callable[[StateOutputs], None]
_Row: TypeAlias = tuple[State, _Input, State, "_Effect | None"]

_D, _B, _C, _T = State


def _begin(outputs: StateOutputs) -> None:
    outputs.begin_bootstrap()


def _retry_later(outputs: StateOutputs) -> None:
    outputs.schedule_retry()


def _listen(outputs: StateOutputs) -> None:
    outputs.listen_only()


def _shut_down(outputs: StateOutputs) -> None:
    outputs.shut_down()


_COMMON: tuple[_Row, ...] = (
    (_D, Machine.retry, _B, _begin),
    (_B, Machine.bootstrap_failed, _D, _retry_later),
    (_B, Machine.last_link_lost, _D, _retry_later),
    (_C, Machine.last_link_lost, _D, _retry_later),
    (_D, Machine.stop, _T, _shut_down),
    (_B, Machine.stop, _T, _shut_down),
    (_C, Machine.stop, _T, _shut_down),
)

# A link that an ended attempt left behind may still bring the proof that we are in: hence the rows that
# lead from Disconnected to Connected for those who bootstrap.
_ROWS: dict[Role, tuple[_Row, ...]] = {
    Role.CLIENT: (
        *_COMMON,
        (_D, Machine.start, _B, _begin),
        (_D, Machine.proxy_confirmed, _C, None),
        (_B, Machine.proxy_confirmed, _C, None),
    ),
    Role.NODE: (
        *_COMMON,
        (_D, Machine.start, _B, _begin),
        (_D, Machine.proxy_confirmed, _C, None),
        (_B, Machine.proxy_confirmed, _C, None),
        (_D, Machine.table_entry_added, _C, None),
        (_B, Machine.table_entry_added, _C, None),
    ),
    # A first node dials no contact at its start. Once it has been connected it has contacts of its own, so
    # after a loss it bootstraps like any other; but it accepts strangers all the while, since it may be
    # the only one that they know.
    Role.FIRST: (
        *_COMMON,
        (_D, Machine.start, _D, _listen),
        (_D, Machine.first_link_accepted, _C, None),
        (_B, Machine.first_link_accepted, _C, None),
        (_D, Machine.table_entry_added, _C, None),
        (_B, Machine.table_entry_added, _C, None),
    ),
}

_INPUTS: tuple[_Input, ...] = (
    Machine.start,
    Machine.stop,
    Machine.first_link_accepted,
    Machine.proxy_confirmed,
    Machine.table_entry_added,
    Machine.bootstrap_failed,
    Machine.last_link_lost,
    Machine.retry,
)


def _output(new: State, effect: _Effect | None) -> Callable[[Machine, StateCore], None]:
    def output(machine: Machine, core: StateCore) -> None:
        # set first: an observer that is told of the change may ask for the state
        old, core.state = core.state, new
        if old is not new:
            core.outputs.state_changed(old, new)
        if effect is not None:
            effect(core.outputs)

    return output


def _build(rows: tuple[_Row, ...]) -> Callable[[StateCore], Machine]:
    builder = TypeMachineBuilder(Machine, StateCore)
    states = {each: builder.state(each.name) for each in State}
    answered = set()
    for old, taken, new, effect in rows:
        states[old].upon(taken).to(states[new])(_output(new, effect))
        answered.add((old, taken))
    for old in State:
        for taken in _INPUTS:
            if (old, taken) not in answered:
                states[old].upon(taken).loop().returns(None)
    return builder.build()


_FACTORIES = {role: _build(rows) for role, rows in _ROWS.items()}
