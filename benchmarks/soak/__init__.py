"""
The soak: a node with a thousand links, thousands of messages a second, and one link in a second that is lost
and made again, for an hour. Its memory and its answers must not drift, and in the end nothing may be left.

C{python -m benchmarks.soak --minutes 10} is the short form. The node is a process of its own; its peers are
clients, many to a process.
"""
