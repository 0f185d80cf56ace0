"""C{status --watch}: the state of the node again and again, on a terminal or a pipe."""
