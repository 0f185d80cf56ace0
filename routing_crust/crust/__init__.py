"""
Crust: the layer that makes links. It listens, dials, bootstraps and finds peers on the local network.

What is above it sees only C{ICrust}, C{ILink} and C{ICrustEvents}.
"""
