"""Gymnasium environments as a place to act in. Belongs to the inference thread, but for asking for films."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar

import gymnasium
import numpy as np
from typing_extensions import override

from pamiq_sched import _checks
from pamiq_sched.gym import filming, generators
from pamiq_sched.gym.actions import converter, refusal
from pamiq_sched.gym.making import make
from pamiq_sched.gym.masks import KEY, action_mask, refuse_forbidden
from pamiq_sched.gym.types import EnvReset, EnvStep, GymAction, GymObs, VectorStep
from pamiq_sched.gym.vector import VectorEpisodes
from pamiq_sched.interaction import Environment
from pamiq_sched.lifecycle import ErrorCollector, PersistentStateMixin
from pamiq_sched.state import StateDictMixin

ObsT = TypeVar("ObsT")
ActT = TypeVar("ActT")


class OutOfReach(PersistentStateMixin):
    """Stands for the random generators of an environment that cannot be saved, so that they are named."""


class GymEnvironment(StateDictMixin, Environment[GymObs[ObsT], GymAction[ActT]], Generic[ObsT, ActT]):
    """Lets an agent act in a Gymnasium environment, episode after episode, or in several of them side by side.

    An agent for a single environment is a :class:`GymAgent`, one for a vector environment a
    :class:`VectorGymAgent`.

    Its random generators are saved, what goes on in an episode is not: a resumed run begins with a new episode,
    drawn as the next one would have been.

    Args:
        env: An environment, a vector environment, or the id of one to make.
        seed: Seeds the first episode, and the spaces; if not given, what follows from the run's seed, and
            nothing if there is none. Sub-environments get it counted up, as Gymnasium does.
        num_envs: With an id: how many sub-environments to act in; a vector environment even if it is 1.
        check_action_mask: Whether to refuse actions that the environment's mask forbids.
        **gym_make_kwds: With an id: for ``gymnasium.make``, or for ``gymnasium.make_vec`` with ``num_envs``.

    Raises:
        TypeError: If ``env`` is none of these, the seed is not a whole number, or there are keywords beside a
            ready environment.
        ValueError: If the seed is negative, or a vector environment does not tell how it resets itself.
        ImportError: If it is one of Atari's, and they are not installed.

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
        self,
        env: gymnasium.Env[ObsT, ActT] | gymnasium.vector.VectorEnv[ObsT, ActT, Any] | str,
        *,
        seed: int | None = None,
        num_envs: int | None = None,
        check_action_mask: bool = True,
        **gym_make_kwds: Any,
    ) -> None:
        super().__init__()
        self._seed = None if seed is None else _checks.count("seed", seed)
        self._attached_seed: int | None = None
        checks_mask = _checks.flag("check_action_mask", check_action_mask)
        made: Any = make(env, num_envs, gym_make_kwds)
        self.env = made
        self._vector = VectorEpisodes(made) if isinstance(made, gymnasium.vector.VectorEnv) else None
        single_space = self.env.action_space if self._vector is None else self.env.single_action_space
        self._masked_space = single_space if isinstance(single_space, gymnasium.spaces.Discrete) else None
        if not checks_mask:
            self._masked_space = None
        obs_space = self.env.observation_space
        self._observes_mask = isinstance(obs_space, gymnasium.spaces.Dict) and KEY in obs_space.spaces
        self._convert = converter(self.env.action_space)
        self._observation: GymObs[ObsT] | None = None
        self._latest: EnvReset[ObsT] | EnvStep[ObsT] | VectorStep[ObsT] | None = None  # what to act on
        self._loaded: dict[str, Any] | None = None
        self._keeps_all = True  # whether the state that was saved or loaded last has every generator
        self._camera = filming.Camera(self._frame)

    @override
    def attach_seed(self, seed: int) -> None:
        self._attached_seed = _checks.count("seed", seed)

    @override
    def setup(self) -> None:
        """Start the first episode; if that raises, the environment is closed."""
        super().setup()
        errors = ErrorCollector(f"{self.env} raised when it began and when it was closed")
        with errors:
            self._begin()
        if errors.errors:
            with errors:
                self.env.close()
        errors.raise_collected()

    def _begin(self) -> None:
        seed = self._first_seed()
        if seed is not None:
            generators.seed_spaces(self.env, seed)
        first = self._reset(seed)
        if self._loaded is not None:
            # The first reset made generators of the right kind; the second draws from those that were saved.
            generators.restore(self.env, self._loaded)
            self._loaded = None
            first = self._reset(None)
        self._observation = self._latest = first
        self._camera.open()
        number = 1 if self._vector is None else self.env.num_envs
        self._camera.look(ended=[False] * number, began=[True] * number)

    def _first_seed(self) -> int | None:
        return self._attached_seed if self._seed is None else self._seed

    def _reset(self, seed: int | None) -> EnvReset[ObsT]:
        try:
            if self._vector is not None:
                return self._vector.reset(seed)
            return EnvReset(*self.env.reset(seed=seed))
        except Exception as error:
            error.add_note(f"raised by reset() of {self.env}")
            raise

    @override
    def teardown(self) -> None:
        """End the films and close the environment."""
        super().teardown()
        errors = ErrorCollector(f"{self.env} raised when it was closed, and so did its films")
        with errors:
            self._camera.close()
        with errors:
            self.env.close()
        errors.raise_collected()

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
        """Carry out an action; if that ends the episode, or the agent asks for it, start the next.

        Raises:
            RuntimeError: If the environment is not set up.
            ValueError: If the action is not in the action space, or the action mask forbids it.
        """
        latest = self._latest
        if latest is None:
            raise RuntimeError("the environment takes no action before setup(); the system calls it at its start")
        chosen = self._convert(action.action)
        if self._masked_space is not None and (KEY in latest.info or self._observes_mask):
            self._refuse_forbidden(chosen, latest)
        if self._vector is not None:
            self._affect_several(chosen, action, self._vector)
            return
        try:
            obs, reward, terminated, truncated, info = self.env.step(chosen)
        except Exception as error:
            self._explain(error, chosen)
            raise
        step: EnvStep[ObsT] = EnvStep(obs, float(reward), bool(terminated), bool(truncated), info)
        is_over = step.terminated or step.truncated or bool(action.need_reset)
        if self._camera.films:
            self._camera.look(ended=[is_over], began=[False])
        if not is_over:
            self._observation = self._latest = step
            return
        first = self._reset(None)
        self._observation, self._latest = (step, first), first
        if self._camera.films:
            self._camera.look(ended=[False], began=[True])

    def _affect_several(self, chosen: Any, action: GymAction[ActT], vector: VectorEpisodes) -> None:
        wanted = vector.wanted(action.need_reset)
        try:
            step = vector.step(chosen, wanted)
        except Exception as error:
            self._explain(error, chosen)
            raise
        self._observation = self._latest = step
        if self._camera.films:
            # An episode that the agent cut is over too.
            self._camera.look(ended=step.done | (step.first & step.acted), began=step.first)

    def _refuse_forbidden(self, chosen: Any, latest: EnvReset[ObsT] | EnvStep[ObsT] | VectorStep[ObsT]) -> None:
        mask = action_mask(latest.obs, latest.info)
        if mask is not None:
            exempt = np.zeros(0, np.bool_) if self._vector is None else self._vector.idle
            refuse_forbidden(mask, chosen, self._masked_space, self.env, exempt)

    def _explain(self, error: Exception, action: Any) -> None:
        """Note where an error comes from, or raise what it stands for: an action that cannot be taken."""
        if isinstance(error, AssertionError) and not self.env.action_space.contains(action):
            raise refusal(action, self.env.action_space) from error
        error.add_note(f"raised by step() of {self.env}")

    def render(self) -> Any:
        """Return the frame of what is seen now; of a vector environment, one for each sub-environment.

        For the inference thread: an agent may call it.

        Raises:
            ValueError: If the environment was made without a way to render frames.
        """
        if self.env.render_mode in {None, "human"}:
            raise ValueError(self._cannot_render())
        return self.env.render()

    def film(
        self,
        path: str | Path | None = None,
        *,
        episodes: int | None = None,
        frames: int | None = None,
        fps: float | None = None,
        index: int = 0,
    ) -> filming.Film:
        """Ask for a film of what the agent does. Any thread may call it, before the system starts too.

        Films are taken one after the other, each from the next episode on, or with only ``frames`` at once. A film
        that the end of the system cuts short is whole with what it has.

        Args:
            path: Where to put it, ending in .mp4, .mkv, .mov or .avi (extra ``[video]``); a file that is there is
                replaced. Without one the frames are kept in ``Film.frames``.
            episodes: How many episodes to film; one if neither is given.
            frames: How many frames to take, at most with ``episodes``.
            fps: Frames per second of the film; what the environment tells if not given, else 30.
            index: Which sub-environment of a vector environment to film. Where those reset themselves in the
                step in which an episode ends, its last frame is not to be had.

        Returns:
            The film; ``wait()`` for it, but not in the agent.

        Raises:
            ValueError: If the environment was made without a way to render frames, or an argument is out of range.
            TypeError: If a number is none.
            ImportError: If the extra for files is not installed.
            RuntimeError: If the environment was torn down.
        """
        if self.env.render_mode != "rgb_array":
            raise ValueError(self._cannot_render())
        if episodes is None and frames is None:
            episodes = 1
        episodes = None if episodes is None else _checks.count("episodes", episodes, least=1)
        frames = None if frames is None else _checks.count("frames", frames, least=1)
        fps = _checks.real("fps", self.env.metadata.get("render_fps", 30) if fps is None else fps, above=0)
        index = _checks.count("index", index, most=0 if self._vector is None else self.env.num_envs - 1)
        executable = ""
        if path is not None:
            path = _checks.path("path", path)
            _checks.choice("the ending of path", path.suffix, filming.SUFFIXES)
            executable = filming.encoder()
            path.parent.mkdir(parents=True, exist_ok=True)
        film = filming.Film(path, episodes, frames, fps, executable, index)
        self._camera.ask_for(film)
        return film

    def _frame(self, index: int) -> Any:
        frame = self.env.render()
        return frame if self._vector is None else frame[index]

    def _cannot_render(self) -> str:
        return (
            f"{self.env} renders no frames, its render_mode is {self.env.render_mode!r}; "
            'make it with render_mode="rgb_array", as in GymEnvironment("CartPole-v1", render_mode="rgb_array")'
        )

    @override
    def persistent_parts(self) -> dict[str, PersistentStateMixin]:
        """What cannot be saved, by name; it keeps no state."""
        return {} if self._keeps_all else {"random generators": OutOfReach()}

    @override
    def state_dict(self) -> dict[str, Any]:
        """The states of the random generators."""
        state = generators.state_of(self.env, is_seeded=self._first_seed() is not None)
        self._keeps_all = state["is_whole"]
        return state

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin with the random generators of a state.

        Raises:
            ValueError: If keys are missing or unknown.
        """
        generators.check(state)
        self._keeps_all = state["is_whole"]
        self._loaded = state
