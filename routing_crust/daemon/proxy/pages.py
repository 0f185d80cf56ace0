"""What the proxy itself answers by HTTP: pages that say what is wrong, and the configuration of browsers."""

from __future__ import annotations

import re
from html import escape
from http import HTTPStatus
from typing import Final

from .hosts import SUFFIX

PAC_PATH: Final = "/proxy.pac"
_PAC_TYPE: Final = "application/x-ns-proxy-autoconfig"
_HERE: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}", re.ASCII)
_PAGE: Final = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<h1>{title}</h1>
<p>{text}.</p>
<p>This is the proxy of routing-crust on this machine.</p>
</html>
"""
_PAC: Final = """\
function FindProxyForURL(url, host) {{
  return dnsDomainIs(host, "{suffix}") ? "PROXY {here}" : "DIRECT";
}}
"""


def page(status: int, text: str) -> bytes:
    """An answer that says what is wrong and what to do."""
    title = f"{status} {HTTPStatus(status).phrase}"
    body = _PAGE.format(title=escape(title), text=escape(text))
    return _answer(title, "text/html; charset=utf-8", body)


def pac_answer(here: str) -> bytes:
    """
    The configuration that has a browser use this proxy for hosts of the network alone.

    @param here: where the browser has found it.
    """
    if not _HERE.fullmatch(here):
        return page(400, "the request does not say where it is sent to")
    return _answer("200 OK", _PAC_TYPE, _PAC.format(suffix=SUFFIX, here=here))


def _answer(status: str, kind: str, body: str) -> bytes:
    data = body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + data
