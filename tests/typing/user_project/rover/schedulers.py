"""A scheduler of one's own."""

from __future__ import annotations

from collections.abc import Callable

from typing_extensions import override

from pamiq_sched import Scheduler, StepIntervalScheduler, TimeIntervalScheduler


class EveryDoubling(Scheduler):
    """Fires at ticks 1, 2, 4, 8 and so on."""

    def __init__(self, *callbacks: Callable[[], object]) -> None:
        super().__init__(callbacks)
        self.ticks = 0
        self.due = 1

    @override
    def is_available(self) -> bool:
        return self.ticks >= self.due

    @override
    def update(self) -> None:
        self.ticks += 1
        super().update()
        if self.ticks >= self.due:
            self.due *= 2


def given() -> list[Scheduler]:
    fired: list[str] = []

    def tell() -> None:
        fired.append("due")

    steps = StepIntervalScheduler(10, tell)
    seconds = TimeIntervalScheduler(0.5, [tell, fired.clear])
    seconds.register_callback(tell)
    state: dict[str, float] = seconds.state_dict()
    seconds.load_state_dict(state)
    return [steps, seconds, EveryDoubling(tell)]
