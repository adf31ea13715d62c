"""A PyTorch module as it is trained: one module for good, whose copies agents ask.

The module never changes its identity, so optimizers that hold its parameters live as long as it does.
Belongs to the training thread.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.clock import Clock
from pamiq_sched.lifecycle import noting
from pamiq_sched.model import TrainingModel
from pamiq_sched.state import codec
from pamiq_sched.torch.inference import (
    InferenceProcedure,
    Replica,
    TorchInferenceModel,
    converting_infer_procedure,
    default_infer_procedure,
    get_device,
)
from pamiq_sched.torch.pretrained import load_parameters
from pamiq_sched.torch.transfer import CopyStream, Layout, Layouts, MovingAverage, Tensors, copy_tensors

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_logger = logging.getLogger(__name__)


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
        pretrained_parameter_file: What to start from: a safetensors file; or, from torch 2.10 on, a state dict
            that torch has saved (``.pt``, ``.pth``), of which only weights are read.
        compile: Whether to compile the module and its replicas.
        inference_replicas: 2, so that nobody waits; or 1, where memory is short: then an inference that comes
            while a sync copies waits for the copy.
        inference_device: Where to put the replicas; where the module is if not given.
        inference_dtype: What to convert their floating-point parameters and buffers to; the default procedure
            converts the tensors that it is given as well. As the module's if not given.
        inference_compile: Whether to compile the replicas; as the module if not given.
        ema_decay: Let agents act on the exponential moving average of the parameters: how much of it each sync
            keeps, from 0 to below 1. The first sync takes the parameters over; buffers always are. Saved.
        example_inputs: Arguments for one inference, a tuple of positional or a dict of keyword ones: it is run
            on each replica before the threads start, so that no step of the agent pays for what the first call
            costs. Buffers and random generators are put back after it.
        clock: Agent time, for the staleness; the system clock by default.

    Raises:
        TypeError: If ``model`` is no module, the procedure cannot be called, or a value is of a wrong type.
        AttributeError: If the module has no method of that name.
        ValueError: If the parameter file is not such a file, a value is out of range, or something is said
            about replicas that there will not be.

    Example:
        >>> model = TorchTrainingModel(nn.Linear(2, 1), inference_dtype=torch.bfloat16)
        >>> model.inference_model(torch.zeros(1, 2)).dtype
        torch.bfloat16
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
        *,
        inference_replicas: int = 2,
        inference_device: torch.device | str | None = None,
        inference_dtype: torch.dtype | None = None,
        inference_compile: bool | None = None,
        ema_decay: float | None = None,
        example_inputs: tuple[Any, ...] | Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(has_inference_model, inference_thread_only)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {model!r}")
        if not self.is_synced:
            _refuse_replicas(
                inference_replicas=None if inference_replicas == 2 else inference_replicas,
                inference_device=inference_device,
                inference_dtype=inference_dtype,
                inference_compile=inference_compile,
                ema_decay=ema_decay,
            )
        if _checks.count("inference_replicas", inference_replicas, least=1) > 2:
            raise ValueError(
                f"inference_replicas must be 1 or 2, got {inference_replicas}; more would never be used"
            )
        if example_inputs is not None and not isinstance(example_inputs, tuple | Mapping):
            raise TypeError(
                "example_inputs must be a tuple of arguments or a dict of keyword arguments, got "
                f"{type(example_inputs).__name__}; put a single argument into a tuple: (argument,)"
            )
        _check_kinds(dtype=dtype, inference_dtype=inference_dtype)
        _check_places(device=device, inference_device=inference_device)
        if inference_dtype is not None and not inference_dtype.is_floating_point:
            raise ValueError(f"inference_dtype must be a floating-point dtype, got {inference_dtype}")
        _checks.flag("compile", compile)
        _checks.flag("inference_compile", compile if inference_compile is None else inference_compile)
        self._inference_procedure = _procedure_of(model, inference_procedure, inference_dtype)
        self.model: ModuleT = model.to(device=get_device(model) if device is None else device, dtype=dtype)
        """The module in training; the same object for good."""
        if pretrained_parameter_file is not None:
            load_parameters(self.model, pretrained_parameter_file)
        self._replica_count = inference_replicas
        self._replica_device = inference_device
        self._replica_dtype = inference_dtype
        self._compiles_replicas = compile if inference_compile is None else inference_compile
        self._average = (
            None if ema_decay is None else MovingAverage(_checks.real("ema_decay", ema_decay, least=0, below=1))
        )
        self._example_inputs = example_inputs
        self._clock = clock
        self._layouts = Layouts()
        # The version and what the agents acted upon, from load_state() until refresh().
        self._loaded: tuple[int | None, Tensors | None] = (None, None)
        self._stream: CopyStream | None = None  # made at the first copy that concerns a GPU
        if compile:
            if has_inference_model:
                _ = self.inference_model  # copied before compilation: a compiled module cannot be copied
            self.model.compile()

    @override
    def _create_inference_model(self) -> TorchInferenceModel[ModuleT]:
        procedure, clock = self._inference_procedure, self._clock
        if self.inference_thread_only:
            return TorchInferenceModel(self.model, procedure, clock=clock)
        spare = self._replica() if self._replica_count == 2 else None
        return TorchInferenceModel(self._replica(), procedure, spare=spare, clock=clock)

    def _replica(self) -> ModuleT:
        with noting(
            "raised while the module was copied for agents; give it a __deepcopy__ that leaves out what cannot be"
        ):
            replica = copy.deepcopy(self.model)
        replica = replica.to(device=self._replica_device, dtype=self._replica_dtype)
        if self._compiles_replicas:
            replica.compile()
        return replica

    @override
    def sync_impl(self, inference_model: TorchInferenceModel[ModuleT]) -> None:
        """Copy parameters and buffers into the replica that nobody uses, then publish it."""
        if self._average is not None:
            layout = self._layouts.of(self.model)
            if not layout.is_lazy:
                self._average.update(layout)
        inference_model.publish(self._write)

    def _write(self, replica: Replica[ModuleT]) -> None:
        source, target = self._layouts.of(self.model), self._layouts.of(replica.module)
        if not self._match(source, target):
            # Lazy or replaced layers: the module is not the one that was copied.
            replica.hold(self._replica())
            if source.is_lazy:
                return
            target = self._layouts.of(replica.module)
        sources = source.tensors if self._average is None else self._average.instead_of(source)
        gpu = next((t.device for t in (*target.tensors, *sources) if t.is_cuda), None)
        if gpu is None:
            copy_tensors(sources, target.tensors)
            return
        if self._stream is None:
            self._stream = CopyStream(gpu)
        replica.written = self._stream.copy(sources, target.tensors, replica.read.values())
        replica.read.clear()

    def _match(self, source: Layout, target: Layout) -> bool:
        wanted = self._replica_dtype
        kinds = [
            (shape, wanted if wanted is not None and dtype.is_floating_point else dtype)
            for shape, dtype in source.kinds
        ]
        return not source.is_lazy and not target.is_lazy and kinds == target.kinds

    @override
    def refresh(self) -> None:
        """Give the agents' side what was loaded, which is no step of the moving average."""
        if not self.is_synced:
            return
        self.inference_model.publish(self._write)
        (version, contents), self._loaded = self._loaded, (None, None)
        if version is not None:
            self.inference_model.continue_from(version)
        if contents is not None:
            copy_tensors(contents, self._layouts.of(self._published()).tensors)

    def _published(self) -> ModuleT:
        return self.inference_model.replicas()[0].module

    def _contents_of_its_own(self) -> Tensors | None:
        """What the agents act upon, unless a sync would give them just that."""
        if not self.is_synced:
            return None
        source, target = self._layouts.of(self.model), self._layouts.of(self._published())
        if source.is_lazy or target.is_lazy:
            return None
        synced = source.tensors if self._average is None else self._average.instead_of(source)
        if self._match(source, target) and all(
            torch.equal(own, new.to(own.device, own.dtype))
            for own, new in zip(target.tensors, synced, strict=True)
        ):
            return None
        return target.tensors

    @override
    def warm_up(self) -> None:
        """Infer once on each replica, with the example inputs, if there are any."""
        if self._example_inputs is None or not self.has_inference_model:
            return
        given = self._example_inputs
        args, kwds = ((), given) if isinstance(given, Mapping) else (given, {})
        for replica in self.inference_model.replicas():
            with torch.random.fork_rng(), torch.inference_mode(), _buffers_put_back(replica.module):
                self._inference_procedure(replica.module, *args, **kwds)

    @override
    def forward(self, *args: Any, **kwds: Any) -> Any:
        """Call the module in training."""
        return self.model(*args, **kwds)

    @override
    def save_state(self, path: Path) -> None:
        """Save the module, its moving average, the version, and what agents act upon where it differs."""
        state = {
            "module": self.model.state_dict(),
            "average": None if self._average is None else self._average.parameters,
            "version": self.inference_model.version if self.is_synced else 0,
            "agents": self._contents_of_its_own(),
        }
        codec.save(state, path)

    @override
    def load_state(self, path: Path) -> None:
        """Load the module's parameters and buffers, in place; :meth:`refresh` hands them to the agents.

        Raises:
            RuntimeError: If names or shapes are not those of the module.
            ValueError: If it is no state of a model.
        """
        state = codec.load(path)
        _checks.state_keys("a model", state, {"module", "average", "version", "agents"})
        self.model.load_state_dict(state["module"])
        self._loaded = _checks.count("the version", state["version"]), self._fitting(state["agents"], path)
        if self._average is not None and state["average"] is not None:
            self._average.load(state["average"], self._layouts.of(self.model))
        elif self._average is not None:
            _logger.warning("the state %s has no moving average; it starts from the loaded parameters", path)
            self._average.load({}, self._layouts.of(self.model))
        elif state["average"] is not None:
            _logger.warning("the state %s has a moving average, which this model does not keep", path)

    def _fitting(self, contents: Tensors | None, path: Path) -> Tensors | None:
        """Return saved contents of a replica if this model's can hold them; else it gets the loaded module's."""
        if contents is None or not self.is_synced:
            return None
        if [t.shape for t in contents] == [t.shape for t in self._layouts.of(self._published()).tensors]:
            return contents
        _logger.warning(
            "the state %s has what agents acted upon of another kind; they get the loaded module", path
        )
        return None


@contextmanager
def _buffers_put_back(module: nn.Module) -> Iterator[None]:
    kept = [
        (owner._buffers, name, buffer, None if buffer is None else buffer.clone())  # noqa: SLF001 - see Layout
        for owner in module.modules()
        for name, buffer in owner._buffers.items()  # noqa: SLF001
    ]
    try:
        yield
    finally:
        for buffers, name, buffer, before in kept:
            if buffer is not None and before is not None:
                buffer.copy_(before)
            buffers[name] = buffer


def _check_kinds(**kinds: object) -> None:
    for name, kind in kinds.items():
        if not isinstance(kind, torch.dtype | None):
            raise TypeError(f"{name} must be a torch.dtype, got {kind!r}")


def _check_places(**places: object) -> None:
    for name, place in places.items():
        if place is not None:
            _checks.device(name, place)


def _refuse_replicas(**said: object) -> None:
    """Refuse what is said about replicas of a model that has none."""
    for name, value in said.items():
        if value is not None:
            raise ValueError(
                f"{name} is about replicas, got {value!r}, but a model with inference_thread_only=True or "
                f"has_inference_model=False has none; leave {name} out"
            )


def _procedure_of(
    model: nn.Module, procedure: InferenceProcedure | str, dtype: torch.dtype | None
) -> InferenceProcedure:
    if procedure is default_infer_procedure and dtype is not None:
        return converting_infer_procedure(dtype)
    if isinstance(procedure, str):
        name = procedure
        found = inspect.getattr_static(type(model), name, None)
        if found is None:
            raise AttributeError(f"{type(model).__name__} has no method {name!r} to infer with")
        procedure = getattr(type(model), name)
    if not callable(procedure):
        raise TypeError(f"inference_procedure must be callable or the name of a method, got {procedure!r}")
    return procedure
