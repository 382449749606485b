# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Figures that the service holds, each measured in one run beside Beam's own expansion service: ``make soak``."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # clients of services that are killed have much to say
