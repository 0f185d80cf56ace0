"""The command that plays simulated networks, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "routing_crust.testing", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )
