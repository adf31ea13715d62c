"""A PyTorch module as it is trained: one module for good, whose copies agents ask.

The module never changes its identity, so optimizers that hold its parameters live as long as it does.
Belongs to the training thread.
"""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import nn
from typing_extensions import override

from pamiq_sched.model import TrainingModel
from pamiq_sched.state import codec
from pamiq_sched.torch.inference import (
    InferenceProcedure,
    TorchInferenceModel,
    default_infer_procedure,
    get_device,
)

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class TorchTrainingModel(TrainingModel[TorchInferenceModel[ModuleT]]):
    """Keeps one module for training and gives agents replicas of it.

    Args:
        model: The module to train.
        has_inference_model: Whether agents can ask it.
        inference_thread_only: Whether it is not trained: agents use the very module, in eval mode.
        device: Where to put it; where it is if not given.
        dtype: What to convert its floating-point parameters and buffers to; as they are if not given.
        inference_procedure: How agents ask it: a callable given the module and their arguments, or the name
            of a method of the module.
        pretrained_parameter_file: A safetensors file to start from.
        compile: Whether to compile the module and its replicas.

    Raises:
        TypeError: If ``model`` is no module, or the procedure cannot be called.
        AttributeError: If the module has no method of that name.
        ValueError: If the parameter file is not a safetensors file.

    Example:
        >>> model = TorchTrainingModel(nn.Linear(2, 1))
        >>> model.inference_model(torch.zeros(1, 2)).shape
        torch.Size([1, 1])
    """

    def __init__(
        self,
        model: ModuleT,
        has_inference_model: bool = True,
        inference_thread_only: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        inference_procedure: InferenceProcedure | str = default_infer_procedure,
        pretrained_parameter_file: str | Path | None = None,
        compile: bool = False,  # noqa: A002 - pamiq-core's name
    ) -> None:
        super().__init__(has_inference_model, inference_thread_only)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {model!r}")
        self._inference_procedure = _procedure_of(model, inference_procedure)
        self.model = model.to(device=get_device(model) if device is None else device, dtype=dtype)
        """The module in training; the same object for good."""
        if pretrained_parameter_file is not None:
            _load_parameters(self.model, Path(pretrained_parameter_file))
        self._compile = compile
        if compile:
            if has_inference_model:
                _ = self.inference_model  # copied before compilation: a compiled module cannot be copied
            self.model.compile()

    @override
    def _create_inference_model(self) -> TorchInferenceModel[ModuleT]:
        if self.inference_thread_only:
            return TorchInferenceModel(self.model, self._inference_procedure)
        return TorchInferenceModel(self._replica(), self._inference_procedure, spare=self._replica())

    def _replica(self) -> ModuleT:
        replica = copy.deepcopy(self.model).eval()
        if self._compile:
            replica.compile()
        return replica

    @override
    def sync_impl(self, inference_model: TorchInferenceModel[ModuleT]) -> None:
        """Copy parameters and buffers into the replica that nobody uses, then publish it."""
        inference_model.publish(self._copy_into)

    def _copy_into(self, replica: ModuleT) -> ModuleT:
        sources, targets = _tensors(self.model), _tensors(replica)
        if not _match(sources, targets):
            return self._replica()  # lazy or replaced layers: the module is not the one that was copied
        if not sources:
            return replica
        # In inference mode, for a buffer that the replica replaced while it inferred was made in it.
        with torch.inference_mode():
            torch._foreach_copy_(targets, sources)
        if any(t.is_cuda for t in targets):
            # The copy is queued; whoever infers on another stream must not overtake it.
            torch.cuda.current_stream(get_device(replica)).synchronize()
        return replica

    @override
    def forward(self, *args: Any, **kwds: Any) -> Any:
        """Call the module in training."""
        return self.model(*args, **kwds)

    @override
    def save_state(self, path: Path) -> None:
        """Save the module's parameters and buffers."""
        codec.save(self.model.state_dict(), path)

    @override
    def load_state(self, path: Path) -> None:
        """Load the module's parameters and buffers, in place.

        Raises:
            RuntimeError: If names or shapes are not those of the module.
        """
        self.model.load_state_dict(codec.load(path))


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _match(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> bool:
    if any(nn.parameter.is_lazy(t) for t in (*sources, *targets)):
        return False
    return [(s.shape, s.dtype) for s in sources] == [(t.shape, t.dtype) for t in targets]


def _procedure_of(model: nn.Module, procedure: InferenceProcedure | str) -> InferenceProcedure:
    if isinstance(procedure, str):
        name = procedure
        found = inspect.getattr_static(type(model), name, None)
        if found is None:
            raise AttributeError(f"{type(model).__name__} has no method {name!r} to infer with")
        procedure = getattr(type(model), name)
    if not callable(procedure):
        raise TypeError(f"inference_procedure must be callable or the name of a method, got {procedure!r}")
    return procedure


def _load_parameters(model: nn.Module, file: Path) -> None:
    if file.suffix != ".safetensors":
        raise ValueError(
            f"pretrained_parameter_file must be a safetensors file, got {str(file)!r}; other formats can run code "
            "when they are read: convert it once with safetensors.torch.save_model(model, file)"
        )
    safetensors.torch.load_model(model, file)
