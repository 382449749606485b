# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The catalogue page: what a service offers, as one HTML document that needs nothing else."""
