"""
Candidates: the endpoints at which others may be able to dial us, in the order in which we name them.

First the endpoints that an operator has configured (C{external}), then the ports that a router has mapped for
us, then the global addresses that we listen on, then the endpoints at which our peers agree to see us, then
ports that a router behind a carrier's has mapped, and the private addresses last: only a peer in the same
network dials these two, so they do no harm elsewhere.

One plain function.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...endpoints import Endpoint, is_local_only
from ..reachability import EndpointSource, OwnEndpoint


@dataclass(frozen=True, slots=True)
class Candidates:
    """
    The result of L{rank_candidates}.

    @ivar known: what we name to every peer, best first.
    @ivar asked: what goes into requests for connections: the same, and then the tentative endpoints.
    """

    known: tuple[OwnEndpoint, ...] = ()
    asked: tuple[Endpoint, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints that are known."""
        return tuple(each.endpoint for each in self.known)


def rank_candidates(
    configured: Iterable[Endpoint],
    mapped: Iterable[Endpoint],
    listening: Sequence[Endpoint],
    believed: Iterable[Endpoint],
    tentative: Sequence[Endpoint],
    most: int,
    inner: Iterable[Endpoint] = (),
) -> Candidates:
    """
    @param configured: as in the setting C{external}.
    @param mapped: external endpoints that a router forwards to us.
    @param listening: where we listen, on concrete addresses.
    @param believed: where enough peers have seen us.
    @param tentative: where some have.
    @param most: how many there may be; tentative ones displace private ones.
    @param inner: as C{mapped}, by a router that has a private address itself.
    """
    ranked: dict[Endpoint, EndpointSource] = {}
    for endpoints, source in (
        (configured, EndpointSource.CONFIGURED),
        (mapped, EndpointSource.MAPPED),
        ([each for each in listening if not is_local_only(each)], EndpointSource.INTERFACE),
        (believed, EndpointSource.OBSERVED),
    ):
        for endpoint in endpoints:
            ranked.setdefault(endpoint, source)
    outer = [OwnEndpoint(endpoint, source) for endpoint, source in ranked.items()][:most]
    private: dict[Endpoint, EndpointSource] = dict.fromkeys(inner, EndpointSource.INNER)
    for each in listening:
        if is_local_only(each):
            private.setdefault(each, EndpointSource.PRIVATE)
    within = [OwnEndpoint(each, source) for each, source in private.items() if each not in ranked]
    known = tuple((outer + within)[:most])
    # tentative endpoints displace private ones, but never the last: it may be all that a peer can dial
    room = most - max(len(outer), min(len(known), 1))
    ours = {each.endpoint for each in outer + within}
    new = [each for each in dict.fromkeys(tentative) if each not in ours][:room]
    return Candidates(known, (*(each.endpoint for each in known[: most - len(new)]), *new))
