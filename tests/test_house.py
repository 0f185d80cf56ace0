"""How the package is laid out: small folders, one meaning a class name, constructors with few arguments."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import routing_crust

PACKAGE = Path(routing_crust.__file__).parent
MAX_MODULES = 16
MAX_DEPTH = 3
MAX_ARGUMENTS = 6
"""Of a constructor, beside the C{Node}."""


@cache
def classes() -> tuple[tuple[Path, ast.ClassDef], ...]:
    """Each class that the package defines, with its module."""
    return tuple(
        (module.relative_to(PACKAGE), statement)
        for module in sorted(PACKAGE.rglob("*.py"))
        for statement in ast.walk(ast.parse(module.read_text()))
        if isinstance(statement, ast.ClassDef)
    )


def arguments_of(constructor: ast.FunctionDef) -> list[str]:
    """Its arguments without itself and the C{Node}."""
    given = [*constructor.args.posonlyargs, *constructor.args.args, *constructor.args.kwonlyargs]
    return [
        each.arg for each in given[1:] if each.annotation is None or ast.unparse(each.annotation) != "Node"
    ]


class HouseTests(SynchronousTestCase):
    def test_folder_holds_at_most_16_modules(self) -> None:
        folders = [PACKAGE, *(each.parent for each in PACKAGE.rglob("__init__.py"))]
        sizes = {each: sum(not file.stem.startswith("__") for file in each.glob("*.py")) for each in folders}
        self.assertEqual({each: size for each, size in sizes.items() if size > MAX_MODULES}, {})

    def test_folders_are_nested_at_most_three_deep(self) -> None:
        depths = {file: len(file.relative_to(PACKAGE).parts) - 1 for file in PACKAGE.rglob("*.py")}
        self.assertEqual({file for file, depth in depths.items() if depth > MAX_DEPTH}, set())

    def test_class_name_stands_in_one_module(self) -> None:
        modules: dict[str, set[Path]] = defaultdict(set)
        for module, each in classes():
            modules[each.name].add(module)
        self.assertEqual({name: found for name, found in modules.items() if len(found) > 1}, {})

    def test_constructor_takes_at_most_six_arguments(self) -> None:
        too_many = {
            each.name: arguments_of(member)
            for _, each in classes()
            for member in each.body
            if isinstance(member, ast.FunctionDef)
            and member.name == "__init__"
            and len(arguments_of(member)) > MAX_ARGUMENTS
        }
        self.assertEqual(too_many, {})
