"""From the module in training to its replicas: one pass over all parameters and buffers.

Which tensors belong together is found out once, and looked up anew only when one of the two modules has changed:
layers replaced, lazy ones shaped, a buffer that is assigned in forward(). Belongs to the thread that syncs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from pamiq_sched import _checks

Tensors = list[torch.Tensor]


class Layout:
    """The parameters and buffers of a module, in order, as they were at one moment.

    Args:
        module: Where they are; it is not kept alive.
    """

    def __init__(self, module: nn.Module) -> None:
        modules = list(module.modules())
        # The dicts in which torch itself keeps the members: to compare what is in them takes a fraction of a walk.
        self._dicts: list[Mapping[str, Any]] = [
            d
            for m in modules
            for d in (m._parameters, m._buffers, m._modules)  # noqa: SLF001
        ]
        self._members = self._look()
        self.parameters: dict[str, torch.Tensor] = dict(module.named_parameters())
        self.tensors: Tensors = [*self.parameters.values(), *module.buffers()]
        self.is_lazy = any(nn.parameter.is_lazy(tensor) for tensor in self.tensors)
        self.kinds = [] if self.is_lazy else self._kinds()

    def holds(self) -> bool:
        """Whether the module has the same tensors still, of the same shapes and dtypes."""
        now = self._look()
        return (
            not self.is_lazy
            and len(now) == len(self._members)
            and all(map(is_, now, self._members))
            and self._kinds() == self.kinds
        )

    def _look(self) -> list[Any]:
        return list(chain.from_iterable(d.values() for d in self._dicts))

    def _kinds(self) -> list[tuple[torch.Size, torch.dtype]]:
        return [(tensor.shape, tensor.dtype) for tensor in self.tensors]


class Layouts:
    """The layout of each module that is asked for, found out again when it does not hold any more."""

    def __init__(self) -> None:
        self._layouts: WeakKeyDictionary[nn.Module, Layout] = WeakKeyDictionary()

    def of(self, module: nn.Module) -> Layout:
        """Return the layout of a module as it is now."""
        layout = self._layouts.get(module)
        if layout is None or not layout.holds():
            layout = self._layouts[module] = Layout(module)
        return layout


class MovingAverage:
    r"""The exponential moving average of a module's parameters, in their own dtype.

    .. math:: a_1 = p_1, \quad a_{n+1} = d \, a_n + (1 - d) \, p_{n+1}

    Args:
        decay: d, from 0 to below 1.

    Source: Polyak & Juditsky, 1992, with exponential weights; as ``torch.optim.swa_utils.AveragedModel`` does it.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.parameters: dict[str, torch.Tensor] = {}
        """By the names that they have in the module; empty before the first update."""

    def update(self, layout: Layout) -> None:
        """Move on towards the parameters as they are now; one that is new, or of a new shape, is taken over."""
        moving: tuple[Tensors, Tensors] = [], []
        averages: dict[str, torch.Tensor] = {}
        for name, parameter in layout.parameters.items():
            average = self.parameters.get(name)
            if average is None or (average.shape, average.dtype) != (parameter.shape, parameter.dtype):
                average = parameter.detach().clone()
            else:
                moving[0].append(average)
                moving[1].append(parameter.detach())
            averages[name] = average
        self.parameters = averages
        floating = [average.is_floating_point() or average.is_complex() for average in moving[0]]
        if all(floating) and moving[0]:
            torch._foreach_lerp_(*moving, 1.0 - self._decay)  # the fused form of Tensor.lerp_
            return
        for average, parameter, is_floating in zip(*moving, floating, strict=True):
            if is_floating:
                average.lerp_(parameter, 1.0 - self._decay)
            else:
                average.copy_(parameter)

    def load(self, parameters: Mapping[str, torch.Tensor], layout: Layout) -> None:
        """Take over saved averages of a module's parameters, all of them or none.

        Raises:
            ValueError: If they are of other names or shapes.
        """
        if parameters:
            _checks.state_keys("a moving average", parameters, set(layout.parameters))
        for name, average in parameters.items():
            if average.shape != layout.parameters[name].shape:
                raise ValueError(
                    f"the saved average of {name!r} must have the shape of the parameter, "
                    f"{tuple(layout.parameters[name].shape)}, got {tuple(average.shape)}; another model saved it"
                )
        self.parameters = {
            name: average.to(device=layout.parameters[name].device, dtype=layout.parameters[name].dtype)
            for name, average in parameters.items()
        }

    def instead_of(self, layout: Layout) -> Tensors:
        """Return the tensors of a layout with the averages in the place of the parameters."""
        n = len(layout.parameters)
        return [*(self.parameters.get(k, v) for k, v in layout.parameters.items()), *layout.tensors[n:]]


def copy_tensors(sources: Tensors, targets: Tensors) -> None:
    """Copy each tensor over another, of the same shape, in one pass; dtypes and devices may differ."""
    if not targets:  # which the fused copy refuses
        return
    # In inference mode, for a buffer that the replica replaced while it inferred was made in it.
    with torch.inference_mode():
        torch._foreach_copy_(targets, sources, non_blocking=True)  # there is no public name


class CopyStream:
    """Copies that concern a GPU, beside what training and inference have queued there.

    The copy waits for the training that is queued and for those who still read the targets; training that comes
    later waits for the copy. The device waits, not the thread; only values that go to the CPU are waited for.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(
        self, sources: Tensors, targets: Tensors, readers: Iterable[torch.cuda.Event]
    ) -> torch.cuda.Event | None:
        """Copy, and return the event at which the targets are there; None if they are there already."""
        training = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(training)
        for event in readers:
            self._stream.wait_event(event)
        with torch.cuda.stream(self._stream):
            copy_tensors(sources, targets)
        written: torch.cuda.Event = self._stream.record_event()
        training.wait_event(written)
        if all(target.is_cuda for target in targets):
            return written
        written.synchronize()
        return None
