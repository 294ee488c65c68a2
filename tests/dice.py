"""What tests choose at random, and what they print chooses again."""

import os
import random
import sys
from typing import Final

_SEED_OF_CI: Final = 1


def thrown(variable: str) -> random.Random:
    """New dice; the environment's *variable* is their seed, where it is set.

    In CI they always fall alike, as Hypothesis' cases do: a failure means the change.
    """
    given = os.environ.get(variable)
    if given:
        seed = int(given)
    elif os.environ.get("CI"):
        seed = _SEED_OF_CI
    else:
        seed = random.SystemRandom().randrange(10**6)
    sys.stdout.write(f"{variable}={seed}\n")
    return random.Random(seed)  # noqa: S311 - no secret
