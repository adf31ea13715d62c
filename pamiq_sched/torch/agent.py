"""Agents that infer with PyTorch models. Belongs to the inference thread."""

from __future__ import annotations

from typing import cast

from torch import nn
from typing_extensions import TypeVar

from pamiq_sched import _checks
from pamiq_sched.interaction import Agent
from pamiq_sched.torch.inference import TorchInferenceModel

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")
ModuleT = TypeVar("ModuleT", bound=nn.Module, default=nn.Module)


class TorchAgent(Agent[ObsT, ActT]):
    """An agent with typed access to PyTorch models."""

    def get_torch_inference_model(
        self,
        name: str,
        module_cls: type[ModuleT] = nn.Module,  # type: ignore[assignment]
    ) -> TorchInferenceModel[ModuleT]:
        """Return a PyTorch model to infer with.

        Args:
            name: Its name in the system.
            module_cls: What its module must be an instance of.

        Raises:
            KeyError: If there is none of that name.
            TypeError: If it is not a PyTorch model, or its module of another class.
        """
        model = self.get_inference_model(name)
        _checks.instance(f"the model {name!r} must be", model, TorchInferenceModel)
        torch_model = cast("TorchInferenceModel[ModuleT]", model)
        with torch_model.unwrap() as module:
            _checks.instance(f"the module of the model {name!r} must be", module, module_cls)
        return torch_model
