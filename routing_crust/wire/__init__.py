"""
The wire: frames, messages and their codec. The only code that reads bytes which nobody vouches for.

Nothing here imports Twisted, does I/O or knows the time.
"""
