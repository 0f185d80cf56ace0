"""
Hypothesis strategies for the values.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from routing_crust.endpoints import Contact, Endpoint
from routing_crust.names import NAME_BYTES, Name

names = st.binary(min_size=NAME_BYTES, max_size=NAME_BYTES).map(Name)
v4_addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
v6_addresses = st.integers(0, 2**128 - 1).map(IPv6Address)
addresses = v4_addresses | v6_addresses
ports = st.integers(1, 65535)
endpoints = st.builds(lambda address, port: Endpoint.of(str(address), port), addresses, ports)
contact_endpoints = endpoints.filter(
    lambda each: not (each.address.is_unspecified or each.address.is_multicast)
)
contacts = st.builds(Contact, contact_endpoints, st.none() | names)
