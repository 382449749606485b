# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How ONNX Runtime is to run a model: execution providers, graph optimization and session configuration.

Names are those of https://onnxruntime.ai/docs/execution-providers/ and, for the configuration, of
https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.contract.problems import did_you_mean
from expansion.errors import Problem, SystemicError
from expansion.models.runtime import GET_A_GPU, Runtime, cuda_gpu_count

_LOG = logging.getLogger(__name__)

_PROVIDERS = (
    "ACLExecutionProvider",
    "ArmNNExecutionProvider",
    "AzureExecutionProvider",
    "CANNExecutionProvider",
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "CoreMLExecutionProvider",
    "DmlExecutionProvider",
    "DnnlExecutionProvider",
    "JsExecutionProvider",
    "MIGraphXExecutionProvider",
    "NnapiExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
    "OpenVINOExecutionProvider",
    "QNNExecutionProvider",
    "ROCMExecutionProvider",
    "RknpuExecutionProvider",
    "TensorrtExecutionProvider",
    "TvmExecutionProvider",
    "VitisAIExecutionProvider",
    "VSINPUExecutionProvider",
    "WebGpuExecutionProvider",
    "WebNNExecutionProvider",
    "XnnpackExecutionProvider",
)
# Those that run on a GPU that CUDA counts, and take its index as "device_id".
_ON_CUDA = frozenset({"CUDAExecutionProvider", "NvTensorRTRTXExecutionProvider", "TensorrtExecutionProvider"})

_OPTIMIZATIONS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

# Entries that decide on speed and numerics. Others are refused: ONNX Runtime ignores names that it does not know, and
# some of those that it knows read and write files, such as session.collect_node_memory_stats_to_file.
_ENTRIES = (
    "session.allow_released_opsets_only",
    "session.disable_aot_function_inlining",
    "session.disable_cpu_ep_fallback",
    "session.disable_double_qdq_remover",
    "session.disable_prepacking",
    "session.disable_qdq_constant_folding",
    "session.disable_quant_qdq",
    "session.dynamic_block_base",
    "session.enable_dq_matmulnbits_fusion",
    "session.enable_quant_qdq_cleanup",
    "session.force_spinning_stop",
    "session.graph_optimizations_loop_level",
    "session.inter_op.allow_spinning",
    "session.intra_op.allow_spinning",
    "session.intra_op.spin_backoff_max",
    "session.intra_op.spin_duration_us",
    "session.intra_op_thread_affinities",
    "session.qdq_matmulnbits_accuracy_level",
    "session.qdq_matmulnbits_block_size",
    "session.set_denormal_as_zero",
    "session.strict_shape_type_inference",
    "session.use_device_allocator_for_initializers",
)


def check_session(config: model_pb2.OnnxModel) -> Iterator[Problem]:
    """Yields what is wrong with providers, graph_optimization and session_config."""
    for index, name in enumerate(config.providers):
        if name not in _PROVIDERS:
            yield Problem(f"providers[{index}]", f"unknown provider {name!r}; {did_you_mean(name, _PROVIDERS)}")
        elif name in config.providers[:index]:
            yield Problem(f"providers[{index}]", f"{name!r} is named twice; name it once")
    level = config.graph_optimization
    if level and level not in _OPTIMIZATIONS:
        yield Problem("graph_optimization", f"got {level!r}; {did_you_mean(level, _OPTIMIZATIONS)}")
    for name in sorted(config.session_config):
        if not name.startswith("session."):
            yield Problem("session_config", f"got {name!r}; expected a name that begins with 'session.'")
        elif name not in _ENTRIES:
            yield Problem("session_config", f"{name!r} can't be set here; {did_you_mean(name, _ENTRIES)}")


def make_session(path: Path, config: model_pb2.OnnxModel, runtime: Runtime) -> Any:
    """Makes the InferenceSession.

    Args:
        path: The model file.
        config: The message.
        runtime: Device and threads.

    Raises:
        SystemicError: The device or a provider is not there.
        Exception: What ONNX Runtime raises when it can't load the model.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    gpu_count = cuda_gpu_count() if _ON_CUDA.intersection(available) else 0
    providers = choose_providers(config.providers, runtime, available, gpu_count)
    if any(options for _, options in providers) and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN, where they are installed as packages of Python
    session = onnxruntime.InferenceSession(str(path), _options(config, runtime), providers=providers)
    _check_started(config.uri, [name for name, _ in providers], session.get_providers(), runtime, gpu_count)
    return session


def choose_providers(
    named: Sequence[str], runtime: Runtime, available: Collection[str], gpu_count: int
) -> list[tuple[str, dict[str, str]]]:
    """Returns the providers to use, in order of preference, each with its options.

    Args:
        named: Providers as configured; empty: CUDA's on the GPU that ``runtime`` comes out as, and the CPU's.
        runtime: The device.
        available: The providers that this onnxruntime was built with.
        gpu_count: GPUs that it can use.

    Raises:
        SystemicError: A provider or a GPU that is configured is not there, or the configuration contradicts itself.
    """
    missing = [name for name in named if name not in available]
    if missing:
        raise SystemicError(
            f"the workers' onnxruntime has no {', '.join(missing)}, only {', '.join(sorted(available))}; install the "
            "package that has it (onnxruntime-gpu in place of onnxruntime for CUDA and TensorRT), or change providers"
        )
    on_cuda = _ON_CUDA.intersection(named or {"CUDAExecutionProvider"}).intersection(available)
    if named and on_cuda and runtime.device == "cpu":
        raise SystemicError(f"device is 'cpu', and providers names {', '.join(sorted(on_cuda))}; leave out one of them")
    device = runtime.pick_device(gpu_count if on_cuda else 0)
    options = {} if device == "cpu" else {"device_id": device.partition(":")[2]}
    if not named:
        named = ["CUDAExecutionProvider", "CPUExecutionProvider"] if options else ["CPUExecutionProvider"]
    return [(name, options if name in _ON_CUDA else {}) for name in named]


def giving_back(session: Any) -> Any:
    """Returns options for a run of a session after which it gives back memory that it has and does not use.

    It keeps it otherwise, in pieces of sizes that a smaller batch may have no use for, and other processes neither.
    """
    import onnxruntime

    arenas = ["cpu:0"]
    if "CUDAExecutionProvider" in session.get_providers():
        arenas.append(f"gpu:{session.get_provider_options()['CUDAExecutionProvider'].get('device_id', 0)}")
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", ";".join(arenas))
    return options


def _options(config: model_pb2.OnnxModel, runtime: Runtime) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.thread_count()
    options.log_severity_level = 4  # fatal; errors are raised, and would be logged for every bad row
    level = _OPTIMIZATIONS[config.graph_optimization or "all"]
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    # Threads that wait for work would spin, on cores that the worker's other bundles and processes need. Measured with
    # a perceptron of four layers and 2 threads on 2 cores: two sessions at once, in one process or in two, run 0.47
    # million rows/s without spinning and 0.28 with it; one that has the machine to itself, 0.42 and 0.48.
    entries = {"session.intra_op.allow_spinning": "0", **config.session_config}
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return options


def _check_started(uri: str, wanted: Sequence[str], started: Collection[str], runtime: Runtime, gpu_count: int) -> None:
    """Says which providers ONNX Runtime went on without, which it only warns of.

    Raises:
        SystemicError: A GPU is configured, and nothing runs on it.
    """
    missing = [name for name in wanted if name not in started]
    if not missing:
        return
    fix = "install the CUDA, cuDNN and TensorRT that it was built for"
    if _ON_CUDA.issuperset(missing) and not gpu_count:
        fix = f"this worker has no GPU that CUDA shows; {GET_A_GPU}; or leave providers out"
    reason = f"ONNX Runtime can't start {', '.join(missing)}: {fix}"
    if runtime.device.startswith("cuda") and not _ON_CUDA.intersection(started):
        raise SystemicError(reason)
    _LOG.warning("%s runs on %s. %s", uri, ", ".join(started), reason)
