# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns in memory, and how rows and TensorBatches become columns and columns become them again."""
