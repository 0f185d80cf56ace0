"""C{status} and C{explain}: what the daemon reports of its node."""

from __future__ import annotations

import argparse
import json

from ..control.messages import ExplainCommand, ExplainReply, StatusCommand, StatusReply
from ..text import explanation_text, status_text
from . import EXIT_OK
from .here import STATUS_TIMEOUT_SECONDS, connect, print_line


def status(options: argparse.Namespace) -> int:
    """Print the state of the node, once or again and again."""
    if options.watch is not None:
        from ..watching.watch import watch_status

        watch_status(lambda: connect(options), options.watch, options.json)
        return EXIT_OK
    with connect(options) as client:
        status = client.ask(StatusCommand(), StatusReply, STATUS_TIMEOUT_SECONDS).status
    print_line(json.dumps(status, indent=2) if options.json else status_text(status))
    return EXIT_OK


def explain(options: argparse.Namespace) -> int:
    """Print why there is a link with a node, or none."""
    command = ExplainCommand(name=str(options.name))
    with connect(options) as client:
        explanation = client.ask(command, ExplainReply, STATUS_TIMEOUT_SECONDS).explanation
    print_line(json.dumps(explanation, indent=2) if options.json else explanation_text(explanation))
    return EXIT_OK
