# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How fast models run in our steps on a GPU, beside plain loops: ``python -m benchmarks.gpu``."""
