"""
The states of a handover (C{handover}), as two tables: for each link of the line one state of what the peer
sends on it, and one of what we send on it. They decide and do nothing; L{LinkHandover
<routing_crust.routing.links.handover.LinkHandover>} turns events into inputs and carries out the actions.

A cell is the next state and the action, if there is one. A refused input changes nothing and ends the
link. "Void" inputs are those that come while the peer has not yet said that it is in our view.

What the peer sends (L{Receiving})::

                     UNPLACED        OPEN            CLOSING         SKIPPED         ENDED
    FRAME            UNPLACED reset  OPEN hold       refuse          SKIPPED         refuse
    VOID_FRAME       UNPLACED        OPEN            refuse          SKIPPED         refuse
    SWITCHED         ENDED reset     CLOSING         refuse          ENDED           refuse
    VOID_SWITCHED    ENDED           ENDED           refuse          ENDED           refuse
    CONTINUED        OPEN            OPEN            CLOSING         SKIPPED         ENDED
    DISPLACED        OPEN reset      OPEN reset      CLOSING reset   SKIPPED         ENDED
    ANEW             OPEN clear      OPEN clear      OPEN clear      OPEN clear      OPEN clear
    OLD_ANEW         UNPLACED        OPEN            refuse          SKIPPED         SKIPPED
    PASSED           SKIPPED clear   SKIPPED clear   ENDED clear     SKIPPED clear   ENDED clear
    RESET            UNPLACED clear  OPEN clear      ENDED clear     SKIPPED clear   ENDED clear
    DRAINED          UNPLACED        OPEN            ENDED           SKIPPED         ENDED

What we send (L{Sending})::

                     CURRENT         LEFT            TOLD            HEARD           DONE
    LEAVE            LEFT switch     LEFT            TOLD            HEARD           DONE
    LEAVE_COMPLETE   TOLD tell       LEFT            TOLD            HEARD           DONE
    ALL_CAME         CURRENT         TOLD tell       TOLD            DONE finish     DONE close
    ACKNOWLEDGED     refuse          HEARD           DONE            refuse          refuse
    RETURN           CURRENT         CURRENT         CURRENT         CURRENT         CURRENT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, TypeVar


class Receiving(Enum):
    """What may still come on one link."""

    UNPLACED = "unplaced"
    """The peer has not said which link its frames here come after."""
    OPEN = "open"
    """Frames are delivered when everything on the links before has been."""
    CLOSING = "closing"
    """The peer has left the link; frames from before that are waiting for their turn."""
    SKIPPED = "skipped"
    """What comes does not count: the peer was on a later link when it entered our view."""
    ENDED = "ended"
    """The peer has left the link, and nothing is waiting."""


class ReceivingInput(Enum):
    """What happens to the receiving half of one link."""

    FRAME = "frame"
    """A frame that is not of a handshake or a handover has come."""
    VOID_FRAME = "void frame"
    """The same, while the peer is not known to be in our view."""
    SWITCHED = "SWITCHED"
    """The peer's first SWITCHED has come: it has left the link."""
    VOID_SWITCHED = "void SWITCHED"
    """The same, while the peer is not known to be in our view."""
    CONTINUED = "CONTINUED"
    """The peer's frames here come after those of the same link as ours."""
    DISPLACED = "displaced CONTINUED"
    """The peer's frames here come after those of another link than ours do."""
    ANEW = "ANEW"
    """The peer's ANEW has come, of our view or a later one."""
    OLD_ANEW = "old ANEW"
    """The peer's ANEW has come, of a view earlier than ours."""
    PASSED = "passed"
    """The peer's ANEW has come on a later link."""
    RESET = "reset"
    """We enter another view, since something may be missing."""
    DRAINED = "drained"
    """It is this link's turn, and nothing is held back any more."""


class ReceivingAction(Enum):
    """What is done besides changing the state of the receiving half."""

    NONE = ""
    HOLD = "hold"
    """Keep the frame until its turn."""
    CLEAR = "clear"
    """Forget the frames that are held back, and read the link on."""
    RESET = "reset"
    """Enter another view: an unknown set of frames is missing."""
    REFUSE = "refuse"
    """The peer broke the protocol."""


class Sending(Enum):
    """How far we are with one link ourselves."""

    CURRENT = "current"
    """We send on it. So does exactly one link of the line: its newest."""
    LEFT = "left"
    """Our SWITCHED is sent."""
    TOLD = "told"
    """We have told the peer that everything has come; it has not told us."""
    HEARD = "heard"
    """The peer has told us that everything has come; we have not told it."""
    DONE = "done"
    """Both have told each other: the link can go."""


class SendingInput(Enum):
    """What happens to the sending half of one link."""

    LEAVE = "leave"
    """Both ends have agreed on another link."""
    LEAVE_COMPLETE = "leave complete"
    """The same, and everything that the peer sent here has come already."""
    ALL_CAME = "all came"
    """Everything that counts and that the peer sent here has come."""
    ACKNOWLEDGED = "acknowledged"
    """The peer says that everything that we sent here has come."""
    RETURN = "return"
    """Both ends have agreed on this link again."""


class SendingAction(Enum):
    """What is done besides changing the state of the sending half."""

    NONE = ""
    SWITCH = "switch"
    """Send a SWITCHED."""
    TELL = "tell"
    """Send a SWITCHED that says that everything has come."""
    CLOSE = "close"
    """Close the link as superseded."""
    FINISH = "finish"
    """Tell, then close."""
    REFUSE = "refuse"
    """The peer broke the protocol."""


PEER_HAS_LEFT: Final = frozenset({Receiving.CLOSING, Receiving.ENDED})
"""The states in which the peer sends nothing on the link."""

COMPLETE: Final = frozenset({Receiving.SKIPPED, Receiving.ENDED})
"""The states in which the links after this one need not wait for it."""

_State = TypeVar("_State", bound=Enum)
_Input = TypeVar("_Input", bound=Enum)
_Action = TypeVar("_Action", bound=Enum)


def _table(
    states: type[_State],
    rows: Mapping[_Input, Sequence[_State | tuple[_State, _Action] | None]],
    none: _Action,
    refuse: _Action,
) -> dict[tuple[_State, _Input], tuple[_State, _Action]]:
    """
    @param rows: for each input the cells, in the order of the states. A state alone has no action; C{None}
        refuses the input.
    """
    table: dict[tuple[_State, _Input], tuple[_State, _Action]] = {}
    for taken, cells in rows.items():
        for state, cell in zip(states, cells, strict=True):
            if cell is None:
                table[state, taken] = (state, refuse)
            else:
                table[state, taken] = cell if isinstance(cell, tuple) else (cell, none)
    return table


_U, _O, _C, _S, _E = Receiving
_NOTHING, _HOLD, _CLEAR, _RESET, _REFUSE = ReceivingAction

RECEIVING: Final = _table(
    Receiving,
    {
        ReceivingInput.FRAME: ((_U, _RESET), (_O, _HOLD), None, _S, None),
        ReceivingInput.VOID_FRAME: (_U, _O, None, _S, None),
        ReceivingInput.SWITCHED: ((_E, _RESET), _C, None, _E, None),
        ReceivingInput.VOID_SWITCHED: (_E, _E, None, _E, None),
        ReceivingInput.CONTINUED: (_O, _O, _C, _S, _E),
        ReceivingInput.DISPLACED: ((_O, _RESET), (_O, _RESET), (_C, _RESET), _S, _E),
        ReceivingInput.ANEW: ((_O, _CLEAR),) * 5,
        # a peer that comes back to a link enters a later view, so an old one cannot follow its SWITCHED
        # as long as we are in step; if we have moved on meanwhile, the link is complete already
        ReceivingInput.OLD_ANEW: (_U, _O, None, _S, _S),
        ReceivingInput.PASSED: ((_S, _CLEAR), (_S, _CLEAR), (_E, _CLEAR), (_S, _CLEAR), (_E, _CLEAR)),
        ReceivingInput.RESET: ((_U, _CLEAR), (_O, _CLEAR), (_E, _CLEAR), (_S, _CLEAR), (_E, _CLEAR)),
        ReceivingInput.DRAINED: (_U, _O, _E, _S, _E),
    },
    _NOTHING,
    _REFUSE,
)
"""The next state and action for each input in each state of the receiving half."""

_CURRENT, _LEFT, _TOLD, _HEARD, _DONE = Sending

SENDING: Final = _table(
    Sending,
    {
        # the current link alone is left: the other columns are there so that every input has an answer
        SendingInput.LEAVE: ((_LEFT, SendingAction.SWITCH), _LEFT, _TOLD, _HEARD, _DONE),
        SendingInput.LEAVE_COMPLETE: ((_TOLD, SendingAction.TELL), _LEFT, _TOLD, _HEARD, _DONE),
        SendingInput.ALL_CAME: (
            _CURRENT,
            (_TOLD, SendingAction.TELL),
            _TOLD,
            (_DONE, SendingAction.FINISH),
            (_DONE, SendingAction.CLOSE),
        ),
        SendingInput.ACKNOWLEDGED: (None, _HEARD, _DONE, None, None),
        SendingInput.RETURN: (_CURRENT,) * 5,
    },
    SendingAction.NONE,
    SendingAction.REFUSE,
)
"""The next state and action for each input in each state of the sending half."""
