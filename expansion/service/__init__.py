# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The gRPC service that expands transforms: it answers with graphs and runs nothing that a client sends."""
