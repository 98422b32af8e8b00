"""Hypothesis profiles: quick for every run, deep (`HYPOTHESIS_PROFILE=deep pytest`) before a release."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: machines that run tests do other things too, and the first example pays for imports.
settings.register_profile("quick", deadline=None)
settings.register_profile("deep", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
