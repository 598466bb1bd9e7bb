"""How many examples a property test tries: few every day, others each time, and as many as it wants in
`make test-all`, which asks for the profile `thorough`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

EVERYDAY = 25


def register_profiles() -> None:
    # What an example takes says more about the machine than about the code.
    settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("everyday", settings.get_profile("thorough"), max_examples=EVERYDAY)


def examples(thorough: int, everyday: int = EVERYDAY) -> int:
    """For a test that wants another number of examples than most: so many where the profile is the thorough one."""
    return min(thorough, everyday) if settings.get_current_profile_name() == "everyday" else thorough
