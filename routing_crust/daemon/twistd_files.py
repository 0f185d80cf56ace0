"""
The files that C{twistd} itself writes: its pid file and its log.

They are looked at before it opens them, since where it may not, it ends with a traceback that does not say
what to do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def problem_with_files(options: Mapping[str, object]) -> str:
    """
    What keeps C{twistd} from writing its files, and what to do; empty if nothing does.

    @param options: those of C{twistd}; of another program, such as C{twist}, the ones that are missing do not
        matter.
    """
    # a path means something else inside another root
    if options.get("chroot"):
        return ""
    pid_file = options.get("pidfile")
    if pid_file:
        # twistd goes to its folder first
        path = os.path.abspath(os.path.join(str(options.get("rundir") or "."), str(pid_file)))
        why = _obstacle(path)
        if why:
            return (
                f"the pid file {path} cannot be written: {why}. Write 'twistd --pidfile= ...' for none, or "
                "'twistd --pidfile=PATH ...'"
            )
    logs_to_file = not (options.get("nodaemon") or options.get("syslog") or options.get("logger"))
    log_file = options.get("logfile") or ("twistd.log" if "logfile" in options else "")
    if logs_to_file and log_file and log_file != "-":
        path = os.path.abspath(str(log_file))
        why = _obstacle(path)
        if why:
            return (
                f"the log file {path} cannot be written: {why}. Write 'twistd --logfile=PATH ...', "
                "'twistd --syslog ...', or 'twistd -n ...' to stay in the foreground"
            )
    return ""


def _obstacle(path: str) -> str:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return "it is a folder"
    if not os.path.isdir(folder):
        return f"there is no folder {folder}"
    if os.path.exists(path):
        return "" if os.access(path, os.W_OK) else "it may not be changed by this user"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"this user may make no files in {folder}"
