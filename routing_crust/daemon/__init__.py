"""
The daemon: a node for C{twistd}, and the console script that talks to it over a socket on the same machine.
"""
