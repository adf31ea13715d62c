"""What a system tells about itself. Immutable; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pamiq_sched.metrics import Durations
from pamiq_sched.model import Staleness

TOLD_AS_EVENT = {"is_told_as_event": True}
"""Goes with the record of a log line whose matter is an event as well, so that who gets both shows it once."""


class SystemStatus(Enum):
    """What a system is doing."""

    ACTIVE = "active"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    SAVING = "saving"
    SHUTTING_DOWN = "shutting down"
    OFFLINE = "offline"

    @property
    def status_name(self) -> str:
        """The name in lower case, for people."""
        return self.value


@dataclass(frozen=True)
class Status:
    """One look at a system."""

    state: SystemStatus
    uptime: float
    """Agent seconds since the start."""
    steps: int
    """Steps of the interaction, of all runs that were continued."""
    sessions: Mapping[str, int]
    """Training sessions, by trainer, of all runs that were continued."""
    deadline_misses: int
    """Deadlines that had passed before a paced interaction waited for them."""
    step_times: Durations
    """Agent seconds from the beginning of a step's observing to the end of its affecting, without the wait."""
    lateness: Durations
    """Agent seconds from a deadline to the beginning of its step; all 0 if the interaction is not paced."""
    dropped: Mapping[str, int]
    """Collected items that were dropped because too many waited, by buffer."""
    replay_ratios: Mapping[str, float | None]
    """Samples trained per item collected, by trainer; see :attr:`Trainer.replay_ratio`."""
    staleness: Mapping[str, Staleness]
    """How far what the agent acts upon is behind what was learned, by model."""
    pauses: int
    """Pauses that were acknowledged by every thread, those for saves included, of all runs that were continued."""
    last_saved: Path | None
    """The latest state that was published."""
    last_saved_at: float | None
    """When it was on the disk, in seconds since 1970."""
    is_saving: bool
    """Whether a state is being taken or written."""
    stuck: Mapping[str, str]
    """Threads that have not come by for the ``watchdog_deadline``, each with its stack as it was then."""
    not_restored: tuple[str, ...]
    """What a run that goes on from a state had to begin anew: parts without a state of their own, say."""
