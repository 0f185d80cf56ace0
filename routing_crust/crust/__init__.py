"""
Crust: the layer that makes links. It listens, dials, bootstraps and finds peers on the local network.

What is above it sees only L{ICrust<.interfaces.ICrust>}, L{ILink<.interfaces.ILink>} and
L{ICrustEvents<.interfaces.ICrustEvents>}.
"""
