# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A configuration tried on some rows, in this process and without a runner: the steps are those of the pipeline."""
