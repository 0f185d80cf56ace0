"""C{keygen} and C{name}: the key of a node, for which no daemon need run."""

from __future__ import annotations

import argparse

from ...identity import create_identity, load_identity
from ..state_directory import key_path, prepare_state_dir
from . import EXIT_OK
from .here import print_line, state_dir_of


def keygen(options: argparse.Namespace) -> int:
    """Make a key."""
    if options.file is None:
        state_dir = state_dir_of(options)
        prepare_state_dir(state_dir)
        path = key_path(state_dir)
    else:
        path = options.file
    print_line(str(create_identity(path).name))
    return EXIT_OK


def name(options: argparse.Namespace) -> int:
    """Print the name that a key gives."""
    path = key_path(state_dir_of(options)) if options.file is None else options.file
    print_line(str(load_identity(path).name))
    return EXIT_OK
