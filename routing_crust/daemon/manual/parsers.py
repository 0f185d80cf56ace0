"""What C{argparse} does not tell of its parsers in public."""

from __future__ import annotations

import argparse


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return dict(commands.choices)


def helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What the general help says of each command."""
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return {each.dest: str(each.help) for each in commands._choices_actions}
