"""
The status page as a resource for C{twisted.web}: static files, one snapshot a second as server-sent events,
the explanation of a peer, metrics and probes of health. Nothing that it answers changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ...config import Role
from ...routing.service import RoutingService
from ...routing.state import State
from ..forward.reports import Report
from ..metrics.exposition import MetricsUnavailable, exposition
from .access import has_token, is_harmless_host
from .feed import Feed
from .journal import EventJournal
from .snapshot import PageSource, ServiceSource, Snapshots

__all__ = ["StatusPage"]

HEADERS: Final = {
    # no script, style or connection but ours, and no page around it
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TEXT: Final = "text/plain; charset=utf-8"
_FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "picture.js": ("picture.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_OPEN_TO_ALL: Final = ("healthz", "readyz")
"""What says nothing but whether all is well."""

Answer = tuple[int, str, bytes]
"""The status code, the type of the content, and the content."""


class StatusPage(Resource):
    """
    The page of a node, for C{twisted.web}'s C{Site}, at its root or below another resource.

    It is for this host: requests are answered if their Host header is an address or C{localhost}, or if they
    hold the token. Call L{close} when the node stops.

    @ivar token: what requests have to hold; empty lets everybody look who can connect.
    """

    isLeaf = True

    def __init__(self, service: RoutingService, *, token: str = "", source: PageSource | None = None) -> None:
        """
        @param service: the node; it need not be started yet.
        @param token: what requests have to hold, as a bearer token or as the password of any user.
        @param source: what the page shows; C{None} is what the service says of itself.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = token
        self._service = service
        self.journal = EventJournal(service)
        self._source = source or ServiceSource(service)
        self._snapshots = Snapshots(service, self._source, self.journal)
        self.feed = Feed(service.clock, self._snapshots.take)
        self._routes: dict[str, Callable[[Request], Answer]] = {
            "snapshot.json": self._snapshot,
            "explain.json": self._explain,
            "metrics": self._metrics,
            "healthz": self._health,
            "readyz": self._readiness,
        }

    def close(self) -> None:
        """End the connections of those who look, and note no more events."""
        self.feed.stop()
        self.journal.stop()

    def report(self, report: Report) -> None:
        """Note what has happened to connections with a peer."""
        self.journal.add(report.event, report.text, report.peer)

    def render(self, request: Request) -> bytes | int:
        """Answer a request."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        path = "/".join(each.decode("utf-8", "replace") for each in request.postpath or ())
        problem = self._problem(request, path)
        if problem is not None:
            return _write(request, problem)
        if not request.postpath and request.prepath:
            # without the slash at the end, the names of the files would be taken for those beside the page
            request.redirect(request.prepath[-1] + b"/")
            return b""
        if path == "events":
            return self._events(request)
        if path in _FILES:
            name, kind = _FILES[path]
            return _write(request, (200, kind, _file(name)))
        route = self._routes.get(path)
        return _write(request, _no_such_page() if route is None else route(request))

    def _problem(self, request: Request, path: str) -> Answer | None:
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            return 405, TEXT, b"this page is for reading only\n"
        if path in _OPEN_TO_ALL:
            return None
        if self.token:
            if has_token(request.getHeader("Authorization"), self.token):
                return None
            request.setHeader("WWW-Authenticate", 'Basic realm="routing-crust", charset="UTF-8"')
            return 401, TEXT, b"give the token of the status page as the password, or as a bearer token\n"
        if not is_harmless_host(request.getHeader("Host")):
            return (
                403,
                TEXT,
                b"the Host header is neither an address nor localhost: ask by http://localhost, or http://127.0.0.1\n",
            )
        return None

    def _events(self, request: Request) -> bytes | int:
        if self.feed.full:
            return _write(request, (503, TEXT, b"too many pages are open\n"))
        request.setHeader("Content-Type", "text/event-stream")
        request.setHeader("X-Accel-Buffering", "no")
        if request.method == b"HEAD":
            return b""
        self.feed.add(request)
        return NOT_DONE_YET

    def _snapshot(self, request: Request) -> Answer:
        return 200, "application/json", self._snapshots.take()

    def _explain(self, request: Request) -> Answer:
        name = (request.args or {}).get(b"name", [b""])[0]
        found = self._snapshots.explanation(name.decode("utf-8", "replace"))
        if found is None:
            return 404, TEXT, b"this is the name of no node: write /explain.json?name=NAME\n"
        return 200, "application/json", found

    def _metrics(self, request: Request) -> Answer:
        try:
            kind, text = exposition(
                self._source.status(),
                self.journal.counts,
                self._source.members(),
                request.getHeader("Accept") or "",
            )
        except MetricsUnavailable as problem:
            return 501, TEXT, f"{problem}\n".encode()
        return 200, kind, text

    def _health(self, request: Request) -> Answer:
        if self._service.running:
            return 200, TEXT, b"ok\n"
        return 503, TEXT, b"the node does not run\n"

    def _readiness(self, request: Request) -> Answer:
        state = self._service.state
        # a first node dials nobody, so it is ready for the first peer
        waits = self._service.settings.role is Role.FIRST and state is State.DISCONNECTED
        if self._service.running and (state is State.CONNECTED or waits):
            return 200, TEXT, b"ok\n"
        return 503, TEXT, f"the node is {state.value}\n".encode()


def _write(request: Request, answer: Answer) -> bytes:
    code, kind, content = answer
    request.setResponseCode(code)
    request.setHeader("Content-Type", kind)
    request.setHeader("Content-Length", str(len(content)))
    # twisted.web leaves the content out of an answer to HEAD only where it renders that by itself
    return b"" if request.method == b"HEAD" else content


def _no_such_page() -> Answer:
    return 404, TEXT, b"there is no such page\n"


@cache
def _file(name: str) -> bytes:
    return (files(__package__) / "files" / name).read_bytes()
