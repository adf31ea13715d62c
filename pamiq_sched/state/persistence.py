"""Components whose state is a ``state_dict()``. Called by the control thread while the others stand still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from pamiq_sched.lifecycle import PersistentStateMixin
from pamiq_sched.state import codec


class StateDictMixin(PersistentStateMixin):
    """A component whose state is ``state_dict()``, kept by the codec, beside what its other bases keep."""

    def state_dict(self) -> dict[str, Any]:
        """The state, made of what the codec can write."""
        raise NotImplementedError(f"{type(self).__name__} must override state_dict()")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state from :meth:`state_dict`."""
        raise NotImplementedError(f"{type(self).__name__} must override load_state_dict()")

    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        codec.save(self.state_dict(), path)

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path)
        self.load_state_dict(codec.load(path))
