"""
The wire: frames, messages and their codec. The only code that parses bytes of unproven origin.

Nothing here imports Twisted, does I/O or knows the time.
"""
