"""
What is public: a list in the documentation, which the examples and the pages keep to.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import cleandoc, getdoc
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import routing_crust

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "routing_crust"


def read(path: Path) -> str:
    if not path.exists():
        raise SkipTest(f"{path.name} is not here: it is not installed")
    return path.read_text(encoding="utf-8")


def public_modules() -> list[str]:
    """The modules that docs/public.rst names in its table."""
    return re.findall(r"^   \* - ``([\w.]+)``$", read(ROOT / "docs" / "public.rst"), re.MULTILINE)


def code_blocks(text: str) -> Iterator[str]:
    for found in re.finditer(r"^\.\. code-block:: python\n((?:\n| +.*\n?)+)", text, re.MULTILINE):
        yield dedent(found[1])


def programs() -> dict[str, list[str]]:
    """All the Python that users are shown, by where it stands."""
    read(ROOT / "README.rst")
    examples = sorted((ROOT / "examples").glob("*.py")) + sorted((ROOT / "examples").glob("*.tac"))
    pages = [ROOT / "README.rst", *sorted((ROOT / "docs").glob("*.rst"))]
    return {path.name: [read(path)] for path in examples} | {
        path.name: blocks for path in pages if (blocks := list(code_blocks(read(path))))
    }


def imports(source: str) -> Iterator[tuple[str, str | None]]:
    """The module, and the name in it, of each import from this package."""
    # the blocks of a page may await outside of a function
    tree = compile(source, "shown", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            pairs: list[tuple[str, str | None]] = [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            pairs = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        yield from (pair for pair in pairs if pair[0].partition(".")[0] == PACKAGE)


def is_public(module: str, name: str | None) -> bool:
    if name is not None and f"{module}.{name}" in public_modules():
        return True
    return module in public_modules() and (name is None or name in import_module(module).__all__)


class PublicTests(SynchronousTestCase):
    def test_every_program_that_users_are_shown_imports_only_public_names(self) -> None:
        shown = programs()
        self.assertTrue({"greeter.py", "node.tac", "README.rst", "embedding.rst"} <= set(shown))
        pairs = [
            (where, *pair) for where, sources in shown.items() for each in sources for pair in imports(each)
        ]
        self.assertGreater(len(pairs), 30)
        self.assertEqual([pair for pair in pairs if not is_public(*pair[1:])], [])

    def test_repr_of_a_node_and_of_its_endpoints_says_which(self) -> None:
        service = routing_crust.RoutingService(routing_crust.Settings(network="lab"))
        short = service.node_name.short
        self.assertEqual(repr(service), f"<RoutingService {short} in lab, disconnected>")
        server = routing_crust.RoutingServerEndpoint(service, "echo")
        self.assertEqual(repr(server), f"<RoutingServerEndpoint 'echo' of {service!r}>")
        client = routing_crust.RoutingClientEndpoint(service, service.node_name, "echo")
        self.assertEqual(repr(client), f"<RoutingClientEndpoint 'echo' of {short} from {service!r}>")

    def test_private_imports_are_found(self) -> None:
        """The test above would see a private module, a private name, and a folder of the package."""
        source = dedent(
            """
            import routing_crust.wire.codec
            from routing_crust import Name, steady
            from routing_crust.routing.events import LinkLost
            async def f():
                from routing_crust import routing
            """
        )
        private = [pair for pair in imports(source) if not is_public(*pair)]
        self.assertEqual(
            private,
            [
                ("routing_crust.wire.codec", None),
                ("routing_crust", "steady"),
                ("routing_crust.routing.events", "LinkLost"),
                ("routing_crust", "routing"),
            ],
        )

    def test_every_public_module_names_what_it_exports(self) -> None:
        self.assertGreater(len(public_modules()), 5)
        for each in public_modules():
            module = import_module(each)
            self.assertEqual([name for name in module.__all__ if not hasattr(module, name)], [], each)
            self.assertIsNotNone(getdoc(module), each)

    def test_docstring_of_the_package_lists_every_name_and_public_module(self) -> None:
        text = cleandoc(routing_crust.__doc__ or "")
        listed = set(re.findall(r"L\{([\w.]+)\}", text))
        expected = {*routing_crust.__all__, *public_modules(), "RoutingService.observe"}
        self.assertEqual(listed, expected - {"__version__", PACKAGE})

    def test_example_in_the_docstring_of_the_package_runs(self) -> None:
        """It is what C{help(routing_crust)} shows first."""
        text = cleandoc(routing_crust.__doc__ or "")
        begin = text.index("    from twisted")
        source = dedent(text[begin : text.index("What most programs need")])
        self.assertLess(text[:begin].count("\n"), 6)
        run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, "b'hello world'\n"), run.stderr)

    def test_the_stub_for_type_checkers_says_where_each_name_is(self) -> None:
        stub = ast.parse(read(ROOT / PACKAGE / "__init__.pyi"))
        imported = {
            alias.name: node.module
            for node in stub.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.assertEqual(imported, routing_crust._MODULES)
        listed = [ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)]
        self.assertEqual([sorted(each) for each in listed], [sorted(routing_crust.__all__)])

    def test_a_name_that_the_package_does_not_have_is_refused(self) -> None:
        with self.assertRaisesRegex(AttributeError, "module 'routing_crust' has no attribute 'Nonsense'"):
            _ = routing_crust.Nonsense
        self.assertFalse(hasattr(routing_crust, "__wrapped__"))
        self.assertTrue(set(routing_crust.__all__) <= set(dir(routing_crust)))

    def test_importing_the_package_loads_nothing_of_twisted(self) -> None:
        """A program that only makes a C{Settings} should not wait for what it does not use."""
        for statement in ("import routing_crust", "from routing_crust import Contact, Name, Role, Settings"):
            code = f"import sys; {statement}; print([each for each in sys.modules if 'twisted' in each])"
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
            run = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
            )
            self.assertEqual(run.stdout.strip(), "[]", statement)

    def test_importing_the_package_loads_neither_the_daemon_nor_a_reactor(self) -> None:
        heavy = ["daemon", "testing", "aio", "crust.service"]
        names = [f"{PACKAGE}.{each}" for each in heavy] + ["twisted.internet.reactor", "twisted.web"]
        loaded = f"[each for each in {names!r} if each in sys.modules]"
        code = f"import sys; from routing_crust import *; print({loaded})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        self.assertEqual(run.stdout.strip(), "[]")
