"""Optimizers and schedules from configs: any mapping with a ``name``, and the parameters that go with it.

A config is read and checked to its last name before anything is made, and what fails while it is made leaves the
optimizer as it was. The registry of names is filled at import, by whoever imports; a dictionary's own atomicity
is all the guard that it needs.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, overload

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler, swa_utils
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau, SequentialLR

from pamiq_sched import _checks
from pamiq_sched.optim import builtin, curves, custom
from pamiq_sched.optim.address import extend_optimizer
from pamiq_sched.optim.compose import ProductScheduler, SequenceScheduler, checked_milestones
from pamiq_sched.optim.factory import arbitrary_schedule_factory
from pamiq_sched.optim.schedule import Schedule
from pamiq_sched.optim.stand_in import require_optimizer, restoring
from pamiq_sched.optim.synchronous import SynchronousSchedule
from pamiq_sched.optim.timm import TimmScheduler, scheduler_classes

Config: TypeAlias = Mapping[str, Any] | Iterable[Any] | str | Path
"""A mapping with a ``name`` (a dict, an OmegaConf DictConfig), a list of them, or the path of a YAML file."""

T = TypeVar("T")
FactoryT = TypeVar("FactoryT", bound=Callable[..., LRScheduler])

_BOOKKEEPING = {"name", "schedule_target", "default_value"}
_OF_SCHEDULE = {"mode", "by", "groups", "samples_per_step", "on_changed_curve", "schedule_name"}
_FUNCTIONS = {"lr_lambda", "scale_fn"}  # parameters that may be the place to import a function from


def build_optimizer(model_or_params: nn.Module | Iterable[Any], config: Config) -> Optimizer:
    """Make an optimizer.

    Args:
        model_or_params: A module, or what torch's optimizers take: parameters, or param groups.
        config: ``name``, a class of ``torch.optim`` or the place to import one from, and its parameters. A
            mapping without a name may have such a config under ``optimizer``.

    Raises:
        TypeError: If a parameter is missing, or a number was written as a string.
        ValueError: If there is no such optimizer or parameter; the nearest names are told.

    Example:
        >>> optimizer = build_optimizer(nn.Linear(10, 1), {"name": "AdamW", "lr": 0.001})
        >>> type(optimizer).__name__, optimizer.param_groups[0]["lr"]
        ('AdamW', 0.001)
    """
    node = _node(_read(config, "optimizer"), "optimizer")
    name = node.pop("name")
    classes = _subclasses(torch.optim, Optimizer)
    cls = _import(name, "optimizer", Optimizer) if "." in name else classes.get(name)
    if cls is None:
        raise ValueError(_checks.unknown("optimizer", name, classes))
    _refuse_parameters(name, cls, node, {"params"})
    params = model_or_params.parameters() if isinstance(model_or_params, nn.Module) else model_or_params
    return cast("Optimizer", _made(name, node, lambda: cls(params, **node)))


def build_scheduler(optimizer: Optimizer, config: Config) -> LRScheduler:
    """Make a schedule.

    Args:
        optimizer: Whose hyperparameters.
        config: ``name`` and its parameters; beside them ``schedule_target`` (``"lr"`` by default) and
            ``default_value``. The name is that of a scheduler of torch, of a function or class of this library, of
            a curve, of one given to :func:`register_scheduler`, ``timm_<Class>``, or the place to import a class
            from. ``ChainedScheduler`` and ``SequentialLR`` have configs under ``schedulers``. A list gives a
            :class:`SynchronousSchedule`. A mapping without a name may have all that under ``scheduler``.

    Returns:
        The schedule; its ``state_dict()`` and ``load_state_dict()`` are those of this library.

    Raises:
        TypeError: If a parameter is missing, or a number was written as a string.
        ValueError: If there is no such scheduler or parameter; the nearest names are told.
        RuntimeError: If two move one hyperparameter.
        ImportError: If timm is asked for and not installed.

    Example:
        >>> optimizer = build_optimizer(nn.Linear(10, 1), {"name": "AdamW", "lr": 0.001})
        >>> schedule = build_scheduler(optimizer, [
        ...     {"name": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2, "eta_min": 1e-6},
        ...     {"name": "StepLR", "step_size": 30, "gamma": 0.1, "schedule_target": "weight_decay"},
        ... ])
        >>> schedule.schedule_names
        ['lr', 'weight_decay']
    """
    require_optimizer(optimizer)
    content = _read(config, "scheduler")
    if isinstance(content, Mapping):
        plan = _plan(content)
        with restoring(optimizer):
            return plan.build(optimizer)
    plans = [_plan(part) for part in content]
    with restoring(optimizer):
        return SynchronousSchedule([plan.build(optimizer) for plan in plans])


@overload
def register_scheduler(name: str, factory: FactoryT) -> FactoryT: ...


@overload
def register_scheduler(name: str, factory: None = None) -> Callable[[FactoryT], FactoryT]: ...


def register_scheduler(
    name: str, factory: Callable[..., LRScheduler] | None = None
) -> Callable[..., LRScheduler] | Callable[[FactoryT], FactoryT]:
    """Give a scheduler a name for configs; by itself or as a decorator.

    Args:
        name: The name.
        factory: Called with an optimizer, whose ``lr`` it is to move, and the parameters of a config; an
            ``LRScheduler`` class or a function that returns one.

    Returns:
        The factory, or a decorator if there is none.

    Raises:
        TypeError: If the name is no string or the factory cannot be called.
        ValueError: If the name is taken by another factory.

    Example:
        >>> @register_scheduler("Halved")
        ... def halving(optimizer, every):
        ...     return lr_scheduler.StepLR(optimizer, every, gamma=0.5)
        >>> optimizer = build_optimizer(nn.Linear(1, 1), {"name": "SGD"})
        >>> build_scheduler(optimizer, {"name": "Halved", "every": 5}).gamma
        0.5
    """
    if factory is None:
        return lambda factory: register_scheduler(name, factory)
    _checks.instance("the name of a scheduler must be", name, str)
    if not callable(factory):
        raise TypeError(f"a scheduler is registered with what makes it, a class or a function, got {factory!r}")
    known = _registered.get(name) or _known().get(name)
    place = getattr(factory, "__module__", None), getattr(factory, "__qualname__", None)
    # One that is defined again, as notebooks do, takes the place of the former.
    if known is not None and (getattr(known, "__module__", 0), getattr(known, "__qualname__", 0)) != place:
        raise ValueError(f"the scheduler name {name!r} is taken by {known!r}; choose another")
    if name == "Schedule" or name.startswith("timm_") or name in curves.curve_names():
        raise ValueError(f"the scheduler name {name!r} is taken by the curves or by timm; choose another")
    _registered[name] = factory
    return factory


_registered: dict[str, Callable[..., LRScheduler]] = {}


@dataclass(frozen=True)
class _Plan:
    """A scheduler that can be made: its config has been read and found good."""

    name: str
    make: Callable[[Optimizer, str], LRScheduler]
    """From an optimizer and the hyperparameter."""
    target: str = "lr"
    default_value: float | None = None
    needs_stand_in: bool = True
    """Whether it only knows ``lr``."""
    is_torch: bool = False
    """Whether torch's own chained and sequential schedulers take it along."""
    is_leaf: bool = True

    def build(self, optimizer: Optimizer) -> LRScheduler:
        """Make it for the optimizer."""
        if self.needs_stand_in:
            return arbitrary_schedule_factory(
                optimizer, self.on_stand_in, default_value=self.default_value, schedule_target=self.target
            )
        if self.default_value is not None:
            extend_optimizer(optimizer, self.target, self.default_value)
        return self.make(optimizer, self.target)

    def on_stand_in(self, optimizer: Optimizer) -> LRScheduler:
        """Make it for whatever ``lr`` is."""
        return self.make(optimizer, "lr")


def _plan(config: Any, inside: str | None = None) -> _Plan:
    """Read the config of one scheduler.

    Args:
        config: The config.
        inside: The target of the scheduler that it is a part of, if it is.
    """
    node = _node(config, "scheduler")
    name = node.pop("name")
    target = node.pop("schedule_target", inside or "lr")
    default_value = node.pop("default_value", None)
    if inside is not None and (target != inside or default_value is not None):
        raise ValueError(
            f"{name} is a part of a scheduler of {inside!r} and moves the same, got schedule_target={target!r} "
            f"and default_value={default_value!r}; say both at the outermost"
        )
    known = _known()
    if name in {"ChainedScheduler", "SequentialLR"}:
        plan = _plan_composite(name, node, target)
    elif name.startswith("timm_"):
        plan = _plan_timm(name, node)
    elif name in curves.curve_names() or name == "Schedule":
        plan = _plan_curve(name, node)
    elif name in known or name in _registered or "." in name:
        factory = _registered.get(name) or known.get(name) or _import(name, "scheduler", None)
        plan = _plan_factory(name, factory, node)
    else:
        names = [*known, *_registered, *curves.curve_names(), "ChainedScheduler", "SequentialLR", "Schedule"]
        raise ValueError(_checks.unknown("scheduler", name, names))
    return _Plan(name, plan.make, target, default_value, plan.needs_stand_in, plan.is_torch, plan.is_leaf)


def _known() -> dict[str, Callable[..., LRScheduler]]:
    """All that are known by name and made of an optimizer and parameters."""
    ours = {
        name: value
        for module in (builtin, custom)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    # The name under which the same cycles go in the other spelling of the parameters.
    ours["CosineAnnealingWarmupRestarts"] = custom.CosineAnnealingWarmupReduceRestarts
    theirs = {**_subclasses(lr_scheduler, LRScheduler), "SWALR": swa_utils.SWALR}
    return theirs | ours


def _plan_factory(name: str, factory: Callable[..., LRScheduler], node: dict[str, Any]) -> _Plan:
    """A class or function called with an optimizer and parameters."""
    is_ours = getattr(factory, "__module__", "") in {builtin.__name__, custom.__name__}
    parameters = {key: _functions(value) if key in _FUNCTIONS else value for key, value in node.items()}
    # Where a schedule is comes from load_state_dict(), not from a last_epoch.
    _refuse_parameters(name, factory, parameters, {"optimizer", "schedule_target", "last_epoch"})
    if factory.__module__ == lr_scheduler.__name__:
        for key in {"step_size", "T_max"} & set(parameters):
            _checks.real(f"{key} of {name}", parameters[key], above=0)  # torch divides by it
        if factory is lr_scheduler.MultiStepLR:
            for milestone in _items(f"milestones of {name}", parameters["milestones"]):
                _checks.count(f"each of the milestones of {name}", milestone)
    if is_ours:
        return _Plan(
            name, lambda o, target: factory(o, schedule_target=target, **parameters), needs_stand_in=False
        )
    is_torch = factory.__module__.startswith("torch.") and factory is not ReduceLROnPlateau
    return _Plan(
        name, lambda o, _target: _made(name, parameters, lambda: factory(o, **parameters)), is_torch=is_torch
    )


def _plan_timm(name: str, node: dict[str, Any]) -> _Plan:
    classes = scheduler_classes()
    class_name = name.removeprefix("timm_")
    if class_name not in classes:
        raise ValueError(_checks.unknown("scheduler", name, [f"timm_{known}" for known in classes]))
    _refuse_parameters(name, classes[class_name], node, {"optimizer"})
    return _Plan(name, lambda o, _target: _made(name, node, lambda: TimmScheduler(o, class_name, node)))


def _plan_curve(name: str, node: dict[str, Any]) -> _Plan:
    """A curve by its name, or a Schedule with a curve, and what a Schedule takes."""
    options = {key: node.pop(key) for key in _OF_SCHEDULE & set(node)}
    if "schedule_name" in options:
        options["name"] = options.pop("schedule_name")
    if name == "Schedule":
        for key in sorted(set(node) - {"curve"}):
            raise ValueError(_checks.unknown(f"parameter of {name}", key, {"curve", *_OF_SCHEDULE, *_BOOKKEEPING}))
        if "curve" not in node:
            raise TypeError("the config of a Schedule lacks 'curve', the config of one")
        curve = curves.Curve.from_config(node["curve"])
    else:
        known = {*inspect.signature(curves.curve_class(name)).parameters}
        for key in set(node) - known:
            raise ValueError(_checks.unknown(f"parameter of {name}", key, known | _OF_SCHEDULE | _BOOKKEEPING))
        curve = curves.Curve.from_config({"name": name, **node})
    return _Plan(
        name, lambda o, target: Schedule(o, curve, schedule_target=target, **options), needs_stand_in=False
    )


def _plan_composite(name: str, node: dict[str, Any], target: str) -> _Plan:
    sequential = name == "SequentialLR"
    takes = {"schedulers", "milestones"} if sequential else {"schedulers"}
    for key in sorted(set(node) - takes):
        raise ValueError(_checks.unknown(f"parameter of {name}", key, takes))
    if missing := sorted(takes - set(node)):
        raise TypeError(f"the config of {name} lacks {missing}")
    if not isinstance(node["schedulers"], list):
        raise TypeError(f"the schedulers of {name} are a list of configs, got {node['schedulers']!r}")
    if not node["schedulers"]:
        raise ValueError(f"a {name} needs at least one scheduler, got none")
    parts = [_plan(part, inside=target) for part in node["schedulers"]]
    makers = [part.on_stand_in for part in parts]
    milestones = checked_milestones(node["milestones"], len(parts)) if sequential else []
    # What torch's own can take along goes to torch's own: its results are theirs to the last bit.
    is_torch = all(part.is_torch and (part.is_leaf or not sequential) for part in parts)
    if not is_torch and sequential:
        return _Plan(name, lambda o, _: SequenceScheduler(o, makers, milestones), is_leaf=False)
    if not is_torch:
        return _Plan(name, lambda o, _: ProductScheduler(o, makers), is_leaf=False)
    if sequential:
        # Not to be taken along by torch's: inside a chain it would put back what the others have made.
        return _Plan(name, lambda o, _: SequentialLR(o, [make(o) for make in makers], list(milestones)))
    return _Plan(
        name, lambda o, _: ChainedScheduler([make(o) for make in makers], o), is_torch=True, is_leaf=False
    )


def read_config(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        ImportError: If OmegaConf is not installed.
        FileNotFoundError: If there is no such file.
    """
    try:
        from omegaconf import OmegaConf  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError("configs in YAML files need OmegaConf: pip install 'pamiq-sched[config]'") from error
    return _plain(OmegaConf.load(path))


def _read(config: Config, section: str) -> Any:
    """Return a config as a plain dict or list of its own."""
    if isinstance(config, str | Path):
        if isinstance(config, str) and not config.endswith((".yaml", ".yml")):
            raise TypeError(
                f"a config is a mapping with a name, a list of them, or the path of a .yaml file, got {config!r}"
            )
        content = read_config(Path(config))
    else:
        content = _plain(config)
    if isinstance(content, dict) and "name" not in content and section in content:
        content = content[section]
    if not isinstance(content, dict | list):
        raise TypeError(f"a config is a mapping with a name or a list of them, got {content!r}")
    return content


def _plain(config: Any) -> Any:
    """Return a config with plain dicts and lists all the way down, OmegaConf's included."""
    omegaconf = sys.modules.get("omegaconf")  # whoever has such a config has imported it
    if omegaconf is not None and omegaconf.OmegaConf.is_config(config):
        return omegaconf.OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if isinstance(config, Mapping):
        return {key: _plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_plain(value) for value in config]
    return config


def _node(config: Any, kind: str) -> dict[str, Any]:
    """Return the config of one thing, with a name."""
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise TypeError(f'the config of one {kind} is a mapping with a "name", got {config!r}')
    for key, value in config.items():
        for one in value if isinstance(value, list) else [value]:
            if key != "name" and isinstance(one, str) and _is_number(one):
                raise TypeError(
                    f"{key!r} of {config['name']} must be a number, got the string {one!r}; without quotes, and "
                    "where YAML is read by YAML's own rules with a dot, it is one: 1.0e-6"
                )
    return dict(config)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_parameters(name: str, factory: Callable[..., Any], given: Mapping[str, Any], filled: set[str]) -> None:
    """Refuse parameters that a factory does not take, and the lack of those that it needs."""
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(factory).parameters.items()
        if key not in filled and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    for key in given:
        if key not in parameters and not takes_any:
            raise ValueError(_checks.unknown(f"parameter of {name}", key, parameters))
    missing = [key for key, p in parameters.items() if p.default is p.empty and key not in given]
    if missing:
        raise TypeError(f"the config of {name} lacks {', '.join(map(repr, missing))}; it has {sorted(given)}")
    if getattr(factory, "__module__", "").partition(".")[0] in {"torch", "timm"}:
        for key in given:
            _refuse_no_number(f"{key} of {name}", parameters[key], given[key])


def _refuse_no_number(name: str, parameter: inspect.Parameter, value: object) -> None:
    """Refuse what torch and timm take for a number, and trip over at some step or never: None, NaN, a string."""
    default, annotation = parameter.default, parameter.annotation
    if isinstance(value, torch.Tensor):
        return  # as a learning rate may be
    if isinstance(default, bool):
        _checks.flag(name, value)
    elif isinstance(default, tuple) and None not in default:
        for element in _items(name, value):
            _refuse_no_number(f"each of {name}", parameter.replace(default=None, annotation=float), element)
    elif annotation in (int, float, "int", "float") or annotation == float | torch.Tensor:
        _checks.real(name, value)


def _items(name: str, value: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} must be a list, got {value!r}")
    return value


def _made(name: str, parameters: Mapping[str, Any], make: Callable[[], T]) -> T:
    """Make something, and say of what where others only say what they do not like."""
    try:
        return make()
    except (TypeError, ValueError, AssertionError) as error:  # timm asserts
        kind = ValueError if isinstance(error, AssertionError) else type(error)
        if kind not in {TypeError, ValueError}:
            raise  # of its own kind, which says more
        raise kind(f"{name} cannot be made with {dict(parameters)}: {str(error) or repr(error)}") from error


def _subclasses(module: Any, base: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base and not name.startswith("_")
    }


def _import(path: str, kind: str, base: type | None) -> Any:
    """Return what a dotted path, or ``module:name``, leads to."""
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no {kind} to import at {path!r}: {error}") from error
    if not callable(found) or (base is not None and not (isinstance(found, type) and issubclass(found, base))):
        raise TypeError(f"what is at {path!r} makes no {kind}: {found!r}")
    return found


def _functions(value: Any) -> Any:
    """Return functions for the places to import them from."""
    if isinstance(value, list):
        return [_functions(one) for one in value]
    return _import(value, "function", None) if isinstance(value, str) else value
