"""
What makes C{twistd routing-node} known to Twisted.

This folder and the one above it have no C{__init__.py}: the first would hide this plugin, the second
would hide Twisted itself.
"""

from twisted.application.service import ServiceMaker

routing_node = ServiceMaker(
    "Routing node",
    "routing_crust.daemon.plugin",
    "A node of a peer-to-peer network: finds its peers, links with them and routes messages by name.",
    "routing-node",
)
