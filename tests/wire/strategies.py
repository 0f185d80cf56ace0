"""Hypothesis strategies for every message, made from the messages' own types."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct, inspect

from routing_crust.wire import end_to_end, members, messages, tunnels

# Those that begin with Wire are parts of others.
MESSAGES: tuple[type[Any], ...] = tuple(
    each
    for module in (messages, tunnels, members, end_to_end)
    for name, each in sorted(vars(module).items())
    if isinstance(each, type) and issubclass(each, Struct) and each is not Struct and name[:4] != "Wire"
)


def _strategy(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type, within its constraints."""
    if isinstance(kind, inspect.StructType):
        return st.builds(kind.cls, *(_strategy(field.type) for field in kind.fields))
    if isinstance(kind, inspect.UnionType):
        return st.one_of(*map(_strategy, kind.types))
    if isinstance(kind, inspect.VarTupleType):
        most = 4 if kind.max_length is None else min(kind.max_length, 4)
        return st.lists(_strategy(kind.item_type), min_size=kind.min_length or 0, max_size=most).map(tuple)
    if isinstance(kind, inspect.BytesType):
        most = 200 if kind.max_length is None else kind.max_length
        return st.binary(min_size=kind.min_length or 0, max_size=most)
    if isinstance(kind, inspect.StrType):
        return st.text(min_size=kind.min_length or 0, max_size=kind.max_length)
    if isinstance(kind, inspect.IntType):
        most = kind.le if kind.lt is None else kind.lt - 1
        return st.integers(kind.ge, most)
    if isinstance(kind, inspect.FloatType):
        return st.floats(kind.ge, kind.le, allow_nan=False)
    if isinstance(kind, inspect.EnumType):
        return st.sampled_from(kind.cls)
    return {inspect.BoolType: st.booleans(), inspect.NoneType: st.none()}[type(kind)]


def of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Messages of one type."""
    return _strategy(inspect.type_info(kind))


any_message = st.one_of(*map(of, MESSAGES))
