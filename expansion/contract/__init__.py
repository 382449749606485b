# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The contract: configuration in every form it comes in, as one checked message."""
