# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the PyTorch models that the conformance cases name, small and exact enough to check by hand."""

from pathlib import Path

import torch


class SumAndDouble(torch.nn.Module):
    """x FP32[n] → its sum, and its double."""

    def forward(self, x):
        return {"sum": x.sum(dim=1), "double": x * 2}


def write(directory: Path) -> None:
    """Writes the same module as an exported program for rows of two and as TorchScript for rows of any size."""
    module = SumAndDouble().eval()
    shapes = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module, (torch.zeros(2, 2),), dynamic_shapes=shapes)
    torch.export.save(program, directory / "sum_and_double.pt2")
    torch.jit.script(module).save(str(directory / "sum_and_double.pt"))
    content = (directory / "sum_and_double.pt2").read_bytes()
    (directory / "truncated.pt2").write_bytes(content[: len(content) // 2])
