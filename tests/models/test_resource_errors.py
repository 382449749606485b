# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.errors import DeviceFailed
from expansion.models.resource_errors import resource_error

NO_MEMORY = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "Triton Error [CUDA]: out of memory",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Mul node. Name:'' Status "
    "Message: bfc_arena.cc:376 AllocateRawInternal Available memory of 0 is smaller than requested bytes of 2048",
    "AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 8388608000",
    "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
    "[E:onnxruntime] std::bad_alloc",
    "Failed copying input tensor from CPU:0 to GPU:0 in order to run MatMul: Dst tensor is not initialized.",
    "failed to allocate 2.0KiB (2048 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "Memory allocation error on worker 0: std::bad_alloc: cudaErrorMemoryAllocation: out of memory",
    "[virtualMemoryBuffer.cpp::resizePhysical::140] Error Code 2: OutOfMemory (Requested size was 8 bytes.)",
]
GPU_FAILED = [
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA driver error: unknown error",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0",
    "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0",
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
    "cudaErrorIllegalAddress: an illegal memory access was encountered",
]
OF_ROWS = [
    "mat1 and mat2 shapes cannot be multiplied (5x3 and 4x3)",
    "index 9 is out of bounds for dimension 0 with size 4",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED_SHAPE",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
]


@pytest.mark.parametrize("text", NO_MEMORY)
def test_too_little_memory_is_known_by_what_each_library_says_of_it(text):
    error = resource_error(text, "reason")
    assert (type(error), str(error)) == (MemoryError, "reason")


@pytest.mark.parametrize("text", GPU_FAILED)
def test_a_gpu_that_fails_is_known_by_what_each_library_says_of_it(text):
    error = resource_error(text, "reason")
    assert (type(error), str(error)) == (DeviceFailed, "the GPU failed: reason")


@pytest.mark.parametrize("text", OF_ROWS)
def test_what_may_be_about_the_rows_is_left_to_be_that(text):
    assert resource_error(text, "reason") is None
