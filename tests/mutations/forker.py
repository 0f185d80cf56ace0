"""
Runs tests in processes that have what the package depends on loaded already, which takes half a second each
time otherwise. Started as a program by L{mutant}, and so outside any package: it must not load ours.

It reads a line for each run, with the folder, the file for what is printed, and the tests; it prints the exit
status.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module

LOADED = (
    *("automat", "cryptography.x509", "expiringdict", "hypothesis.stateful", "msgspec", "OpenSSL.SSL"),
    *("service_identity", "twisted.internet.ssl", "twisted.internet.endpoints", "twisted.scripts.trial"),
    *("twisted.trial.reporter", "twisted.trial.runner", "twisted.trial.unittest"),
)
"""No reactor is among them: two processes must not share one."""


def main() -> int:
    """Serve until the other end has no more. Returns the exit status, in a new process that of its tests."""
    for each in LOADED:
        import_module(each)
    gc.collect()
    gc.freeze()  # what is never written to is never copied
    for line in sys.stdin:
        folder, output, tests = json.loads(line)
        child = os.fork()
        if not child:
            return run(folder, output, tests)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


def run(folder: str, output: str, tests: list[str]) -> int:
    """Run tests as C{python -m twisted.trial} does in a folder."""
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(1, 2)
    os.chdir(folder)
    # this program's own folder is the first
    sys.path[0] = folder
    sys.argv = ["trial", "--exitfirst", f"--temp-directory={folder}/trial", *tests]
    try:
        import_module("twisted.scripts.trial").run()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
