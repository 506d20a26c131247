"""Seeds for Python, NumPy, torch and workers, and snapshots of their states."""

from __future__ import annotations

import os
import random
from typing import Any


def seed_everything(seed: int, *, deterministic: bool = False) -> None:
    """Seed every random source used here.

    Args:
        seed: The seed.
        deterministic: Also take kernels that repeat, wherever there is one. Some operations on a
            GPU have none: they run as they are, and torch warns of each.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # An error instead would end trainings on a GPU: CTC, for one, has no kernel that repeats.
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False


def random_states() -> dict[str, Any]:
    """All global random states, in plain containers that a safe unpickler accepts."""
    import numpy as np
    import torch

    state: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = state
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` returned."""
    import numpy as np
    import torch

    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
