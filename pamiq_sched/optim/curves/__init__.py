"""Say what a value is at every moment of a run.

A curve is a pure function of t >= 0: the same t gives the same float, bit for bit, whatever was asked before.
So a run that resumes at t needs t and nothing else. What t counts (steps, samples, seconds) is the user's
affair; "steps" in a parameter's name stands for that unit, and fractions are allowed. Curves do not change;
any thread may use them.
"""

from pamiq_sched.optim.curves.base import (
    Curve,
    Function,
    VectorFunction,
    curve_class,
    curve_names,
)
from pamiq_sched.optim.curves.combine import (
    ProductCurve,
    RepeatCurve,
    SequenceCurve,
    StretchedCurve,
)
from pamiq_sched.optim.curves.cycles import CyclicCurve
from pamiq_sched.optim.curves.function import FunctionCurve
from pamiq_sched.optim.curves.pieces import PiecewiseLinearCurve, StepCurve, StepDecayCurve
from pamiq_sched.optim.curves.plain import (
    ConstantCurve,
    CosineCurve,
    ExponentialCurve,
    InverseSqrtCurve,
    LinearCurve,
    PolynomialCurve,
)
from pamiq_sched.optim.curves.warmup import InverseWarmupCurve, WarmupCurve, WarmupStableDecayCurve

__all__ = [
    "ConstantCurve",
    "CosineCurve",
    "Curve",
    "CyclicCurve",
    "ExponentialCurve",
    "Function",
    "FunctionCurve",
    "InverseSqrtCurve",
    "InverseWarmupCurve",
    "LinearCurve",
    "PiecewiseLinearCurve",
    "PolynomialCurve",
    "ProductCurve",
    "RepeatCurve",
    "SequenceCurve",
    "StepCurve",
    "StepDecayCurve",
    "StretchedCurve",
    "VectorFunction",
    "WarmupCurve",
    "WarmupStableDecayCurve",
    "curve_class",
    "curve_names",
]
