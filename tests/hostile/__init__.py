"""
Hostile peers against a live daemon.

The client in L{tests.hostile.peer} is written from C{docs/wire.rst} alone, without the package's code, so
that it can say what no honest node would. C{python -m tests.hostile} plays every behaviour and prints how the
daemon, an honest peer and honest newcomers fared.
"""
