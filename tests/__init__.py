"""
The tests, on trial: C{python -m twisted.trial tests}.

No test depends on how long anything takes, so Hypothesis sets no deadline either. It draws the same examples
in each run, so that a planted bug is caught either always or never; C{HYPOTHESIS_PROFILE=explore} draws
others.
"""

import os

from hypothesis import settings

settings.register_profile("repeatable", settings(), deadline=None, derandomize=True)
settings.register_profile("explore", settings(), deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
