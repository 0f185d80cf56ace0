"""
Which modules of tests go into which run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

REACTOR = frozenset(("twisted.internet.reactor", "twisted.trial.unittest.TestCase"))
"""What a module imports that runs on a real reactor: the reactor, or tests that wait for it."""


def test_modules(tests: Path) -> tuple[str, ...]:
    """The names of all modules with tests in them."""
    return tuple(sorted(_name(each, tests) for each in tests.rglob("test_*.py")))


def on_a_reactor(tests: Path) -> tuple[str, ...]:
    """
    The modules with tests that run on a real reactor, by themselves or by way of a helper that they import.

    All others are on a fake clock, and know no difference between one reactor and another.
    """
    imports = {_name(each, tests): set(_imports(each, tests)) for each in tests.rglob("*.py")}

    def reaches(name: str, seen: set[str]) -> bool:
        seen.add(name)
        found = imports[name]
        return bool(found & REACTOR) or any(
            reaches(each, seen) for each in sorted(found & imports.keys()) if each not in seen
        )

    return tuple(each for each in test_modules(tests) if reaches(each, set()))


def within(modules: Iterable[str], rooms: Iterable[str]) -> tuple[str, ...]:
    """The modules that are one of these or in one of these folders."""
    rooms = tuple(rooms)
    return tuple(
        each for each in modules if any(each == room or each.startswith(f"{room}.") for room in rooms)
    )


def without(modules: Iterable[str], rooms: Iterable[str]) -> tuple[str, ...]:
    """The modules that are neither one of these nor in one of these folders."""
    modules = tuple(modules)
    left_out = set(within(modules, rooms))
    return tuple(each for each in modules if each not in left_out)


def _name(path: Path, tests: Path) -> str:
    return ".".join(path.relative_to(tests.parent).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, tests: Path) -> Iterator[str]:
    """The names of all that a module imports, in functions too: of modules, and of what is in them."""
    name = _name(path, tests)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            # from twisted.trial import unittest
            if (node.value.id, node.attr) == ("unittest", "TestCase"):
                yield "twisted.trial.unittest.TestCase"
