"""
Writes the figures of a node in the formats of Prometheus, with C{prometheus_client}, which is optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, Final, cast

from .families import PREFIX, Family, families

LIBRARY: Final = "prometheus_client"


class MetricsUnavailable(Exception):
    """The library is not there; the text says how to get it."""


def exposition(
    status: Mapping[str, Any],
    counts: Mapping[tuple[str, str], int],
    members: Iterable[Mapping[str, Any]] | None,
    accept: str,
) -> tuple[str, bytes]:
    """
    The metrics of a node, and of its process.

    @param accept: the Accept header, which chooses between OpenMetrics and the older text format.
    @return: the type of the content, and the content.
    @raise MetricsUnavailable: C{prometheus_client} is not installed.
    """
    if find_spec(LIBRARY) is None:
        raise MetricsUnavailable("metrics need prometheus-client: run pip install 'routing-crust[metrics]'")
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.exposition import choose_encoder

    class NodeCollector:
        def collect(self) -> Iterator[Any]:
            return map(metric_of, families(status, counts, members))

    def metric_of(family: Family) -> Any:
        make: Any = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = make(PREFIX + family.name, family.help, labels=family.labels)
        for labels, value in family.samples:
            metric.add_metric(labels, value)
        return metric

    # one of its own each time: nothing of other programs' is in it, and nothing is kept
    registry = CollectorRegistry()
    registry.register(cast(Any, NodeCollector()))
    ProcessCollector(registry=registry)
    encode, kind = choose_encoder(accept)
    return kind, encode(registry)
