"""What a system tells about itself. Immutable; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


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
    """Steps of the interaction."""
    sessions: Mapping[str, int]
    """Training sessions, by trainer."""
    deadline_misses: int
    """Deadlines that a paced interaction missed."""
    dropped: Mapping[str, int]
    """Collected items that were dropped because too many waited, by buffer."""
    pauses: int
    """Pauses that were acknowledged by every thread, those for saves included."""
    last_saved: Path | None
    """The latest state that was published."""
