"""The state machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role
from routing_crust.routing.state import Machine, State, StateCore, make_machine

D, B, C, T = State.DISCONNECTED, State.BOOTSTRAPPING, State.CONNECTED, State.TERMINATED
INPUTS = (
    "start",
    "stop",
    "first_link_accepted",
    "proxy_confirmed",
    "table_entry_added",
    "bootstrap_failed",
    "last_link_lost",
    "retry",
)
# Written by hand: for each role, what happens in each state upon each input, in the order of INPUTS.
# The capital is the next state; then what is asked for: b)ootstrap, r)etry later, l)isten only, s)hut down.
TABLE = {
    Role.NODE: {
        D: "Bb Ts D  C  C  D  D  Bb",
        B: "B  Ts B  C  C  Dr Dr B ",
        C: "C  Ts C  C  C  C  Dr C ",
        T: "T  T  T  T  T  T  T  T ",
    },
    Role.CLIENT: {
        D: "Bb Ts D  C  D  D  D  Bb",
        B: "B  Ts B  C  B  Dr Dr B ",
        C: "C  Ts C  C  C  C  Dr C ",
        T: "T  T  T  T  T  T  T  T ",
    },
    Role.FIRST: {
        D: "Dl Ts C  D  C  D  D  Bb",
        B: "B  Ts C  B  C  Dr Dr B ",
        C: "C  Ts C  C  C  C  Dr C ",
        T: "T  T  T  T  T  T  T  T ",
    },
}
STATES = {"D": D, "B": B, "C": C, "T": T}
OUTPUTS = {"b": "begin_bootstrap", "r": "schedule_retry", "l": "listen_only", "s": "shut_down"}
# How a machine is brought into each state.
WAYS = {
    Role.NODE: {D: (), B: ("start",), C: ("start", "table_entry_added"), T: ("stop",)},
    Role.CLIENT: {D: (), B: ("start",), C: ("start", "proxy_confirmed"), T: ("stop",)},
    Role.FIRST: {D: (), B: ("retry",), C: ("start", "first_link_accepted"), T: ("stop",)},
}


class Outputs:
    """Notes what the machine asks for; can be told to give an input from within an output."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.react: dict[str, list[str]] = {}
        self.machine: Machine | None = None

    def state_changed(self, old: State, new: State) -> None:
        self.note("state_changed", (old, new))

    def begin_bootstrap(self) -> None:
        self.note("begin_bootstrap", "begin_bootstrap")

    def schedule_retry(self) -> None:
        self.note("schedule_retry", "schedule_retry")

    def listen_only(self) -> None:
        self.note("listen_only", "listen_only")

    def shut_down(self) -> None:
        self.note("shut_down", "shut_down")

    def note(self, name: str, what: object) -> None:
        self.done.append(what)
        for each in self.react.pop(name, ()):
            getattr(self.machine, each)()
            self.done.append(f"gave {each}")


def machine_in(role: Role, state: State) -> tuple[Machine, StateCore, Outputs]:
    """A machine in this state, with what led there forgotten."""
    outputs = Outputs()
    core = StateCore(role, outputs, 7)
    machine = outputs.machine = make_machine(core)
    for each in WAYS[role][state]:
        getattr(machine, each)()
    outputs.done.clear()
    return machine, core, outputs


def expected_of(role: Role, state: State, taken: str) -> tuple[State, list[object]]:
    """What the table says: the next state, and what is asked of the owner."""
    row = TABLE[role][state]
    cell = row[3 * INPUTS.index(taken) :][:2]
    new = STATES[cell[0]]
    done: list[object] = [] if new is state else [(state, new)]
    if cell[1:].strip():
        done.append(OUTPUTS[cell[1]])
    return new, done


class StateTests(SynchronousTestCase):
    def test_there_are_four_named_states(self) -> None:
        names = [each.name for each in State]
        self.assertEqual(names, ["DISCONNECTED", "BOOTSTRAPPING", "CONNECTED", "TERMINATED"])

    def test_every_state_answers_every_input_as_the_table_says(self) -> None:
        checked = 0
        for role in Role:
            for state in State:
                for taken in INPUTS:
                    machine, core, outputs = machine_in(role, state)
                    self.assertIs(core.state, state)
                    getattr(machine, taken)()
                    new, done = expected_of(role, state, taken)
                    where = f"{role} {state} {taken}"
                    self.assertIs(core.state, new, where)
                    self.assertEqual(outputs.done, done, where)
                    checked += 1
        self.assertEqual(checked, 3 * 4 * 8)

    @given(st.sampled_from(Role), st.lists(st.sampled_from(INPUTS), max_size=40))
    def test_any_sequence_of_inputs_follows_the_table(self, role: Role, sequence: list[str]) -> None:
        """However the inputs follow each other, each step is as the table says; the end is final."""
        machine, core, outputs = machine_in(role, D)
        state = D
        for taken in sequence:
            outputs.done.clear()
            getattr(machine, taken)()
            new, done = expected_of(role, state, taken)
            self.assertIs(core.state, new)
            self.assertEqual(outputs.done, done)
            if state is T:
                self.assertEqual((new, done), (T, []))
            state = new

    def test_input_from_within_an_output_is_handled_afterwards(self) -> None:
        """It is handled once the running input is done, and in the state that this one led to."""
        machine, core, outputs = machine_in(Role.NODE, D)
        outputs.react = {"state_changed": ["bootstrap_failed"]}
        machine.start()
        self.assertIs(core.state, D)
        self.assertEqual(
            outputs.done,
            [(D, B), "gave bootstrap_failed", "begin_bootstrap", (B, D), "schedule_retry"],
        )

    def test_owner_may_stop_from_within_an_output(self) -> None:
        """An owner that stops as soon as it is connected ends up stopped, once."""
        machine, core, outputs = machine_in(Role.NODE, B)
        outputs.react = {"state_changed": ["stop", "stop"]}
        machine.table_entry_added()
        self.assertIs(core.state, T)
        self.assertEqual(outputs.done, [(B, C), "gave stop", "gave stop", (C, T), "shut_down"])

    def test_machines_share_nothing(self) -> None:
        """A new start gets a machine of its own, whatever became of the one before."""
        old, old_core, _ = machine_in(Role.NODE, T)
        new, new_core, _ = machine_in(Role.NODE, D)
        new.start()
        old.start()
        self.assertEqual((old_core.state, new_core.state), (T, B))
