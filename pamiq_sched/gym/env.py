"""Gymnasium environments as a place to act in. Belongs to the inference thread."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.gym.types import EnvReset, EnvStep, GymAction, GymObs
from pamiq_sched.interaction import Environment
from pamiq_sched.state import StateDictMixin

try:
    import gymnasium
except ImportError as error:
    raise ImportError('Gymnasium environments need an extra: pip install "pamiq-sched[gym]"') from error

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class GymEnvironment(StateDictMixin, Environment[GymObs[ObsT], GymAction[ActT]], Generic[ObsT, ActT]):
    """Lets an agent act in a Gymnasium environment, episode after episode.

    Its random generator is saved, what goes on in an episode is not: a resumed run begins with a new episode,
    drawn as the next one would have been.

    Args:
        env: An environment, or the id of one to make.
        seed: Seeds the first episode; unseeded if not given.
        **gym_make_kwds: For ``gymnasium.make``, with an id.

    Raises:
        TypeError: If it is neither, the seed is not a whole number, or there are keywords beside a ready
            environment.
        ValueError: If the seed is negative.

    Example:
        >>> environment = GymEnvironment("CartPole-v1", seed=0)
        >>> environment.setup()
        >>> environment.observe().obs.shape
        (4,)
        >>> environment.affect(GymAction(1))
        >>> environment.observe().reward
        1.0
        >>> environment.teardown()
    """

    def __init__(
        self, env: gymnasium.Env[ObsT, ActT] | str, *, seed: int | None = None, **gym_make_kwds: Any
    ) -> None:
        super().__init__()
        if not isinstance(env, str | gymnasium.Env):
            raise TypeError(f"env must be a gymnasium.Env or the id of one, got {env!r}")
        if not isinstance(env, str) and gym_make_kwds:
            raise TypeError(f"keywords are for making an environment by its id, got {env!r} and {gym_make_kwds}")
        self.env: gymnasium.Env[ObsT, ActT] = gymnasium.make(env, **gym_make_kwds) if isinstance(env, str) else env
        self._seed = None if seed is None else _checks.count("seed", seed)
        self._observation: GymObs[ObsT] | None = None
        self._loaded_generator: dict[str, Any] | None = None

    @override
    def setup(self) -> None:
        """Start the first episode."""
        super().setup()
        first = self.env.reset(seed=self._seed)
        if self._loaded_generator is not None:
            # The first reset made a generator of the right kind; the second draws from the saved one.
            self.env.unwrapped.np_random.bit_generator.state = self._loaded_generator
            self._loaded_generator = None
            first = self.env.reset()
        self._observation = EnvReset(*first)

    @override
    def teardown(self) -> None:
        """Close the environment."""
        super().teardown()
        self.env.close()

    @override
    def observe(self) -> GymObs[ObsT]:
        """Return what came of the last action, or the first observation.

        Raises:
            RuntimeError: If the environment is not set up.
        """
        if self._observation is None:
            raise RuntimeError(
                "the environment has no observation before setup(); the system calls it at its start"
            )
        return self._observation

    @override
    def affect(self, action: GymAction[ActT]) -> None:
        """Carry out an action; if that ends the episode, or the agent asks for it, start the next."""
        obs, reward, terminated, truncated, info = self.env.step(action.action)
        step = EnvStep(obs, float(reward), bool(terminated), bool(truncated), info)
        if step.done or action.need_reset:
            self._observation = (step, EnvReset(*self.env.reset()))
        else:
            self._observation = step

    @override
    def state_dict(self) -> dict[str, Any]:
        """The state of the random generator."""
        return {"generator": self.env.unwrapped.np_random.bit_generator.state}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin with the random generator of a state.

        Raises:
            ValueError: If keys are missing or unknown.
        """
        _checks.state_keys(type(self).__name__, state, {"generator"})
        self._loaded_generator = state["generator"]
