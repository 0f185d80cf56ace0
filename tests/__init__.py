"""
The tests, on trial: C{python -m twisted.trial tests}.

No test depends on how long anything takes. So Hypothesis sets no deadline and does not mind slow examples,
and trial's own bound on a test is one on hanging only; C{TEST_TIMEOUT_SECONDS} sets another. Hypothesis draws
the same examples in each run, so that a planted bug is caught either always or never;
C{HYPOTHESIS_PROFILE=explore} draws others.

Whole networks are of many objects that live as long as their test: to look through them for garbage as often
as Python does would take a tenth of the time.
"""

import gc
import os

from hypothesis import HealthCheck, settings
from twisted.trial import util

timeless = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", timeless, derandomize=True)
settings.register_profile("explore", timeless)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
gc.set_threshold(100_000, 50, 50)
util.DEFAULT_TIMEOUT_DURATION = float(os.environ.get("TEST_TIMEOUT_SECONDS", "1200"))
