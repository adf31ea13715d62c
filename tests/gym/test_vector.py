"""Vector environments: whichever way they reset, an agent sees the episodes of single environments."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from pamiq_sched import EnvReset, GymAction, GymAgent, GymEnvironment, Interaction
from pamiq_sched.gym import VectorGymAgent, VectorStep
from pamiq_sched.gym.vector import merged

SEED, N = 5, 3


class Stroll(gymnasium.Env):
    """Where to is drawn at every step; ends at a border, or after 7 steps. Tells things, not always the same."""

    observation_space = gymnasium.spaces.Dict(
        {"at": gymnasium.spaces.Box(-9, 9, (2,)), "count": gymnasium.spaces.Discrete(99)}
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.count = self.np_random.uniform(-1, 1, 2), 0
        return self.see(), {"begun": float(self.at[0])}

    def step(self, action):
        self.at = self.at + self.np_random.uniform(0, 1, 2) * (1 if action else -1)
        self.count += 1
        is_out = bool(np.abs(self.at).max() > 2)
        return self.see(), float(self.at[1]), is_out, self.count == 7, {"left": 7 - self.count}

    def see(self):
        return {"at": self.at.astype(np.float32), "count": np.int64(self.count)}


def choose(at):
    """A choice that follows from the observation, and looks random."""
    return int(at[0] * 1000) % 2


class Walker(GymAgent):
    """Keeps the transitions of each episode; asks for a new one where the walk is at a step of ``cuts``."""

    def __init__(self, cuts=()):
        super().__init__()
        self.episodes = []
        self.returns = []
        self.cuts = cuts

    def act(self, obs):
        self.need_reset = int(obs["count"]) in self.cuts
        self.last = obs["at"].tolist(), choose(obs["at"])
        return self.last[1]

    def on_reset(self, obs, info):
        self.episodes.append([("begun", info["begun"])])
        return self.act(obs)

    def on_step(self, obs, reward, terminated, truncated, info):
        self.episodes[-1].append((*self.last, reward, obs["at"].tolist(), terminated, truncated, info["left"]))
        return self.act(obs)

    def on_episode_end(self, episode_return, episode_length):
        self.returns.append((episode_return, episode_length))


class Walkers(VectorGymAgent):
    """The same for all sub-environments."""

    def __init__(self, cuts=()):
        super().__init__()
        self.episodes = [[] for _ in range(N)]
        self.returns = [[] for _ in range(N)]
        self.cuts = cuts
        self.idle_steps = 0

    def act(self, obs, info):
        self.last = obs["at"], np.array([choose(at) for at in obs["at"]])
        self.need_reset = np.isin(obs["count"], self.cuts)
        return self.last[1]

    def on_reset(self, obs, info):
        for episodes, begun in zip(self.episodes, info["begun"], strict=True):
            episodes.append([("begun", begun)])
        return self.act(obs, info)

    def on_step(self, step):
        self.idle_steps += int((~step.acted).sum())
        for i, episodes in enumerate(self.episodes):
            if step.acted[i]:
                assert step.next_info["_left"][i]
                episodes[-1].append(
                    (
                        self.last[0][i].tolist(),
                        int(self.last[1][i]),
                        step.reward[i],
                        step.next_obs["at"][i].tolist(),
                        step.terminated[i],
                        step.truncated[i],
                        step.next_info["left"][i],
                    )
                )
            if step.first[i]:
                assert step.info["_begun"][i]
                episodes.append([("begun", step.info["begun"][i])])
        return self.act(step.obs, step.info)

    def on_episode_end(self, episode_return, episode_length, index):
        self.returns[index].append((episode_return, episode_length))


def run(agent, environment, steps):
    interaction = Interaction(agent, environment)
    interaction.setup()
    for _ in range(steps):
        interaction.step()
    interaction.teardown()


def alone(cuts=()):
    """The episodes of single environments with the same seeds, and their returns."""
    walkers = [Walker(cuts) for _ in range(N)]
    for i, walker in enumerate(walkers):
        run(walker, GymEnvironment(Stroll(), seed=SEED + i), 60)
    return [walker.episodes for walker in walkers], [walker.returns for walker in walkers]


def sync(mode):
    return SyncVectorEnv([Stroll] * N, autoreset_mode=mode)


def compare(environment, cuts=()):
    """Compare the episodes that are over, number by number; return the agent."""
    agent = Walkers(cuts)
    run(agent, environment, 60)
    episodes, returns = alone(cuts)
    for i in range(N):
        over = len(agent.returns[i])
        assert over > 5
        assert agent.episodes[i][:over] == episodes[i][:over]
        assert agent.returns[i] == returns[i][:over]
    return agent


@pytest.mark.parametrize("cuts", [(), (3,)], ids=["", "cut by the agent"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_mode_gives_the_episodes_of_single_environments(mode, cuts):
    agent = compare(GymEnvironment(sync(mode), seed=SEED), cuts)
    assert (agent.idle_steps > 0) == (mode is AutoresetMode.NEXT_STEP)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from 3.12 on; its processes run no code of ours
@pytest.mark.parametrize(
    ("mode", "shared"), [(mode, shared) for mode in AutoresetMode for shared in (True, False)], ids=str
)
def test_so_do_environments_in_processes(mode, shared):
    env = AsyncVectorEnv([Stroll] * N, autoreset_mode=mode, shared_memory=shared, context="fork")
    compare(GymEnvironment(env, seed=SEED), cuts=(5,))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_so_do_wrapped_ones(mode):
    env = gymnasium.wrappers.vector.TransformObservation(sync(mode), lambda obs: {**obs, "at": obs["at"] + 0})
    compare(GymEnvironment(env, seed=SEED), cuts=(4,))


# Made by an id.


def test_an_id_and_a_number_make_one_that_resets_in_the_step_that_ends_an_episode():
    environment = GymEnvironment("Pendulum-v1", num_envs=2, g=5.0, seed=1)
    assert isinstance(environment.env, SyncVectorEnv)
    assert environment.env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert environment.env.get_attr("g") == (5.0, 5.0)
    environment.teardown()


def test_what_it_is_told_about_the_making_wins():
    mode = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    environment = GymEnvironment(
        "CartPole-v1", num_envs=2, vectorization_mode="sync", vector_kwargs=mode, wrappers=[lambda env: env]
    )
    assert environment.env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    environment.teardown()


class Recorder(VectorGymAgent):
    """Acts by chance, and keeps the steps."""

    def __init__(self, n=2, need_reset=()):
        super().__init__()
        self.steps = []
        self.n = n
        self.need_resets = dict(need_reset)

    def on_reset(self, obs, info):
        return np.zeros(self.n, np.int64)

    def on_step(self, step):
        self.steps.append(step)
        self.need_reset = self.need_resets.get(len(self.steps), False)
        return np.zeros(self.n, np.int64)


def test_an_environment_that_is_vectorized_by_itself_begins_episodes_with_a_step_without_action():
    agent = Recorder()
    run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), 30)
    ends = [(t, i) for t, step in enumerate(agent.steps[:-1]) for i in (0, 1) if step.done[i]]
    assert ends
    for t, i in ends:
        after = agent.steps[t + 1]
        assert (after.acted[i], after.first[i], after.reward[i], after.done[i]) == (False, True, 0.0, False)
        assert np.abs(agent.steps[t].next_obs[i][2]) > 0.2
        assert np.abs(after.obs[i]).max() <= 0.05
    assert sum((~step.acted).sum() for step in agent.steps) == len(ends)


def test_arrays_are_of_the_types_that_tensors_are_made_of():
    agent = Recorder()
    run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), 2)
    step = agent.steps[0]
    arrays = (step.obs, step.reward, step.terminated, step.truncated, step.next_obs, step.first, step.acted)
    assert [str(array.dtype) for array in arrays] == [
        "float32",
        "float64",
        "bool",
        "bool",
        "float32",
        "bool",
        "bool",
    ]
    assert all(array.flags.writeable for array in arrays)


# Refused.


def test_a_new_episode_in_only_some_is_refused_where_that_cannot_be_done():
    agent = Recorder(need_reset={3: np.array([True, False])})
    with pytest.raises(
        ValueError, match=r"cannot begin new episodes in only some .* \[True, False\]; ask for all"
    ):
        run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), 5)


def test_a_new_episode_in_all_can_be_done_everywhere():
    agent = Recorder(need_reset={3: True})
    run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), 6)
    assert [step.first.tolist() for step in agent.steps] == [[False] * 2] * 3 + [[True] * 2] + [[False] * 2]
    assert np.abs(agent.steps[3].obs).max() <= 0.05
    assert np.abs(agent.steps[3].next_obs).max() > 0.05


def test_so_it_can_where_an_episode_ends_by_itself():
    agent = Recorder()
    run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), 30)
    end = next(t for t, step in enumerate(agent.steps) if step.done.any())

    agent = Recorder(need_reset={end: True})
    run(agent, GymEnvironment("CartPole-v1", num_envs=2, seed=0), end + 3)
    at_end, after = agent.steps[end : end + 2]
    assert at_end.done.any()
    assert at_end.first.all()
    assert after.acted.all()
    assert after.reward.tolist() == [1.0, 1.0]


def test_a_wish_for_episodes_of_another_number_is_refused():
    environment = GymEnvironment(sync(AutoresetMode.SAME_STEP))
    environment.setup()
    with pytest.raises(ValueError, match=r"need_reset must be a bool or of shape \(3,\)"):
        environment.affect(GymAction(np.zeros(3, np.int64), np.array([True, False])))
    environment.teardown()


class Silent(gymnasium.vector.VectorEnv):
    num_envs = 2
    metadata = {}  # noqa: RUF012 - as Gymnasium has it


def test_one_that_does_not_tell_how_it_resets_is_refused():
    with pytest.raises(ValueError, match="nobody can tell where its episodes begin"):
        GymEnvironment(Silent())


def test_one_that_reuses_its_arrays_is_refused():
    with pytest.raises(ValueError, match="copy=False, so each step would change the observations"):
        GymEnvironment(SyncVectorEnv([Stroll], copy=False))


def test_one_that_loses_the_last_observations_is_refused_at_the_first():
    class Forgetful(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            obs, reward, terminated, truncated, info = self.env.step(actions)
            return obs, reward, terminated, truncated, {k: v for k, v in info.items() if k != "final_obs"}

    with pytest.raises(RuntimeError, match=r'does not tell info\["final_obs"\], the last observation'):
        run(Walkers(), GymEnvironment(Forgetful(sync(AutoresetMode.SAME_STEP)), seed=SEED), 60)


def test_an_agent_for_one_environment_is_told_that_there_are_several():
    class Single(GymAgent):
        def on_reset(self, obs, info):
            return np.zeros(2, np.int64)

        def on_step(self, obs, reward, terminated, truncated, info):
            return np.zeros(2, np.int64)

    with pytest.raises(TypeError, match="derive the agent from VectorGymAgent"):
        run(Single(), GymEnvironment("CartPole-v1", num_envs=2), 2)


def test_an_agent_for_several_is_told_that_there_is_one():
    agent = Recorder()
    with pytest.raises(TypeError, match="derive the agent from GymAgent, or make the environment with num_envs"):
        agent.step((None, EnvReset(None, {})))


def test_numbers_for_the_making_are_refused_beside_a_ready_one():
    with pytest.raises(TypeError, match=r"got SyncVectorEnv\(num_envs=3\) and {'num_envs': 2}"):
        GymEnvironment(sync(AutoresetMode.SAME_STEP), num_envs=2)


def test_no_environments_are_refused():
    with pytest.raises(ValueError, match="num_envs must be a whole number of at least 1"):
        GymEnvironment("CartPole-v1", num_envs=0)


# What is told, when only some were reset.


def test_told_dicts_are_merged_too():
    which = np.array([False, True])
    older = {"a": {"x": np.array([1.0, 2.0]), "_x": np.array([True, True])}, "_a": np.array([True, True])}
    newer = {"a": {"x": np.array([0.0, 5.0]), "_x": np.array([False, True])}, "_a": np.array([False, True])}
    result = merged(older, newer, which)
    assert result["a"]["x"].tolist() == [1.0, 5.0]
    assert older["a"]["x"].tolist() == [1.0, 2.0]


def test_a_step_tells_whether_an_episode_is_over():
    flags = np.array([True, False, False]), np.array([False, True, False])
    step = VectorStep(None, np.zeros(3), *flags, {}, None, {}, flags[0], flags[0])
    assert step.done.tolist() == [True, True, False]
