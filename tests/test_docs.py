"""
The documentation: its Python runs, its files can be read, its tables are complete, and the words that it
quotes are those of the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from routing_crust import RoutingService, errors
from routing_crust.config import Role, Settings
from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.manual.parsers import subparsers
from routing_crust.daemon.options import Options
from routing_crust.daemon.settings_file import merge_settings, read_settings_file
from routing_crust.routing.state import State

from .routing.net import Net

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
QUOTING = (
    "architecture",
    "daemon",
    "asyncio",
    "embedding",
    "endpoints",
    "errors",
    "forwarding",
    "members",
    "nat",
    "public",
    "reference",
    "running",
    "security",
    "settings",
    "states",
    "streams",
    "testing",
    "wire",
)
"""The pages that are about what is in the package."""
SYSTEM = {"AF_NETLINK", "DirtyReactorAggregateError"}
"""What the pages name that is not ours."""
RUN = ("asyncio", "endpoints", "first-hour", "forwarding", "open-networks")
MAX_NOT_RUN = 40
"""The commands of the pages that nothing runs. Each says why."""
TABLES = ("settings", "limits", "message", "numbers", "states", "commands")


def page(name: str) -> str:
    if not DOCS.is_dir():
        raise SkipTest("the documentation is not here: it is not installed")
    return (DOCS / f"{name}.rst").read_text(encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    page("index")
    for path in sorted(DOCS.glob("*.rst"), key=lambda each: each.stem):
        yield path.stem, path.read_text(encoding="utf-8")


def directives(text: str, name: str) -> Iterator[tuple[str, str]]:
    """The argument and the content of each directive of this name."""
    pattern = rf"^\.\. {name}:: (.*)\n((?:\n| +.*\n)*)"
    for found in re.finditer(pattern, text, re.MULTILINE):
        yield found[1], dedent(found[2]).strip()


def section(text: str, title: str) -> str:
    """What stands under a title, up to the next one."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^[^\n]+\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


class CodeTests(TestCase):
    async def test_python_of_the_embedding_page_runs_and_stops_what_it_starts(self) -> None:
        blocks = [content for language, content in directives(page("embedding"), "code-block")]
        self.assertGreater(len(blocks), 5)
        printed: list[tuple[object, ...]] = []
        names: dict[str, Any] = {"print": lambda *words: printed.append(words)}
        self.addCleanup(self.stop_all, names)
        for block in blocks:
            code = compile(block, "embedding.rst", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await Deferred.fromCoroutine(result)
        services = [each for each in names.values() if isinstance(each, RoutingService)]
        self.assertEqual([each.state for each in services], [State.TERMINATED] * 3)
        self.assertEqual([each.new for each in names["changes"]], [])

    async def stop_all(self, names: dict[str, Any]) -> None:
        for each in names.values():
            if isinstance(each, RoutingService) and each.running:
                await each.stopService()

    def test_no_other_page_holds_python_that_nothing_runs(self) -> None:
        found = [
            name
            for name, text in pages()
            for language, _ in directives(text, "code-block")
            if language == "python"
        ]
        self.assertEqual(set(found), {"embedding"})


class PageTextTests(SynchronousTestCase):
    """What is done with the text of every page."""

    def setUp(self) -> None:
        page("index")
        if find_spec("docutils") is None:
            raise SkipTest("docutils is not installed: it comes with the extra docs")
        sys.path.insert(0, str(DOCS))
        self.addCleanup(sys.path.remove, str(DOCS))
        self.texts = import_module("page_texts")
        self.pages = self.texts.api_pages()

    def linked(self, text: str) -> list[str]:
        """Where the words of a page lead."""
        core = import_module("docutils.core")
        nodes = import_module("docutils.nodes")
        document = core.publish_doctree(text, settings_overrides={"doctitle_xform": False})
        self.texts.link_names(document, self.pages, "api/")
        return [each["refuri"] for each in document.findall(nodes.reference)]

    def test_session_and_commands_and_other_text_are_told_apart(self) -> None:
        self.assertEqual(self.texts.language_of("$ cd there\nthere"), "console")
        self.assertEqual(self.texts.language_of("routing-crust join rc1..."), "bash")
        self.assertEqual(self.texts.language_of("FIRST=$(routing-crust name)@127.0.0.1:5501"), "bash")
        self.assertEqual(self.texts.language_of("length | kind | body"), "text")

    def test_public_names_lead_to_their_pages_once_in_a_section(self) -> None:
        text = "One\n===\n\n``RoutingService``, ``RoutingService``, ``RoutingService.connect()``.\n"
        page = "api/routing_crust.RoutingService.html"
        connect = "api/routing_crust.routing.links_by_name.LinksByName.html#connect"
        self.assertEqual(self.linked(text), [page, connect])
        self.assertEqual(self.linked(f"{text}\nTwo\n---\n\n``RoutingService``\n"), [page, connect, page])

    def test_method_leads_to_the_class_that_has_it(self) -> None:
        text = "One\n===\n\n``RoutingService.status()``, ``RoutingService.send()``.\n"
        own, base = self.linked(text)
        self.assertEqual(own, "api/routing_crust.RoutingService.html#status")
        self.assertEqual(base, "api/routing_crust.routing.messages_by_name.MessagesByName.html#send")

    def test_name_in_a_title_or_a_link_is_left_alone(self) -> None:
        self.assertEqual(self.linked("``RoutingService``\n==================\n\nThere it is.\n"), [])

    def test_pages_name_the_module_that_documents_what_two_export(self) -> None:
        self.assertEqual(self.pages["Contact"], "routing_crust.endpoints.Contact.html")
        self.assertEqual(self.pages["Streams"], "routing_crust.streams.Streams.html")
        self.assertEqual(self.pages["create_identity"], "routing_crust.html#create_identity")


class CommandTests(SynchronousTestCase):
    """
    Each command of the pages is run as it stands, or says why not: C{tests.integration.test_pages} runs those
    with a prompt on the pages of L{RUN}, C{tests.natlab.test_typed_pages} those below C{.. on: MACHINE}.
    """

    def setUp(self) -> None:
        page("index")
        if find_spec("docutils") is None:
            raise SkipTest("docutils is not installed: it comes with the extra docs")
        sys.path.insert(0, str(DOCS))
        self.addCleanup(sys.path.remove, str(DOCS))
        self.language_of = import_module("page_texts").language_of

    def blocks(self, text: str) -> Iterator[tuple[str, str]]:
        """Each block of shell, and the marker before it or before the paragraph that introduces it."""
        pieces = [each for each in re.split(r"\n\s*\n", text) if each.strip()]
        for number, piece in enumerate(pieces):
            before = pieces[max(number - 1, 0)]
            named = re.match(r"\.\. code-block:: (console|bash)$", before)
            starts = re.search(r"::$", before) is not None and not before.startswith("..")
            if not piece.startswith(" ") or not (named or starts):
                continue
            code = dedent(piece)
            if named or self.language_of(code) in ("console", "bash"):
                yield code, next((each for each in pieces[max(number - 2, 0) : number - 1]), "")

    def every_block(self) -> Iterator[tuple[str, str, str]]:
        """The same for all pages, with the name of each."""
        others = [ROOT / f"{name}.rst" for name in ("README", "CONTRIBUTING", "SECURITY")]
        for path in [*others, *sorted(DOCS.glob("*.rst"))]:
            for code, marker in self.blocks(path.read_text(encoding="utf-8")):
                yield path.stem, code, marker

    def test_every_command_is_run_or_says_why_not(self) -> None:
        loose = [
            f"{name}: {code.splitlines()[0]}"
            for name, code, marker in self.every_block()
            if not (name in RUN and code.startswith("$ ")) and not re.match(r"\.\. (on|not run): \w", marker)
        ]
        advice = "run them in tests.integration.test_pages, or write '.. not run: REASON' above the paragraph"
        self.assertEqual(loose, [], advice)

    def test_few_are_not_run_and_each_has_a_reason(self) -> None:
        reasons = [marker[12:] for _, _, marker in self.every_block() if marker.startswith(".. not run: ")]
        self.assertLessEqual(len(reasons), MAX_NOT_RUN)
        self.assertEqual([each for each in reasons if len(each.split()) < 3], [])

    def test_what_is_not_run_is_understood(self) -> None:
        """The parsers of the programs take each line, whatever stands for a name or an address in it."""
        lines = [
            line
            for _, code, marker in self.every_block()
            if marker[:6] == ".. not"
            for line in code.splitlines()
        ]
        understood = 0
        for line in lines:
            command = re.split(r" [<>|] ?| &&", re.sub(r"^[$#] ", "", line.strip()))[0]
            # what a command prints may have an apostrophe in it
            words = (
                shlex.split(command, comments=True) if re.match(r"routing-crust \w|twistd ", command) else []
            )
            if words[:1] == ["routing-crust"]:
                self.assertEqual(make_parser().parse_args(words[1:]).command, words[1], line)
            elif words[:1] == ["twistd"] and "routing-node" in words:
                Options().parseOptions(words[words.index("routing-node") + 1 :])
            else:
                continue
            understood += 1
        self.assertGreater(understood, 15)

    def test_command_without_a_marker_is_found(self) -> None:
        text = "So::\n\n    routing-crust status\n\n.. not run: it is far away\n\nOr::\n\n   $ ls\n   there\n"
        found = list(self.blocks(text))
        self.assertEqual([marker for _, marker in found], ["", ".. not run: it is far away"])
        self.assertEqual([code.split("\n", 1)[0] for code, _ in found], ["routing-crust status", "$ ls"])


class LinkTests(SynchronousTestCase):
    """The check of links inside the built pages finds what leads nowhere."""

    def setUp(self) -> None:
        page("index")
        sys.path.insert(0, str(DOCS))
        self.addCleanup(sys.path.remove, str(DOCS))
        self.checker = import_module("check_links")

    def problems(self, *links: str) -> list[str]:
        folder = Path(self.mktemp())
        folder.mkdir()
        text = "".join(f'<a href="{each}">there</a>' for each in links)
        (folder / "one.html").write_text(f'<p id="here"><a name="old"></a>{text}</p>')
        return [each.split(": ")[1] for each in self.checker.problems(folder)]

    def test_places_that_are_there_and_other_sites_are_no_problem(self) -> None:
        self.assertEqual(self.problems("#here", "one.html#old", "one.html", "https://example.org/#x"), [])

    def test_missing_file_and_missing_place_and_mail_are_named(self) -> None:
        links = ["two.html", "#there", "one.html#there", "mailto:name%40address"]
        self.assertEqual(self.problems(*links), links)


class PartsTests(SynchronousTestCase):
    def test_every_page_stands_in_one_of_the_four_parts(self) -> None:
        parts = dict(re.findall(r"^   :caption: (.+)\n\n((?:   \S+\n)+)", page("index"), re.MULTILINE))
        self.assertEqual(list(parts), ["Tutorials", "How-to guides", "Reference", "Explanation"])
        placed = sorted(name for each in parts.values() for name in each.split())
        self.assertEqual(placed, [name for name, _ in pages() if name != "index"])


class FileTests(SynchronousTestCase):
    def test_settings_file_of_the_page_can_be_used_as_it_stands(self) -> None:
        ((_, content),) = (each for each in directives(page("daemon"), "code-block") if each[0] == "toml")
        path = Path(self.mktemp())
        path.write_text(content, encoding="utf-8")
        settings = merge_settings({}, read_settings_file(path), path)
        self.assertEqual(settings.network, "example")
        self.assertEqual(len(settings.contacts), 2)
        self.assertEqual(settings.relay_rate, 4 * 1024 * 1024)

    def test_pages_name_no_local_paths(self) -> None:
        """A folder of the author means nothing to a reader."""
        for name, text in pages():
            self.assertNotRegex(text, r"/(work|tmp/v|root|home/\w+)/", name)


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        page("index")
        sys.path.insert(0, str(DOCS))
        self.addCleanup(sys.path.remove, str(DOCS))
        self.tables = import_module("tables")

    def make(self, name: str, argument: str, content: str) -> str:
        """What the directive makes."""
        lines = content.splitlines()
        makers = {
            "settings": lambda: self.tables.settings_table(argument),
            "limits": lambda: self.tables.limits_table(argument, lines),
            "message": lambda: self.tables.message_table(argument, lines),
            "numbers": lambda: self.tables.numbers_table(argument, lines),
            "states": lambda: self.tables.states_table(argument),
            "commands": lambda: import_module("command_tables").commands_table(argument),
        }
        return str(makers[name]())

    def test_every_table_can_be_made_without_a_missing_or_unknown_entry(self) -> None:
        made = [
            self.make(name, argument, content)
            for _, text in pages()
            for name in TABLES
            for argument, content in directives(text, name)
        ]
        self.assertGreater(len(made), 20)
        for each in made:
            self.assertTrue(each.startswith(".. list-table::"))

    def test_page_of_settings_lists_each_setting_once(self) -> None:
        groups = [argument for argument, _ in directives(page("settings"), "settings")]
        text = "".join(self.tables.settings_table(each) for each in groups)
        found = re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)
        self.assertEqual(sorted(found), sorted(Settings.__dataclass_fields__))

    def test_page_of_the_daemon_lists_each_command_and_option_once(self) -> None:
        made = [self.make("commands", argument, "") for argument, _ in directives(page("daemon"), "commands")]
        options, commands = (re.findall(r"^   \* - ``(.+)``$", each, re.MULTILINE) for each in made)
        wanted = subparsers(make_parser())
        found = [
            next(name for name in sorted(wanted, key=len)[::-1] if each.startswith(name)) for each in commands
        ]
        self.assertEqual(found, list(wanted))
        self.assertEqual(len(set(options)), len(options))
        named = {each.partition("=")[0] for each in options}
        self.assertTrue({"--listen", "--state-dir", "--drain", "--set", "--help"} <= named, named)

    def test_settings_are_shown_in_words(self) -> None:
        """Defaults and ranges are readable."""
        text = self.tables.settings_table("sizes")
        self.assertIn("``stream_window``\n     - 256 KiB\n     - 16384 to 67108864 B\n", text)
        self.assertIn("- 8 MiB/s", text)

    def test_page_of_the_wire_lists_each_message_once(self) -> None:
        found = [argument for argument, _ in directives(page("wire"), "message")]
        self.assertEqual(sorted(found), sorted(self.tables.message_names()))

    def test_types_and_bounds_of_fields_are_shown_in_words(self) -> None:
        text = self.make("message", "GroupAnswer", "nonce: a\ntarget: b\nmembers: c")
        self.assertIn("``nonce``\n     - 16 bytes\n     - a\n", text)
        self.assertIn("up to 64 of (32 bytes)", text)

    def test_field_or_meaning_without_the_other_stops_the_build(self) -> None:
        self.assertRaises(ValueError, self.make, "message", "GroupQuery", "")
        self.assertRaises(ValueError, self.make, "message", "GroupQuery", "nonce: a\nother: b")
        self.assertRaises(ValueError, self.make, "message", "ConfirmationAck", "epoch: a\nepoch2: b")
        self.assertRaises(
            ValueError, self.make, "numbers", "routing_crust.wire.messages.LinkUse", "MEMBER: a"
        )
        self.assertRaises(KeyError, self.make, "limits", "limit", "something: no_such_setting")

    def test_table_of_states_agrees_with_the_state_machines(self) -> None:
        ask = self.tables.answer
        self.assertEqual(
            ask(Role.NODE, State.DISCONNECTED, "start"), (State.BOOTSTRAPPING, ("begin to bootstrap",))
        )
        self.assertEqual(
            ask(Role.FIRST, State.DISCONNECTED, "start"), (State.DISCONNECTED, ("wait for others",))
        )
        self.assertEqual(ask(Role.CLIENT, State.TERMINATED, "start"), (State.TERMINATED, ()))
        self.assertEqual(ask(Role.CLIENT, State.BOOTSTRAPPING, "proxy_confirmed"), (State.CONNECTED, ()))
        self.assertIn("``stop``\n     - **terminated**; close everything", self.tables.states_table("first"))


class WordTests(SynchronousTestCase):
    """The pages quote the code; what they quote is there."""

    def source(self) -> str:
        page("index")
        folders = (ROOT / "routing_crust", ROOT / "examples", ROOT / "docs")
        paths = [path for each in folders for path in sorted(each.rglob("*.py"))]
        paths += sorted((ROOT / "tests").glob("memory*.py"))
        return "\n".join(path.read_text(encoding="utf-8") for path in paths)

    def test_every_code_name_in_the_text_exists(self) -> None:
        known = {*re.findall(r"\w+", self.source()), *SYSTEM}
        for name in QUOTING:
            whole = page(name)
            # the first column of the reference has the words of another text
            ours = re.findall(r"^   \* - .*\n((?:     .*\n)+)", whole, re.MULTILINE)
            text = "\n".join(ours) if name == "reference" else whole
            literals = re.findall(r"``([A-Za-z_.]+)(?:\(.*?\))?``", text)
            words = [word for literal in literals for word in literal.split(".")]
            names = [word for word in words if "_" in word or re.search(r"[a-z][A-Z]", word)]
            self.assertEqual([word for word in names if word not in known], [], name)

    def test_every_error_is_listed_with_whether_connecting_fails_with_it(self) -> None:
        rows = re.findall(r"^   \* - ``(\w+)``\n     -( yes)?$", page("errors"), re.MULTILINE)
        kinds = {each: getattr(errors, each) for each in errors.__all__}
        expected = {
            each: " yes" if issubclass(kind, ConnectError) else ""
            for each, kind in kinds.items()
            if issubclass(kind, Exception)
        }
        self.assertEqual(dict(rows), expected)

    def test_every_module_that_the_architecture_names_is_there(self) -> None:
        """Its table is how a newcomer finds a behaviour, so it has to follow each move."""
        text = page("architecture")
        paths = set(re.findall(r"``(?:routing_crust/)?((?:\w+/)+\w+\.py)``", text))
        self.assertGreater(len(paths), 40)
        roots = (ROOT / "routing_crust", ROOT / "routing_crust" / "routing")
        self.assertEqual([each for each in paths if not any((root / each).exists() for root in roots)], [])
        folders = set(re.findall(r"``((?:\w+/)+)``", text)) - {"routing_crust/"}
        package = ROOT / "routing_crust"
        there = {f"{each.parent.relative_to(package)}/" for each in package.rglob("__init__.py")} - {"./"}
        self.assertEqual(there - folders, set())

    def test_every_file_that_a_page_names_is_there(self) -> None:
        """Its name alone, or with the folders around it."""
        folders = (".ci", "benchmarks", "docs", "examples", "routing_crust", "tests")
        there = [f"/{file.relative_to(ROOT)}" for each in folders for file in (ROOT / each).rglob("*.py")]
        named = {(name, file) for name, text in pages() for file in re.findall(r"``([\w./-]*\w\.py)``", text)}
        lost = {each for each in named if not any(path.endswith(f"/{each[1]}") for path in there)}
        self.assertEqual(lost, set())

    def test_quoted_refusals_and_log_lines_are_in_the_code(self) -> None:
        """What the page says that the daemon says, it says: ... stands for what differs."""
        joined = re.sub(r'"\s*\n\s*f?"', "", self.source())
        said = re.sub(r"\{[^{}]*\}", "…", joined)
        parts = [
            section(page("running"), "When it does not start"),
            section(page("daemon"), "What the log says"),
        ]
        phrases = r"(?<!\*)\*(\S[^*\n]*\S)\*(?!\*)"
        rows = re.findall(r"^   \* - (\*.*)$", page("symptoms"), re.MULTILINE)
        quoted = [phrase for part in [*parts, *rows] for phrase in re.findall(phrases, part)]
        self.assertGreater(len(quoted), 45)
        pieces = [piece.strip(" :,") for phrase in quoted for piece in phrase.split("…")]
        missing = [piece for piece in pieces if piece not in said + joined and "(was" not in piece]
        self.assertEqual(missing, [])

    def test_page_explains_every_field_of_the_status(self) -> None:
        explained = set(re.findall(r"``(\w+)``", section(page("daemon"), "Status")))
        net = Net()
        net.grow(2)
        status = net.nodes[1].status()
        (link,) = cast("list[dict[str, object]]", status["links"])
        net.stop()
        self.assertEqual(set(status) - explained, set())
        self.assertEqual(set(link) - explained, set())
