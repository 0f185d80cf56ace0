"""
The service that C{twistd} runs: a L{RoutingService} with what a daemon needs beside it: a locked state
directory, a key file, the operator's log, exposed programs and forwarded ports, and the control socket.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from .. import __version__
from ..config import Settings
from ..crust.accept.descriptors import raise_descriptor_limit
from ..errors import RoutingCrustError
from ..routing.service import RoutingService
from ..trust.state_files import load_authority
from .control.inbox import DaemonInbox
from .control.member_messages import InvitationsCommand, InviteCommand, MembersCommand
from .control.server import ControlServer
from .forward.changing import ProgramChanges
from .forward.registry import ForwardRegistry
from .forward.reports import Reports
from .live.answers import LiveAnswers
from .live.changer import LiveSettings
from .live.drain import Drain
from .live.source import Configuration, SettingsSource
from .logs import LoggingService
from .members.administration import Administration
from .members.credentials import certified_settings, load_membership, own_or_new_identity
from .members.invitation_desk import InvitationDesk
from .members.member_book import MemberBook
from .members.moving_in import discard_unfinished
from .members.networks_here import label_of
from .members.surroundings import NodeSurroundings
from .operator_log import OperatorLog
from .page.snapshot import NodeSource, Served
from .proxy.server import ProxyServer
from .signals import DaemonSignals
from .state_directory import StateLock, prepare_state_dir, socket_path
from .systemd.supervision import Supervision, Systemd


class CannotStart(Exception, SystemExit):
    """
    The daemon ends before it has begun. The reason was logged, in one line.

    It is an C{Exception}, so that C{twistd} removes its pid file and tells the process that waits for the
    daemon, and a C{SystemExit}, so that the interpreter exits with 1 and writes no traceback.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.code = 1


class NodeService(LoggingService):
    """
    A node and what belongs to its process.

    @ivar settings: the settings, with C{state_dir} given.
    @ivar routing: the node, between start and stop.
    @ivar systemd: what systemd has handed to the process.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        state_dir: Path,
        reactor: Any,
        source: SettingsSource | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        """
        @param state_dir: the state directory, made when it is not there.
        @param reactor: the reactor for everything.
        @param source: where the settings are from, to read them again; C{None} if they are from nowhere.
        @param configuration: what it gave at the start.
        """
        # a copy, since the settings of a node that runs may change
        self.settings = replace(settings)
        self._source = source or SettingsSource()
        self._configuration = configuration or Configuration(self.settings)
        self._live: LiveSettings | None = None
        self._drain: Drain | None = None
        self.routing: RoutingService | None = None
        self.systemd = Systemd()
        self._supervision: Supervision | None = None
        self._state_dir = state_dir
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._inbox = DaemonInbox()
        self._lock: StateLock | None = None
        self._registry: ForwardRegistry | None = None
        self._control: ControlServer | None = None
        self._book: MemberBook | None = None
        self._operator_log: OperatorLog | None = None
        self._page_text = self._configuration.status_page
        self._proxy: ProxyServer | None = None
        self._page: Served | None = None
        self._administration: Administration | None = None
        self._label: str | None = None
        self._signals: DaemonSignals | None = None
        self._started_at = 0.0

    def startService(self) -> None:
        """
        Start everything.

        @raise CannotStart: it failed; the reason was logged, and nothing is left running.
        """
        try:
            self._start()
        except RoutingCrustError as error:
            self.log.critical("cannot start: {problem}", problem=error)
            self._release()
            raise CannotStart(str(error)) from None
        Service.startService(self)

    def stopService(self) -> Deferred[None]:
        """
        Stop everything.

        @return: fires with C{None} when no link, timer, port or connection is left, and the control socket
            and the lock are removed.
        """
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    def _start(self) -> None:
        # The lock comes before everything in the folder. The control socket comes last, so that no program
        # talks to a node that is not there.
        raise_descriptor_limit()
        prepare_state_dir(self._state_dir)
        # before the lock, which is a file of its own
        discard_unfinished(self._state_dir)
        self._signals = DaemonSignals(self._reactor)
        path = socket_path(self._state_dir)
        self._lock = StateLock(self._state_dir)
        identity = own_or_new_identity(self._state_dir)
        network = self.settings.network
        book = self._book = MemberBook(self._state_dir, network, self._clock)
        membership = load_membership(self._state_dir, network, identity, book)
        settings = self.systemd.settings_of(certified_settings(self.settings, membership))
        routing = self.routing = RoutingService(
            settings,
            reactor=self._reactor,
            identity=identity,
            membership=membership,
            crust=self.systemd.crust_of(settings, identity, membership, self._reactor),
        )
        self.describe_by(routing.directory.describe)
        routing.set_message_handler(self._inbox.message_received)
        routing.set_request_handler(self._inbox.request_received)
        operator_log = self._operator_log = OperatorLog(routing)
        self._registry = ForwardRegistry(routing, self._reactor)
        self._make_doors(routing, self._registry)
        operator_log.starting()
        try:
            self._registry.start(self.settings)
            self._open_proxy()
            routing.startService()
        except RoutingCrustError:
            # not waited for, as below
            self._stop_doors()
            raise
        operator_log.started()
        self._started_at = self._clock.seconds()
        self._control = ControlServer(routing, self._inbox, self._facts, self._registry)
        self._live = LiveSettings(
            self._source,
            replace(self._configuration, settings=self.settings),
            routing,
            ProgramChanges(self._registry),
            self.restyle,
        )
        LiveAnswers(self._live, self._registry).register(self._control)
        self._signals.reload = self._live.reload_logged
        if membership is not None:
            surroundings = NodeSurroundings(routing, self._state_dir)
            # read once: the status is asked for each second, and a disk may hang
            label = self._label = label_of(self._state_dir)
            desk = InvitationDesk(self._state_dir, label, identity, membership, surroundings)
            routing.set_inviter(desk)
            self._registry.is_invited = desk.allows
            self._control.handle(InviteCommand, desk.invite_when_known)
            self._control.handle(InvitationsCommand, desk.invitations)
            authority_key = partial(load_authority, self._state_dir, network)
            self._administration = Administration(routing, authority_key, label)
            self._administration.register(self._control)
        try:
            if self._page is not None:
                self._page.start()
            self._control.listen(path, self._reactor)
        except RoutingCrustError:
            # the reactor does not run yet, so nothing can be waited for: the process ends, and closes all
            self._stop_doors()
            routing.stopService()
            raise
        supervision = self._supervision = self.systemd.supervise(routing)
        if supervision is not None:
            self._live.reloading, self._live.reloaded = supervision.reloading, supervision.reloaded

    def _make_doors(self, routing: RoutingService, registry: ForwardRegistry) -> None:
        """Make the status page and the proxy, where they are wanted."""
        if self._page_text:
            # a web server takes longest of all to load, and most daemons have none
            from .page.resource import StatusPage
            from .page.serving import PageServer

            page = StatusPage(routing, source=NodeSource(self._status, self._members))
            registry.reports = Reports(routing, page.report)
            self._page = PageServer(page, self._page_text, self._state_dir, self._reactor)
        if self._configuration.local_proxy:
            self._proxy = ProxyServer(registry, self._configuration.local_proxy, self._reactor)

    def _open_proxy(self) -> None:
        if self._proxy is not None:
            self._proxy.start()

    def _stop_doors(self) -> None:
        """Stop what programs use, without waiting for it."""
        for each in (self._registry, self._proxy, self._page):
            if each is not None:
                each.stop()

    async def _stop(self) -> None:
        self.log.info("stopping", event="stopping")
        if self._supervision is not None:
            self._supervision.stopping()
        if self._live is not None and self._registry is not None:
            self._live.stop()
            if self._proxy is not None:
                self._proxy.drain()
            self._drain = Drain(self._registry, self._reactor, self._live.configuration.drain)
            await self._drain.start()
        if self._page is not None:
            await self._page.stop()
        if self.routing is not None:
            await self.routing.stopService()
        if self._registry is not None:
            await self._registry.stop()
        if self._proxy is not None:
            await self._proxy.stop()
        if self._control is not None:
            # after the node, so that programs that wait for an answer hear that there will be none
            await self._control.stop(self._clock)
        self._release()
        self.log.info("stopped", event="stopped")

    def _release(self) -> None:
        if self._supervision is not None:
            self._supervision.stop()
        if self._operator_log is not None:
            self._operator_log.stop()
        if self._book is not None:
            self._book.flush()
        if self._lock is not None:
            self._lock.release()
        if self._signals is not None:
            # after the lock: from here on there is nothing that a sudden end could leave behind
            self._signals.restore()
        self._live = self._drain = self._proxy = None
        self.routing = self._control = self._operator_log = self._page = self._administration = None
        self._lock = self._registry = self._signals = self._book = self._supervision = None

    def _status(self) -> dict[str, object]:
        return {} if self._control is None else self._control.status()

    def _members(self) -> tuple[dict[str, Any], ...] | None:
        return (
            None if self._administration is None else self._administration.members(MembersCommand()).members
        )

    def _facts(self) -> dict[str, object]:
        contact = None if self.routing is None else self.routing.contact
        return {
            "contact": None if contact is None else str(contact),
            "version": __version__,
            "process": os.getpid(),
            "state_dir": str(self._state_dir),
            "label": self._label,
            "local_proxy": None if self._proxy is None else self._proxy.where,
            "draining": None if self._drain is None else self._drain.left,
            "uptime": round(self._clock.seconds() - self._started_at, 1),
            **({} if self._registry is None else self._registry.status()),
        }
