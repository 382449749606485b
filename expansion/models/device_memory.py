# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The memory of GPUs that this process has in use, as far as a framework that is loaded can say."""

from __future__ import annotations

import sys


def device_memory_bytes() -> int:
    """Returns what PyTorch has allocated on all GPUs for tensors, in bytes; 0 where it uses none, or is not loaded."""
    # Another thread may be about to import it: then it has no such attribute yet.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return 0
    return sum(int(cuda.memory_allocated(gpu)) for gpu in range(cuda.device_count()))
