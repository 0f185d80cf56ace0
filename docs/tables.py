"""
The tables of the documentation that are made from the code, as reStructuredText: the settings, the messages,
what the numbers on the wire mean, and the state machine. Sphinx is not needed for this; see C{directives.py}.

Where the code does not say what a field or a number is for, the page does, in lines such as C{nonce: what it
is}. A line too many or too few is a L{ValueError}, so that no table can fall behind the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field
from enum import Enum
from importlib import import_module
from typing import Any, Final

import msgspec
from msgspec import inspect

from routing_crust.config import Role, setting_fields
from routing_crust.daemon.live.effects import AT_ONCE, is_applied_at_once
from routing_crust.errors import CloseReason
from routing_crust.parsing import DAEMON_KEYS, valid_range
from routing_crust.routing.state import Machine, State, StateCore, make_machine
from routing_crust.wire import end_to_end, members, messages, tunnels
from routing_crust.wire.fields import MAX_WIRE_NUMBER

# The settings.

GROUPS: Final[dict[str, Callable[[Field[Any]], bool]]] = {
    "operator": lambda each: not each.metadata["advanced"],
    "time": lambda each: each.metadata["advanced"] and each.metadata["unit"] == "s",
    "sizes": lambda each: each.metadata["advanced"] and each.metadata["unit"] in ("B", "B/s"),
    "counts": lambda each: each.metadata["advanced"] and each.metadata["unit"] in ("", "/s", "/min"),
}


def settings_table(group: str) -> str:
    """A table of the settings of one of the L{GROUPS}."""
    chosen = [each for each in setting_fields() if GROUPS[group](each)]
    rows = [(f"``{each.name}``", _default(each), _valid(each), _help(each)) for each in chosen]
    return table(("setting", "default", "valid", "what it is"), (22, 18, 20, 40), rows)


def effects_table(which: str) -> str:
    """
    A table of the settings and options that are applied while a daemon runs, or of those that need a restart.

    @param which: C{at-once} or C{restart}.
    @raise KeyError: it is neither.
    """
    settings = [each.name for each in setting_fields()]
    at_once = {"at-once": True, "restart": False}[which]
    chosen = sorted(each for each in (*settings, *DAEMON_KEYS) if is_applied_at_once(each) is at_once)
    if not at_once:
        return ", ".join(f"``{each}``" for each in chosen) + "\n"
    return table(
        ("setting", "what becomes of what goes on"),
        (30, 70),
        [(f"``{each}``", AT_ONCE[each]) for each in chosen],
    )


_UNITS: Final = {
    "BYTES_PER_SECOND": "B/s",
    "BYTES": "B",
    "SECONDS": "s",
    "PER_SECOND": "/s",
    "PER_MINUTE": "/min",
}
"""What the last words of a constant's name say of its unit."""


def limits_table(title: str, lines: Iterable[str]) -> str:
    """
    A table of limits: settings that move them, or constants.

    @param title: the head of the first column.
    @param lines: C{what is limited: setting, module.CONSTANT}, the module seen from the package.
    @raise KeyError: there is no such setting.
    @raise AttributeError: there is no such constant.
    """
    settings = {each.name: each for each in setting_fields()}
    rows = []
    for line in filter(None, map(str.strip, lines)):
        what, _, names = line.rpartition(":")
        chosen = [_limit(name.strip(), settings) for name in names.split(",")]
        rows.append((what, *(", ".join(column) for column in zip(*chosen, strict=True))))
    return table((title, "setting, or constant", "default"), (40, 40, 20), rows)


def _limit(name: str, settings: Mapping[str, Field[Any]]) -> tuple[str, str]:
    module, _, constant = name.rpartition(".")
    if not module:
        return f"``{name}``", _default(settings[name])
    value = getattr(import_module(f"routing_crust.{module}"), constant)
    unit = next((unit for ending, unit in _UNITS.items() if constant.endswith(ending)), "")
    return f"``{constant}``", _amount(value, unit)


def _help(each: Field[Any]) -> str:
    # name@address is no address to write a mail to
    return str(each.metadata["help"]).replace("@", r"\@")


def _default(each: Field[Any]) -> str:
    default = each.default
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, tuple):
        return ", ".join(f"``{entry}``" for entry in default)
    return _amount(default, each.metadata.get("unit", ""))


def _amount(number: object, unit: str) -> str:
    if unit in ("B", "B/s") and isinstance(number, int):
        for size, prefix in ((1 << 20, "Mi"), (1 << 10, "Ki")):
            if number % size == 0 and number:
                return f"{number // size} {prefix}{unit}"
    return f"{number} {unit}".strip()


def _valid(each: Field[Any]) -> str:
    if isinstance(each.default, bool):
        return "true, false"
    if isinstance(each.default, Enum):
        return ", ".join(str(one.value) for one in type(each.default))
    if "of" in each.metadata:
        return "a list"
    return valid_range(each) or "a text"


# The messages.


def message_table(name: str, lines: Iterable[str]) -> str:
    """
    A table of the fields of a message, in their order on the wire.

    @param lines: C{field: meaning}, for the fields that the message's docstring says nothing of.
    @raise ValueError: a field has no meaning, or there is no field for one.
    """
    struct = _structs()[name]
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    meanings = _meanings(name, lines, [each.name for each in info.fields], _documented(struct))
    rows = [(f"``{each.name}``", type_text(each.type), meanings[each.name]) for each in info.fields]
    return table(("field", "on the wire", "what it is"), (20, 30, 50), rows, title=name)


def message_names() -> tuple[str, ...]:
    """The messages that there are."""
    return tuple(_structs())


def _structs() -> dict[str, type[msgspec.Struct]]:
    """All messages by their names."""
    found = [each for module in (messages, tunnels, members, end_to_end) for each in vars(module).values()]
    return {
        each.__name__: each
        for each in found
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__struct_fields__
    }


def _documented(struct: type) -> dict[str, str]:
    """What the docstring says of each field."""
    pairs = re.findall(r"@ivar (\w+): (.+?)(?=\n\s*@|\Z)", struct.__doc__ or "", re.DOTALL)
    return {
        field: re.sub(r"[LC]\{(.+?)\}", r"``\1``", " ".join(text.split())).removesuffix(".")
        for field, text in pairs
    }


def type_text(of: inspect.Type) -> str:
    """A type with its bounds, in words."""
    if isinstance(of, inspect.BytesType):
        return _length("bytes", of.min_length, of.max_length)
    if isinstance(of, inspect.StrType):
        return _length("characters", of.min_length, of.max_length)
    if isinstance(of, inspect.IntType):
        most = of.le if of.lt is None else of.lt - 1
        return f"{of.ge} to {'2^63 - 1' if most == MAX_WIRE_NUMBER else most}"
    if isinstance(of, inspect.VarTupleType):
        item = type_text(of.item_type)
        return _length(f"of {item if item[0] == '`' else f'({item})'}", of.min_length, of.max_length)
    if isinstance(of, inspect.UnionType):
        return " or ".join(type_text(each) for each in of.types)
    simple = {inspect.NoneType: "nil", inspect.BoolType: "true or false", inspect.FloatType: "a float"}
    return simple.get(type(of)) or f"``{of.cls.__name__}``"  # type: ignore[attr-defined]


def _length(what: str, least: int | None, most: int | None) -> str:
    if most is None:
        return what
    if least == most:
        return f"{most} {what}"
    return f"{least} to {most} {what}" if least else f"up to {most} {what}"


# What the numbers mean.


def numbers_table(path: str, lines: Iterable[str]) -> str:
    """
    A table of an enumeration.

    @param path: where it is, as C{routing_crust.errors.CloseReason}.
    @param lines: C{NAME: meaning}, for each member.
    @raise ValueError: a member has no meaning, or there is no member for one.
    """
    module, _, name = path.rpartition(".")
    members: Sequence[Any] = list(getattr(import_module(module), name))
    meanings = _meanings(name, lines, [each.name for each in members], {})
    if members and isinstance(members[0], CloseReason):
        rows = [(str(each.value), f"*{each.text}*", meanings[each.name]) for each in members]
        return table(("number", "in the log", "what it means, and what to do"), (8, 32, 60), rows)
    rows = [(str(each.value), f"``{each.name}``", meanings[each.name]) for each in members]
    return table(("number", "name", "what it is"), (10, 30, 60), rows)


# The state machine.

_EFFECTS: Final = {
    "begin_bootstrap": "begin to bootstrap",
    "schedule_retry": "bootstrap after the back-off",
    "listen_only": "wait for others",
    "shut_down": "close everything",
}
_WAYS: Final[dict[State, tuple[str, ...]]] = {
    State.DISCONNECTED: (),
    State.BOOTSTRAPPING: ("retry",),
    State.CONNECTED: ("retry", "proxy_confirmed", "table_entry_added"),
    State.TERMINATED: ("stop",),
}
"""The inputs that lead a new machine there, whatever its role."""


class _Recorder:
    """The outputs of a machine, noted down."""

    def __init__(self) -> None:
        self.effects: list[str] = []

    def state_changed(self, old: State, new: State) -> None:
        """The state is in the core."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.effects.append(_EFFECTS[name])


def inputs() -> tuple[str, ...]:
    """The names of the machine's inputs."""
    return tuple(name for name, each in vars(Machine).items() if callable(each) and not name.startswith("_"))


def answer(role: Role, state: State, taken: str) -> tuple[State, tuple[str, ...]]:
    """What a machine does upon an input: the next state, and what it has done, in words."""
    recorder = _Recorder()
    core = StateCore(role, recorder, 0)
    machine = make_machine(core)
    for each in _WAYS[state]:
        getattr(machine, each)()
    if core.state is not state:
        raise ValueError(f"the way to {state} leads to {core.state} now")
    recorder.effects.clear()
    getattr(machine, taken)()
    return core.state, tuple(recorder.effects)


def states_table(role: str) -> str:
    """The machine of a role: a row for each input, a column for each state. Empty is: nothing happens."""
    rows = [[f"``{taken}``", *(_cell(Role(role), state, taken) for state in State)] for taken in inputs()]
    return table(("input", *(state.value for state in State)), (24, 19, 19, 19, 19), rows)


def _cell(role: Role, state: State, taken: str) -> str:
    after, effects = answer(role, state, taken)
    moved = () if after is state else (f"**{after.value}**",)
    return "; ".join((*moved, *effects)) or "\\ "


# All of them.


def table(head: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]], title: str = "") -> str:
    """A list-table."""
    lines = [
        f".. list-table:: {title}".rstrip(),
        "   :header-rows: 1",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
    ]
    for row in (head, *rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'-' if number else '* -'} {cell}".replace("   - ", "     - "))
    return "\n".join(lines) + "\n"


def _meanings(
    what: str, lines: Iterable[str], expected: Sequence[str], known: Mapping[str, str]
) -> dict[str, str]:
    given: dict[str, str] = {}
    last = ""
    for line in lines:
        if line.startswith(" ") and last:
            given[last] += f" {line.strip()}"
        elif line.strip():
            last, _, text = line.partition(":")
            given[last] = text.strip()
    both = [each for each in given if each in known]
    missing = [each for each in expected if each not in given and each not in known]
    unknown = [each for each in given if each not in expected]
    if both or missing or unknown:
        raise ValueError(f"{what}: explained twice {both}, not explained {missing}, not there {unknown}")
    return {**known, **given}
