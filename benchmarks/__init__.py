"""
Benchmarks: what this library costs compared with bare Twisted, on the same machine in the same run.

C{python -m benchmarks} prints one line for each figure: ours, the reference, their ratio and the goal.
Each figure is a pair of subjects (L{.subjects}). A subject is a few processes that talk over
loopback: L{.worker} is such a process, L{.processes} is the handle that the benchmark has on it, and what
runs in it is an actor: L{.bare} and L{.amp} are written as a user of stock Twisted would write them,
L{.ours} uses this library's links, L{.by_name} its service.
"""
