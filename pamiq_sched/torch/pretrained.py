"""Parameters to start from, read from a file without running what is in it. Belongs to whoever makes a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.torch_version import TorchVersion

from pamiq_sched import _checks
from pamiq_sched.lifecycle import noting

SAFE_SINCE = "2.10"
"""Before, a file could run code although only weights were to be read: CVE-2025-32434, CVE-2026-24747."""

CONVERT = "convert it once with safetensors.torch.save_model(model, file)"


def load_parameters(model: nn.Module, file: str | Path) -> None:
    """Fill a module's parameters and buffers from a safetensors file, or from a state dict that torch has saved.

    Args:
        model: The module, of which the file must have every parameter and buffer.
        file: ``.safetensors``; or ``.pt`` or ``.pth``, of which only weights are read.

    Raises:
        TypeError: If it is no path.
        ValueError: If it is of another kind, holds more than weights, or this torch cannot read weights safely.
        RuntimeError: If names or shapes are not those of the module.
    """
    path = _checks.path("pretrained_parameter_file", file)
    if path.suffix == ".safetensors":
        with noting(f"raised by the parameters of {str(path)!r}"):
            safetensors.torch.load_model(model, path)
    elif path.suffix in {".pt", ".pth"}:
        weights = _weights(path)
        with noting(f"raised by the parameters of {str(path)!r}"):
            model.load_state_dict(weights)
    else:
        raise ValueError(
            f"pretrained_parameter_file must be a .safetensors, .pt or .pth file, got {str(file)!r}; {CONVERT}"
        )


def _weights(path: Path) -> dict[str, torch.Tensor]:
    if TorchVersion(torch.__version__) < SAFE_SINCE:
        raise ValueError(
            f"a .pt or .pth file can run code when torch {torch.__version__} reads it, got {str(path)!r}; "
            f"install torch>={SAFE_SINCE}, or {CONVERT}"
        )
    rule = f"pretrained_parameter_file must hold the state dict of a module and nothing else, got {str(path)!r}"
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{rule}, which cannot be read as that; {CONVERT}") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        keys = f"the keys {sorted(map(str, found))[:8]}" if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(f"{rule} with {keys}; save model.state_dict() by itself, or {CONVERT}")
    return dict(found)
