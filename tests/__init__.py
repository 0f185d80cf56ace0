"""
The tests, on trial: C{python -m twisted.trial tests}.

No test depends on how long anything takes, so Hypothesis sets no deadline either.
"""

from hypothesis import settings

settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")
