"""The command lines of C{pipe} and C{ssh-config}."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from . import HOST_SUFFIX


def add_pipe_commands(
    add: Callable[..., argparse.ArgumentParser],
    later: Callable[[str], Callable[[str], object]],
) -> tuple[argparse.ArgumentParser, ...]:
    """
    Add the commands.

    @param later: a function of C{values}, by its name.
    @return: their parsers, to which the caller adds what others have too.
    """
    pipe = add(
        "pipe",
        "connect the standard input and output to a program that a peer exposes",
        'For programs that run a command to connect: \'ssh -o ProxyCommand="routing-crust pipe %h/ssh" '
        "laptop'. The end of the input is passed on, and what comes is read on until the peer ends too. "
        "Where no daemon runs, it starts one as a client, which ends with it.",
    )
    pipe.add_argument(
        "what",
        type=later("pipe_text"),
        metavar="NAME/PROTOCOL",
        help="the peer, by its name, the first 8 or more characters of it, or a nickname, all with or "
        f"without {HOST_SUFFIX} at the end; and its protocol, such as laptop/ssh",
    )
    pipe.add_argument(
        "--progress",
        action="store_true",
        help="show on the standard error what is carried, and how fast",
    )
    ssh = add(
        "ssh-config",
        "print the lines for ~/.ssh/config that let ssh reach peers by nickname",
        f"With them 'ssh laptop{HOST_SUFFIX}' works, and scp, rsync, git and whatever else runs ssh.",
    )
    ssh.add_argument(
        "--protocol",
        type=later("protocol"),
        default="ssh",
        metavar="PROTOCOL",
        help="what peers call their SSH server (default: %(default)s)",
    )
    return pipe, ssh
