"""
What can change while a node runs: the table of it is whole, and the code reads these settings where it uses
them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import routing_crust
from routing_crust.config import CHANGEABLE, Settings, change_settings, setting_fields
from routing_crust.daemon.live.effects import AT_ONCE, is_applied_at_once
from routing_crust.parsing import DAEMON_KEYS

TOLD = {
    ("crust/accept/gate.py", "allow"),
    ("crust/accept/gate.py", "deny"),
    ("crust/accept/gate.py", "max_handshakes_per_prefix"),
    ("crust/tunnel/relay.py", "tunnel_memory"),
    ("routing/messaging/fair_relay.py", "relay_rate"),
    ("routing/service.py", "nicknames"),
}
"""Copies whose owners are told of each change."""
OF_ONE_CONNECTION = {("crust/link/link.py", "hello_timeout"), ("crust/link/negotiation.py", "hello_timeout")}
"""What was promised to a connection when it came."""
OF_ONE_PEER = {
    ("streams/multiplexing/mux.py", "max_streams"),
    ("streams/multiplexing/resets.py", "max_streams"),
    ("streams/multiplexing/windows.py", "max_streams"),
    ("streams/multiplexing/windows.py", "stream_memory"),
    ("streams/multiplexing/windows.py", "stream_window"),
}
"""What the windows of a peer's streams have been divided by, and goes together."""


class EffectsTests(SynchronousTestCase):
    def test_each_setting_and_option_that_is_applied_at_once_says_what_that_means(self) -> None:
        self.assertEqual(set(AT_ONCE), CHANGEABLE | (set(DAEMON_KEYS) - {"status_page", "local_proxy"}))
        names = {each.name for each in setting_fields()}
        self.assertTrue(names >= CHANGEABLE)
        self.assertFalse(names & set(DAEMON_KEYS))
        self.assertEqual({name for name in names if is_applied_at_once(name)}, CHANGEABLE)

    def test_change_takes_over_these_settings_and_no_other(self) -> None:
        running, new = Settings(), Settings(max_links=7, deny=("10.0.0.0/8",), group_size=3, network="other")
        change_settings(running, new)
        self.assertEqual(running, Settings(max_links=7, deny=("10.0.0.0/8",)))

    def test_no_constructor_keeps_a_copy_of_a_setting_that_can_change(self) -> None:
        root = Path(routing_crust.__file__).parent
        copies = {
            (str(path.relative_to(root)), name)
            for folder in ("crust", "routing", "streams")
            for path in (root / folder).rglob("*.py")
            for name in _copied(ast.parse(path.read_text("utf-8")))
        }
        self.assertEqual(copies, TOLD | OF_ONE_CONNECTION | OF_ONE_PEER)


def _copied(tree: ast.AST) -> Iterator[str]:
    """The settings in what constructors assign."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            for each in ast.walk(function):
                if isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value is not None:
                    yield from _settings_in(each.value)


def _settings_in(value: ast.AST) -> Iterator[str]:
    for each in ast.walk(value):
        if isinstance(each, ast.Attribute) and each.attr in CHANGEABLE:
            owner = each.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if "settings" in name:
                yield each.attr
