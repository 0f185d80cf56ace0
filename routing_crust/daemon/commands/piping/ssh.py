"""C{ssh-config}: the lines that let C{ssh} reach peers by nickname."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from .. import EXIT_OK
from ..here import print_line
from . import HOST_SUFFIX

_SCRIPT: Final = "routing-crust"
_WHERE: Final = ("state_dir", "network", "config")


def ssh_config(options: argparse.Namespace) -> int:
    """Print the block for C{~/.ssh/config}."""
    words = [_script(), "pipe"]
    for option in _WHERE:
        value = getattr(options, option)
        if value is not None:
            # ssh runs this from any folder
            text = value.expanduser().absolute() if isinstance(value, Path) else value
            words.append(f"--{option.replace('_', '-')}={text}")
    if options.keep is not None:
        words.append(f"--keep={options.keep:g}s")
    # ssh reads % itself
    command = shlex.join(words).replace("%", "%%")
    print_line(f"Host *{HOST_SUFFIX}")
    print_line(f"    ProxyCommand {command} '%n/{options.protocol}'")
    return EXIT_OK


def _script() -> str:
    called = Path(sys.argv[0])
    if called.name == _SCRIPT and called.is_absolute():
        return str(called)
    return shutil.which(_SCRIPT) or _SCRIPT
