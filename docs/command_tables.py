"""The tables of the command lines, made from their parsers, as reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tables import table

from routing_crust.daemon.commands.arguments import make_parser
from routing_crust.daemon.manual.parsers import helps, subparsers
from routing_crust.daemon.options import Options

OF_ALL = ("[-h]", "[--state-dir FOLDER]", "[--network ID]", "[--config FILE]")
"""What the page says once for all commands."""


def commands_table(program: str) -> str:
    """
    A table of the commands of C{routing-crust}, or of the options of C{routing-node}.

    @raise KeyError: it is neither.
    """
    rows = {"routing-crust": _commands, "routing-node": _options}[program]
    head = {"routing-crust": "command", "routing-node": "option"}[program]
    return table((head, "what it does"), (45, 55), rows())


def _commands() -> Iterator[tuple[str, str]]:
    parser = make_parser()
    said = helps(parser)
    for name, command in subparsers(parser).items():
        usage = " ".join(command.format_usage().removeprefix("usage:").split()).removeprefix("routing-crust ")
        for each in OF_ALL:
            usage = usage.replace(f" {each}", "")
        yield f"``{usage}``", _text(said[name])


def _options() -> Iterator[tuple[str, str]]:
    for block in Options().getUsage(100).split("\n\n"):
        _, _, rest = block.strip().partition("\n")
        if not rest.lstrip().startswith("--"):
            continue
        for each in re.split(r"\n(?=  --)", rest):
            option, *words = each.split()
            yield f"``{option}``", _text(" ".join(words))


def _text(text: str) -> str:
    """A text in which no character means anything to reStructuredText."""
    return re.sub(r"([\\*`|_@])", r"\\\1", text)
