"""
The plugin's two objects for C{twistd}: the options of C{twistd routing-node}, and the service that they
describe.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.application.service import IService

from ..errors import ConfigurationError
from .demo import DemoService
from .logs import LoggingService, LogStyle, log_of_twistd
from .node import NodeService
from .options import Options
from .systemd.sockets import environment_at_start
from .systemd.supervision import Systemd
from .twistd_files import problem_with_files

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """
    Make the service for a command line. The only I/O is to read the configuration file.

    @raise SystemExit: a setting, or a file of C{twistd}'s own, cannot be used; the interpreter prints the
        reason and exits with 1.
    """
    from twisted.internet import reactor

    problem = problem_with_files(options.parent or {})
    if problem:
        sys.exit(f"routing-node: {problem}")
    service, style = _service(options, reactor)
    if options.parent is not None:
        service.make_observer = log_of_twistd(style, options.parent, reactor)
        if service.make_observer is None and options.log_style != LogStyle():
            sys.exit(
                "routing-node: --log-level and --log-format do nothing with twistd's --logger or --syslog"
            )
    return service


def _service(options: Options, reactor: Any) -> tuple[LoggingService, LogStyle]:
    if options.demo:
        demo = DemoService(options.demo, options.demo_seconds, end_process, reactor=reactor)
        return demo, options.log_style
    try:
        source = options.source()
        configuration = source.read()
        systemd = Systemd.from_environment(environment_at_start(), os.getpid())
    except ConfigurationError as error:
        sys.exit(f"routing-node: {error}")
    settings = configuration.settings
    assert settings.state_dir is not None
    service = NodeService(settings, settings.state_dir, reactor, source, configuration)
    service.systemd = systemd
    return service, configuration.log_style


def end_process(all_well: bool) -> None:
    """
    End C{twistd} when a demonstration is over: with exit code 0 if all went well, else by a signal.
    """
    from twisted.internet import reactor

    if all_well:
        reactor.stop()
    else:
        # twistd has no other way to exit with anything but 0 than by the signal that stopped it
        os.kill(os.getpid(), signal.SIGTERM)
