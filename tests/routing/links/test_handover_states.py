"""The tables of a handover are as documented, and no input is without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.links import handover_states
from routing_crust.routing.links.handover_states import (
    RECEIVING,
    SENDING,
    Receiving,
    ReceivingAction,
    ReceivingInput,
    Sending,
    SendingAction,
    SendingInput,
)

COLUMN = 16


def documented(states: type[Enum], inputs: type[Enum]) -> dict[tuple[str, str], list[str]]:
    """The words of each cell of the table with these states, by the names of its state and its input."""
    lines = iter((handover_states.__doc__ or "").splitlines())
    names = [each.name for each in states]
    for line in lines:
        if line.split() == names:
            break
    cells = {}
    for line in lines:
        if not line.strip():
            break
        name, *_ = line.split()
        rest = line[line.index(name) + 17 :]
        for number, state in enumerate(names):
            cells[state, name] = rest[number * COLUMN : (number + 1) * COLUMN].split()
    return cells


class TableTests(SynchronousTestCase):
    def check(
        self,
        states: type[Enum],
        inputs: type[Enum],
        table: Mapping[tuple[Enum, Enum], tuple[Enum, Enum]],
        refuse: Enum,
    ) -> None:
        self.assertEqual(set(table), {(state, taken) for state in states for taken in inputs})
        words = {
            (state.name, taken.name): (
                ["refuse"] if action is refuse else [new.name, *str(action.value).split()]
            )
            for (state, taken), (new, action) in table.items()
        }
        self.assertEqual(documented(states, inputs), words)

    def test_receiving_half_answers_every_input_as_documented(self) -> None:
        self.check(Receiving, ReceivingInput, RECEIVING, ReceivingAction.REFUSE)

    def test_sending_half_answers_every_input_as_documented(self) -> None:
        self.check(Sending, SendingInput, SENDING, SendingAction.REFUSE)

    def test_refused_input_changes_nothing(self) -> None:
        for (state, _), (new, action) in RECEIVING.items():
            if action is ReceivingAction.REFUSE:
                self.assertIs(new, state)
        for (left, _), (then, done) in SENDING.items():
            if done is SendingAction.REFUSE:
                self.assertIs(then, left)

    def test_reset_leaves_nothing_to_deliver(self) -> None:
        """After a reset no link waits to deliver what came before, and nothing is held back."""
        for state in Receiving:
            new, action = RECEIVING[state, ReceivingInput.RESET]
            self.assertIsNot(new, Receiving.CLOSING)
            self.assertIs(action, ReceivingAction.CLEAR)

    def test_void_input_is_neither_delivered_nor_a_reason_to_reset(self) -> None:
        for state in Receiving:
            for taken in (ReceivingInput.VOID_FRAME, ReceivingInput.VOID_SWITCHED):
                _, action = RECEIVING[state, taken]
                self.assertIn(action, (ReceivingAction.NONE, ReceivingAction.REFUSE))
