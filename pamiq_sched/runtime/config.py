"""How a system is run. Immutable; every wrong value is refused here, before there is a thread."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pamiq_sched import _checks
from pamiq_sched.clock import LARGEST_TIME_SCALE
from pamiq_sched.metrics.points import MetricsSink
from pamiq_sched.state import StatesKeeper
from pamiq_sched.state.generators import GREATEST_SEED

LEAST_TOKEN = 16
"""Characters of a token; shorter ones are found by trying."""

MOST_TORCH_THREADS = 1024
"""More than any machine has cores; beyond a limit of its own torch would fail in the thread."""


@dataclass(frozen=True)
class LaunchConfig:
    """How a system is run; pamiq-core's names.

    Raises:
        TypeError: Naming the field and the value that is of a wrong type.
        ValueError: Naming the field and the value that is out of range.

    Example:
        >>> LaunchConfig(max_uptime=-1)
        Traceback (most recent call last):
        ValueError: max_uptime must be a number of seconds above 0, got -1; for no limit, use infinity
    """

    states_dir: str | Path = Path("./states")
    """Where states are saved: on demand, when the condition says so, and at the end."""
    state_name_format: str = "%Y-%m-%d_%H-%M-%S,%f.state"
    """How a state is named, as for ``strftime``."""
    saved_state_path: str | Path | None = None
    """A state to start from; ``"latest"`` is the newest in ``states_dir``; see also ``latest_state``."""
    save_state_condition: Callable[[], bool] | None = None
    """Asked by the control thread whether to save; see ``PeriodicSaveCondition``, ``StepSaveCondition``."""
    states_keeper: StatesKeeper | None = None
    """Removes old states; see ``LatestStatesKeeper``, ``BestStatesKeeper``."""
    timeout_for_all_threads_pause: float = 60.0
    """How many seconds a pause may take to be acknowledged by every thread."""
    max_attempts_to_pause_all_threads: int = 3
    """How often a pause is tried."""
    max_uptime: float = math.inf
    """Agent seconds after which the system shuts down."""
    web_api_address: tuple[str, int] | None = None
    """Host and port where to serve HTTP control and the dashboard, ``("127.0.0.1", 8391)``, say; port 0 takes a
    free one. None serves nothing. A host that others reach needs a token, and a network that can be trusted."""
    web_api_command_queue_size: int = 16
    """How many HTTP commands may be unfinished at a time; a shutdown is always accepted."""
    log_tick_time_statistics_interval: float = 60.0
    """Agent seconds between two log lines about the steps of the interaction."""
    time_scale: float = 1.0
    """Agent seconds per second."""

    # The fields of pamiq-core end here, in its order.
    seed: int | None = None
    """Seeds python's, numpy's and torch's own random generators at the start, and the environment. What was made
    before, a network say, has drawn already: seed by yourself before you make it. A run that goes on from a state
    goes on with the generators of that state."""
    session_end_timeout: float = 10.0
    """How many seconds a save waits for the end of the training session under way, while the agent acts on. One
    that takes longer is stopped at its next pause point: the rest of it is not in the state."""
    allow_crashed_state: bool = False
    """Whether to start from the state of a run that an error ended."""
    fall_back_to_older_state: bool = False
    """Whether to start from an older state if the latest is damaged."""
    shutdown_timeout: float = 60.0
    """How many seconds the threads may take to end before they are given up, with an error; likewise the
    components to hand over their states for the last save."""
    web_api_token: str | bool = True
    """What HTTP requests must carry: True makes a random token, which is printed at the start and kept in a file
    that only the user can read; a string of at least 16 characters is one; False asks for none."""
    metrics_sinks: Sequence[MetricsSink] = ()
    """Where the numbers go that trainers and agents log, and the runtime's own; see ``JsonLinesSink``,
    ``TensorBoardSink``. Closed at the end."""
    metrics_interval: float = 0.25
    """Seconds between two looks at what was logged. Of the values of a name in between up to four points are kept:
    each value, or means with their extremes if there were more."""
    watchdog_deadline: float = 60.0
    """After how many seconds without a step, or a pause point in training, a thread is named in log and status,
    with its stack. The pause between paced steps comes on top; waiting for data does not count."""
    inference_torch_threads: int | None = None
    """Cores that one torch operation may use in the inference thread; 1 if not given."""
    training_torch_threads: int | None = None
    """Cores that one torch operation may use in the training thread; all but one if not given."""
    switch_interval: float | None = 0.00002
    """Seconds after which a thread that computes in Python lets another one go on (``sys.setswitchinterval``): how
    long a step of the agent may wait for a trainer, at each operation. None leaves it as it is."""
    freeze_garbage: bool = True
    """Whether to leave what is there at the start out of garbage collections (``gc.freeze``), which hold every
    thread up: with torch loaded, one that looks at everything takes 0.1 s or more."""

    @classmethod
    def of(cls, config: Mapping[str, Any] | LaunchConfig | None) -> LaunchConfig:
        """Return a config as itself, or made of its fields by name.

        Raises:
            TypeError: Naming a field that there is not, or a value of a wrong type.
            ValueError: Naming the field and the value that is out of range.
        """
        if isinstance(config, LaunchConfig):
            return config
        if config is not None and not isinstance(config, Mapping):
            raise TypeError(f"config must be a LaunchConfig or map names of its fields to values, got {config!r}")
        known = cls.__dataclass_fields__
        for name in config or ():
            if name not in known:
                raise TypeError(_checks.unknown("field of LaunchConfig", str(name), known))
        return cls(**(config or {}))

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _checks.path("states_dir", self.states_dir)
        if self.saved_state_path is not None:
            _checks.path("saved_state_path", self.saved_state_path)
        self._check_name_format()
        for name in ("allow_crashed_state", "fall_back_to_older_state", "freeze_garbage"):
            _checks.flag(name, getattr(self, name))
        if self.save_state_condition is not None and not callable(self.save_state_condition):
            raise TypeError(f"save_state_condition must be callable, got {self.save_state_condition!r}")
        if self.states_keeper is not None and not isinstance(self.states_keeper, StatesKeeper):
            raise TypeError(f"states_keeper must be a StatesKeeper, got {self.states_keeper!r}")
        for name in ("timeout_for_all_threads_pause", "shutdown_timeout", "watchdog_deadline"):
            _checks.seconds(name, getattr(self, name), infinite=True)
        _checks.interval("log_tick_time_statistics_interval", self.log_tick_time_statistics_interval)
        _checks.seconds("session_end_timeout", self.session_end_timeout, zero=True, infinite=True)
        _checks.seconds("max_uptime", self.max_uptime, infinite=True, remedy="for no limit, use infinity")
        _checks.real("time_scale", self.time_scale, above=0, most=LARGEST_TIME_SCALE)
        if self.switch_interval is not None:
            remedy = "it is in seconds; to leave it as it is, give None"
            _checks.real("switch_interval", self.switch_interval, least=1e-6, most=1, remedy=remedy)
        _checks.count("max_attempts_to_pause_all_threads", self.max_attempts_to_pause_all_threads, least=1)
        _checks.count("web_api_command_queue_size", self.web_api_command_queue_size, least=1)
        if self.seed is not None:
            _checks.count("seed", self.seed, most=GREATEST_SEED)
        for name in ("inference_torch_threads", "training_torch_threads"):
            if getattr(self, name) is not None:
                _checks.count(name, getattr(self, name), least=1, most=MOST_TORCH_THREADS)
        _checks.real("metrics_interval", self.metrics_interval, least=0.01, most=3600, remedy="it is in seconds")
        sinks: Any = self.metrics_sinks
        if not isinstance(sinks, list | tuple) or not all(isinstance(sink, MetricsSink) for sink in sinks):
            raise TypeError(f"metrics_sinks must be a list of MetricsSink objects, got {sinks!r}")
        self._check_web()

    def _check_web(self) -> None:
        token = self.web_api_token
        if not isinstance(token, str | bool):
            raise TypeError(f"web_api_token must be True, False or a string, got {token!r}")
        if isinstance(token, str) and (len(token) < LEAST_TOKEN or not all("!" <= c <= "~" for c in token)):
            raise ValueError(
                f"web_api_token must have at least {LEAST_TOKEN} ASCII characters, none of them a space, "
                f"got {token!r}; True makes a random one"
            )
        address: Any = self.web_api_address
        if address is None:
            return
        if not isinstance(address, list | tuple) or len(address) != 2:
            raise TypeError(
                f'web_api_address must be a host and a port, as ("127.0.0.1", 8391), or None, got {address!r}'
            )
        host, port = address
        if not isinstance(host, str) or not host:
            raise TypeError(f"the host of web_api_address must be a name or an IP address, got {address!r}")
        _checks.count(f"the port of web_api_address={address!r}", port, most=65_535)
        if token is False and not _is_loopback(host):
            raise ValueError(
                f"web_api_address={address!r} can be reached by others, who could stop the agent: "
                "web_api_token must be True or a token of your own there, got False"
            )

    def _check_name_format(self) -> None:
        if not isinstance(self.state_name_format, str):
            raise TypeError(f"state_name_format must be a string, got {self.state_name_format!r}")
        try:
            _checks.component_name("state", datetime(2026, 1, 1).strftime(self.state_name_format))
        except ValueError as error:
            raise ValueError(
                f"state_name_format must make file names, got {self.state_name_format!r}; {error}"
            ) from error


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host; a name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
