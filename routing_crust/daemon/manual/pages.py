"""
C{manual}: the manual pages, in C{man(7)}, made from the parsers of the command lines, so that they say what
the programs do.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Final

from ... import __version__
from ...plain_errors import RoutingCrustError
from ..commands import EXIT_OK
from ..commands.arguments import make_parser
from ..commands.here import print_line
from .parsers import helps, subparsers

_SEE_ALSO: Final = "The documentation has tutorials, guides and the reference of all settings."


class NoManual(RoutingCrustError):
    """The pages cannot be written."""


def manual(options: argparse.Namespace) -> int:
    """Write the pages, and print where."""
    folder = options.folder.expanduser() / "man1"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in (("routing-crust", page_of_commands()), ("routing-node", page_of_daemon())):
            path = folder / f"{name}.1"
            path.write_text(page, encoding="utf-8")
            print_line(str(path))
    except OSError as error:
        raise NoManual(f"{folder} cannot be written: {error.strerror}") from None
    return EXIT_OK


def page_of_commands() -> str:
    """The page C{routing-crust(1)}."""
    parser = make_parser()
    said = helps(parser)
    lines = _head("routing-crust", "private networks of machines, and the daemon on this one")
    lines += [".SH SYNOPSIS", ".B routing\\-crust", ".I COMMAND", "[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]..."]
    lines += [".SH DESCRIPTION", roff(parser.description or ""), ".SH COMMANDS"]
    for name, command in subparsers(parser).items():
        lines += [f".SS {roff(name)}", *_usage(command)]
        description = command.description or f"{said[name]}."
        lines += [".PP", roff(description), *_arguments(command)]
    lines += [".SH WHICH DAEMON", ".PP"]
    lines += [
        roff(
            "All commands that talk to a daemon take these options. Without them it is that of this user's "
            "only private network, or of the network 'default'."
        ),
        *_options(_where(subparsers(parser)["status"])),
    ]
    lines += [".SH EXIT STATUS", *_rows((("0", "done"), ("1", "failed")))]
    lines += _rows((("2", "the command line cannot be used"),))
    lines += [".SH SEE ALSO", "\\fBrouting\\-node\\fR(1), \\fBtwistd\\fR(1)", ".PP", roff(_SEE_ALSO)]
    return "\n".join(lines) + "\n"


def page_of_daemon() -> str:
    """The page C{routing-node(1)}: the options of C{twistd routing-node}."""
    # loads Twisted, for which the other commands need not wait
    from ..option_help import advanced_settings_text
    from ..options import Options

    heading, *blocks = Options().getUsage(100).strip().split("\n\n")
    lines = _head("routing-node", "node of a peer-to-peer network, run by twistd")
    lines += [".SH SYNOPSIS", ".B twistd", "[\\fB\\-n\\fR] \\fBrouting\\-node\\fR [\\fIOPTION\\fR]..."]
    lines += [".SH DESCRIPTION", roff(" ".join(heading.split()))]
    lines += [".SH OPTIONS"]
    for block in blocks:
        title, _, rest = block.partition("\n")
        if title.endswith(":") and rest.lstrip().startswith("--"):
            lines += [f".SS {roff(title[:-1])}", *_rows(_pairs(rest))]
        elif title == "Examples:":
            lines += [".SH EXAMPLES", ".nf", roff(rest), ".fi"]
        else:
            lines += [".SH NOTES", roff(" ".join(block.split()))]
    about, _, settings = advanced_settings_text().strip().partition("\n\n")
    lines += [".SH OTHER SETTINGS", roff(" ".join(about.split())), *_rows(_pairs(settings))]
    lines += [".SH SIGNALS"]
    lines += _rows((("SIGTERM, SIGINT", "stop in good order"), ("SIGUSR1", "begin a new file of the log")))
    lines += [".SH SEE ALSO", "\\fBrouting\\-crust\\fR(1), \\fBtwistd\\fR(1)", ".PP", roff(_SEE_ALSO)]
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    """A text without anything that C{roff} would take for a request or an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("~", "\\(ti")
    escaped = escaped.replace("^", "\\(ha").replace("`", "\\(ga")
    return re.sub(r"(?m)^(?=\.)", r"\\&", escaped)


def _head(name: str, what: str) -> list[str]:
    title = f'.TH {roff(name.upper())} 1 "" "routing\\-crust {__version__}" "routing\\-crust"'
    return [title, ".SH NAME", f"{roff(name)} \\- {roff(what)}"]


def _usage(parser: argparse.ArgumentParser) -> list[str]:
    usage = " ".join(parser.format_usage().removeprefix("usage:").split())
    return [".nh", f"\\fB{roff(usage.partition(' [')[0])}\\fR{roff(_after_name(usage))}", ".hy"]


def _after_name(usage: str) -> str:
    _, bracket, after = usage.partition(" [")
    shown = f"{bracket}{after}"
    # said once for all commands
    for each in ("[-h]", "[--state-dir FOLDER]", "[--network ID]", "[--config FILE]"):
        shown = shown.replace(f" {each}", "")
    return shown


def _arguments(parser: argparse.ArgumentParser) -> list[str]:
    where = _where(parser)
    return _options(each for each in parser._actions if each not in where and each.dest != "help")


def _where(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    groups = (each for each in parser._action_groups if each.title == "which daemon")
    return [action for group in groups for action in group._group_actions]


def _options(actions: Iterable[argparse.Action]) -> list[str]:
    return _rows((_heading(each), _help(each)) for each in actions)


def _heading(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if not action.option_strings:
        return str(value)
    named = ", ".join(action.option_strings)
    return named if action.nargs == 0 else f"{named} {value}"


def _help(action: argparse.Action) -> str:
    # as argparse does it
    return (action.help or "") % {**vars(action), "prog": "routing-crust"}


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for heading, text in rows:
        lines += [".TP", f"\\fB{roff(heading)}\\fR", roff(text)]
    return lines


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """The options and their texts in a help of two columns."""
    for each in re.split(r"\n(?=  \S)", text):
        heading, *words = each.split()
        yield heading, " ".join(words)
