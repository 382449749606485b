# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The plain loops: what one would write with a framework alone. Models are loaded by us, so that they are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.cases import Array, Case


def raw_pytorch(model: Any, case: Case) -> Callable[[Array], Array]:
    """Returns the loop's body for a loaded model of ours, of which it uses PyTorch's module alone."""
    import torch

    module, device = model._module, model._device

    def run(array: Array) -> Array:
        with torch.inference_mode():
            predicted: Array = module(torch.from_numpy(array).to(device))["y"].cpu().numpy()
        return predicted

    return run


def raw_onnx(model: Any, case: Case) -> Callable[[Array], Array]:
    """Returns the loop's body for a loaded model of ours, of which it uses ONNX Runtime's session alone."""
    return lambda array: model._session.run(["y"], {"x": array})[0]  # type: ignore[no-any-return]


def raw_tensorrt(model: Any, case: Case) -> Callable[[Array], Array]:
    """Returns the loop's body for a loaded model of ours: buffers of one size, and an execution context of its own."""
    import cuda.bindings.runtime as cuda

    context, stream = model._engine.create_execution_context(), model._gpu.stream
    predicted = np.empty((case.rows, 16), np.float32)
    address = {"x": cuda.cudaMalloc(4 * case.rows * int(np.prod(case.shape)))[1]}
    address["y"] = cuda.cudaMalloc(predicted.nbytes)[1]
    context.set_input_shape("x", (case.rows, *case.shape))
    for name, where in address.items():
        context.set_tensor_address(name, int(where))
    to_gpu, to_host = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost

    def run(array: Array) -> Array:
        cuda.cudaMemcpyAsync(address["x"], array.ctypes.data, array.nbytes, to_gpu, stream)
        context.execute_async_v3(stream)
        cuda.cudaMemcpyAsync(predicted.ctypes.data, address["y"], predicted.nbytes, to_host, stream)
        cuda.cudaStreamSynchronize(stream)
        return predicted

    return run


RAW = {"pytorch": raw_pytorch, "onnx": raw_onnx, "tensorrt": raw_tensorrt}
