"""
Mapped ports: routers are asked to forward one of their ports to the one that we listen on.

L{PortMapper<routing_crust.crust.mapping.portmapper.PortMapper>} is what the rest of crust knows of it. It
has a L{PortKeeper<routing_crust.crust.mapping.keeper.PortKeeper>} for each port, which asks the router over
PCP (L{routing_crust.crust.mapping.pcprouter}), then NAT-PMP (L{routing_crust.crust.mapping.natpmprouter}),
and if these do not help over UPnP (L{routing_crust.crust.mapping.upnp}). IPv6 takes no mapping but a hole in
the router's firewall, with a keeper for each of our addresses.
"""
