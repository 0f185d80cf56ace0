"""
Directives for the tables of C{tables.py}: C{settings}, C{effects}, C{limits}, C{message}, C{numbers}
and C{states}; for that of C{command_tables.py}: C{commands}; and what C{page_texts.py} does with every page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import command_tables
import page_texts
import tables
from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class TableDirective(SphinxDirective):
    """What they have in common: one argument, and lines that explain what the code does not."""

    required_arguments = 1
    has_content = True
    make: Callable[[str, list[str]], str]

    def run(self) -> list[nodes.Node]:
        """Make the table, and let Sphinx parse it."""
        try:
            text = type(self).make(self.arguments[0], list(self.content))
        except (ValueError, LookupError, AttributeError) as error:
            raise self.error(f"{self.name} {self.arguments[0]}: {error}") from None
        return self.parse_text_to_nodes(text)


class Settings(TableDirective):
    """A group of settings."""

    @staticmethod
    def make(argument: str, content: list[str]) -> str:
        """The table of the settings of the group."""
        return tables.settings_table(argument)


class Effects(TableDirective):
    """What a change of settings does to a daemon that runs."""

    @staticmethod
    def make(argument: str, content: list[str]) -> str:
        """The table of what is applied at once, or of what needs a restart."""
        return tables.effects_table(argument)


class Message(TableDirective):
    """The fields of a message."""

    make = staticmethod(tables.message_table)


class Numbers(TableDirective):
    """The members of an enumeration."""

    make = staticmethod(tables.numbers_table)


class Limits(TableDirective):
    """Limits, with the settings that move them."""

    make = staticmethod(tables.limits_table)
    final_argument_whitespace = True


class States(TableDirective):
    """The state machine of a role."""

    @staticmethod
    def make(argument: str, content: list[str]) -> str:
        """The table of what each state does with each input."""
        return tables.states_table(argument)


class Commands(TableDirective):
    """The commands of a program, or its options."""

    @staticmethod
    def make(argument: str, content: list[str]) -> str:
        """The table of the commands, or of the options of one."""
        return command_tables.commands_table(argument)


def finish_page(app: Sphinx, document: nodes.document, name: str) -> None:
    """Link what the text names with its page in the API, and put in the drawings, if it is for a browser."""
    if app.builder.format == "html":
        page_texts.link_names(document, page_texts.api_pages(), "api/")
        page_texts.put_in_drawings(document, Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("settings", Settings)
    app.add_directive("effects", Effects)
    app.add_directive("message", Message)
    app.add_directive("numbers", Numbers)
    app.add_directive("limits", Limits)
    app.add_directive("states", States)
    app.add_directive("commands", Commands)
    app.connect("doctree-read", lambda app, document: page_texts.set_languages(document))
    app.connect("doctree-resolved", finish_page)
    # Pages with tables are read again each time: what they are made from is not in them.
    app.connect("env-get-outdated", lambda app, env, added, changed, removed: list(env.found_docs))
    return {"parallel_read_safe": True}
