"""
A NAT-PMP daemon (RFC 6886) for a router whose own address is a private one, since a carrier's NAT is before
it. Debian's miniupnpd maps nothing there, and others do. It runs there as a program::

    python natpmp.py ADDRESS_INSIDE ADDRESS_OUTSIDE

It says when it can be asked, and maps the port that is asked for, if that is free, for ever. The chains of
L{tests.natlab.rules.UPNP_RULES} have to be there.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time

TCP = 2
NAMES = {1: "udp", TCP: "tcp"}


def main(inside: str, outside: str) -> None:
    began = time.monotonic()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((inside, 5351))
    print("ready", flush=True)
    taken: dict[tuple[int, int], tuple[str, int]] = {}
    while True:
        question, asker = server.recvfrom(64)
        up = int(time.monotonic() - began)
        version, operation = question[:2]
        if version:  # of PCP
            answer = struct.pack(">BBHI", 0, 128 + operation % 128, 1, up)
        elif operation == 0:
            answer = struct.pack(">BBHI4s", 0, 128, 0, up, socket.inet_aton(outside))
        else:
            _, _, _, port, wanted, lifetime = struct.unpack(">BBHHHI", question[:12])
            holder = taken.setdefault((operation, wanted), (asker[0], port)) if lifetime else (asker[0], port)
            if lifetime and holder == (asker[0], port):
                forward(NAMES[operation], outside, wanted, asker[0], port)
            refused = 0 if holder == (asker[0], port) else 2
            answer = struct.pack(
                ">BBHIHHI", 0, 128 + operation, refused, up, port, wanted if lifetime else 0, lifetime
            )
        server.sendto(answer, asker)


def forward(protocol: str, outside: str, port: int, host: str, inner: int) -> None:
    """Forward a port, unless it is forwarded already."""
    chain = ("inet", "filter", "prerouting_miniupnpd")
    rule = f"ip daddr {outside} {protocol} dport {port} dnat ip to {host}:{inner}"
    there = subprocess.run(("nft", "list", "chain", *chain), capture_output=True, text=True, check=True)
    if rule not in there.stdout:
        subprocess.run(("nft", "add", "rule", *chain, 'iifname "wan0"', *rule.split()), check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
