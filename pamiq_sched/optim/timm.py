"""timm's schedulers, the real ones, on any hyperparameter.

``import timm`` brings its model zoo along, and torchvision, which must match torch. Its schedulers need neither:
only that part of the installed package is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.optim.plateau import refuse_nan
from pamiq_sched.optim.stand_in import copied

_loading = threading.Lock()
_loaded: ModuleType | None = None  # timm.scheduler; guarded by _loading


def scheduler_classes() -> dict[str, type]:
    """Return timm's scheduler classes by name, as ``"CosineLRScheduler"``.

    Raises:
        ImportError: If timm is not installed.
    """
    module = _timm_scheduler()
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and name.endswith("Scheduler") and name != "Scheduler"
    }


def _timm_scheduler() -> ModuleType:
    global _loaded  # noqa: PLW0603 - loaded once in a process
    with _loading:
        if _loaded is None:
            _loaded = sys.modules.get("timm.scheduler") or _load_without_timm()
        return _loaded


def _load_without_timm() -> ModuleType:
    """Import ``timm.scheduler`` while an empty package stands where timm's own would run."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("timm's schedulers need timm: pip install 'pamiq-sched[timm]'")
    if "timm" in sys.modules:
        return importlib.import_module("timm.scheduler")
    package = ModuleType("timm")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["timm"] = package
    try:
        return importlib.import_module("timm.scheduler")
    finally:
        # A later `import timm` is to find nothing of ours.
        for name in [name for name in sys.modules if name == "timm" or name.startswith("timm.")]:
            del sys.modules[name]


class TimmScheduler(LRScheduler):
    """One of timm's schedulers, which counts its steps itself.

    Made on a stand-in by :func:`~pamiq_sched.optim.build_scheduler` under the name ``timm_<Class>``. Each
    :meth:`step` advances it, whatever ``t_in_epochs`` says.

    Args:
        optimizer: Its optimizer.
        class_name: Of timm's class.
        parameters: For that class.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such class.
        TypeError: If the parameters are not those of the class.
    """

    def __init__(self, optimizer: Optimizer, class_name: str, parameters: Mapping[str, Any]) -> None:
        classes = scheduler_classes()
        if class_name not in classes:
            raise ValueError(_checks.unknown("scheduler of timm", class_name, classes))
        self.optimizer = optimizer
        self.class_name = class_name
        self.parameters = dict(parameters)
        self._class = classes[class_name]
        self._inner = self._class(optimizer, **self.parameters)
        self.last_epoch = 0
        self._step_count = 1
        self._last_lr = _values(optimizer)

    @property
    def takes_metric(self) -> bool:
        """Whether it follows a metric, as timm's plateau does."""
        return hasattr(self._inner, "lr_scheduler")

    @override
    def step(self, metric: Any = None) -> None:
        """Move on by one.

        Raises:
            ValueError: If the metric is NaN.
        """
        if metric is not None:
            refuse_nan(metric)
        t = self.last_epoch + 1
        # timm's own two methods each do nothing for half of the settings.
        advance = self._inner.step if self._inner.t_in_epochs else self._inner.step_update
        advance(t, metric)
        self.last_epoch = t
        self._step_count += 1
        self._last_lr = _values(self.optimizer)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Its parameters, its count, and what a plateau remembers."""
        inner = self._inner
        return {
            "class_name": self.class_name,
            "parameters": _saved(self.parameters),
            "last_epoch": self.last_epoch,
            "plateau": inner.lr_scheduler.state_dict() if self.takes_metric else None,
            "restore_lr": getattr(inner, "restore_lr", None),
        }

    @override
    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the bases are what the stand-in noted.

        Raises:
            ValueError: If it is of another class of timm's.
        """
        if state_dict["class_name"] != self.class_name:
            raise ValueError(f"the state is of timm's {state_dict['class_name']}, this is a {self.class_name}")
        functions = {key: value for key, value in self.parameters.items() if callable(value)}
        parameters = {**state_dict["parameters"], **functions}
        with warnings.catch_warnings():  # of what was warned of when this one was made
            warnings.simplefilter("ignore", FutureWarning)
            # Made anew: warmup slopes and the like come from bases and parameters.
            inner = self._class(self.optimizer, **parameters)
        if hasattr(inner, "lr_scheduler"):
            inner.lr_scheduler.load_state_dict(state_dict["plateau"])
            inner.restore_lr = state_dict["restore_lr"]
        self.parameters, self._inner = parameters, inner
        self.last_epoch = _checks.count("last_epoch in the state", state_dict["last_epoch"])
        self._step_count = self.last_epoch + 1


def _values(optimizer: Optimizer) -> list[Any]:
    """The present values, tensors as copies: others may read them while the next step fills those."""
    return [copied(group["lr"]) for group in optimizer.param_groups]


def _saved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters without functions, which no state holds."""
    return {key: value for key, value in parameters.items() if not callable(value)}
