"""Random states that leave numpy's global one alone."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def random_state_of(random_state: Any) -> np.random.RandomState:
    """Like check_random_state, but None draws fresh entropy and leaves numpy's global state alone."""
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
