"""What holds for every test: reproducible properties in CI, wide ones at a desk. Owned by the toolchain.

The strictness itself (warnings are errors, unknown markers are errors, a time limit) is in pyproject.toml.
"""

import os

from hypothesis import HealthCheck, settings

# In CI a red run must be the change's doing and be red again at a desk: the same examples, no database of old
# ones, no deadline that a busy machine misses.
settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=200, print_blob=True
)
settings.register_profile("desk", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "desk")
