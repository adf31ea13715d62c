"""Schedules that follow a metric, and how they get along with those that do not."""

from __future__ import annotations

import math
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import override


class MetricOrNone(ReduceLROnPlateau):
    """Mixed into torch's plateau scheduler: a step without a metric changes nothing, a NaN is an error."""

    @override
    def step(self, metrics: Any = None, epoch: int | None = None) -> None:  # type: ignore[override]  # as there
        """Note a metric, if there is one.

        Args:
            metrics: What should improve; None, and nothing happens.
            epoch: As in torch.

        Raises:
            ValueError: If the metric is NaN, which is neither better nor worse.
        """
        if metrics is None:
            return
        refuse_nan(metrics)
        super().step(metrics, epoch)


def refuse_nan(metric: Any) -> None:
    """Refuse a metric that cannot be compared.

    Raises:
        ValueError: If it is NaN.
    """
    if math.isnan(float(metric)):
        raise ValueError(
            f"a plateau schedule compares metrics, and {metric!r} is neither better nor worse than any; find out "
            "where the NaN comes from, or leave the metric out of this step"
        )


def takes_metric(schedule: LRScheduler) -> bool:
    """Whether a schedule's ``step()`` is given a metric when there is one."""
    return isinstance(schedule, ReduceLROnPlateau) or bool(getattr(schedule, "takes_metric", False))
