# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``python -m expansion.cli``."""

from expansion.cli import main

main()
