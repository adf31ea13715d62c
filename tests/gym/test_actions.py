"""Actions: what stands for one of the space becomes it, anything else is refused before the environment has it."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from pamiq_sched import GymAction, GymEnvironment
from pamiq_sched.gym.actions import converter

DISCRETE = spaces.Discrete(3, start=2)
BOX = spaces.Box(-1, 1, (2,))
SEVERAL = spaces.MultiDiscrete([2, 3])
BINARY = spaces.MultiBinary(2)
BATCH = spaces.Box(-1, 1, (1, 2))


@pytest.mark.parametrize(
    "action",
    [
        3,
        np.int64(3),
        np.array(3),
        np.array([[3]], np.uint8),
        torch.tensor(3),
        torch.tensor([3], dtype=torch.int32),
    ],
    ids=repr,
)
def test_whole_numbers_of_any_kind(action):
    converted = converter(DISCRETE)(action)
    assert (converted, type(converted)) == (3, int)


@pytest.mark.parametrize(
    ("space", "action"),
    [
        (BOX, np.array([0.5, 1.0])),
        (BOX, [0.5, 1]),
        (BOX, torch.tensor([[0.5, 1.0]], requires_grad=True)),
        (BATCH, torch.tensor([0.5, 1.0], dtype=torch.float64)),
        (SEVERAL, torch.tensor([0, 1], dtype=torch.int32)),
        (SEVERAL, [0, 1]),
        (BINARY, np.array([True, False])),
        (spaces.Box(-1, 1, (1,)), torch.tensor(0.5)),
        (spaces.Box(-1, 1, ()), 0.5),
    ],
    ids=repr,
)
def test_arrays_of_any_kind(space, action):
    converted = converter(space)(action)
    assert (converted.dtype, converted.shape) == (space.dtype, space.shape)
    assert space.contains(converted)
    assert converted.ravel().tolist() == np.ravel(torch.as_tensor(action).detach().numpy()).tolist()


def test_what_is_right_is_passed_on_as_it_is():
    action = np.zeros(2, np.float32)
    assert converter(BOX)(action) is action


def test_bounds_of_a_box_are_left_to_the_environment():
    """Many clip, and noise for exploring goes beyond."""
    assert converter(BOX)(np.array([9.0, 0.0])).tolist() == [9.0, 0.0]


def test_parts_are_converted_each():
    space = spaces.Dict({"a": spaces.Tuple([DISCRETE, BOX]), "b": BINARY})
    action = {"a": [torch.tensor(3), torch.zeros(1, 2)], "b": (1, 0)}
    assert space.contains(converter(space)(action))


def test_other_spaces_are_left_to_the_environment():
    assert converter(spaces.Text(3))("abc") == "abc"


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (
            DISCRETE,
            1,
            r"the action 1 \(int\) is not in the action space Discrete\(3, start=2\); it must be from 2 to 4",
        ),
        (DISCRETE, np.int64(5), "it must be from 2 to 4"),
        (DISCRETE, 3.0, "it must be a whole number"),
        (DISCRETE, None, r"the action None \(NoneType\) is not in"),
        (DISCRETE, torch.zeros(3), r"\(Tensor, torch.float32 of shape \(3,\)\) is not in"),
        (BOX, np.zeros(3), r"must be an array of shape \(2,\) whose values float32 can hold"),
        (BOX, "left", r"the action 'left' \(str\)"),
        (BOX, [[1], [1, 2]], "it cannot be made an array"),
        (BOX, np.zeros((2, 1)), "must be an array of shape"),  # not the same thing
        (SEVERAL, np.array([0, 3]), r"not in the action space MultiDiscrete\(\[2 3\]\)"),
        (SEVERAL, np.array([0.0, 1.0]), "whose values int64 can hold"),
        (BINARY, [0, 300], "whose values int8 can hold"),
        (spaces.Dict({"a": BOX}), {"b": 1}, r"must be a dict with the keys \['a'\]"),
        (spaces.Tuple([BOX]), (), "must be a tuple of 1"),
        (BOX, np.zeros(500), r"\.\.\. \(ndarray, float64 of shape \(500,\)\)"),
    ],
    ids=repr,
)
def test_what_stands_for_none_is_refused(space, action, message):
    with pytest.raises(ValueError, match=message):
        converter(space)(action)


def test_a_tensor_reaches_the_environment_as_a_number():
    environment = GymEnvironment("CartPole-v1", seed=0)
    environment.setup()
    environment.affect(GymAction(torch.tensor([1])))
    assert environment.observe().reward == 1.0
    with pytest.raises(ValueError, match=r"the action -1 \(int\) is not in the action space Discrete\(2\)"):
        environment.affect(GymAction(-1))
    environment.teardown()


def test_tensors_reach_several_as_an_array():
    environment = GymEnvironment("CartPole-v1", num_envs=3, seed=0)
    environment.setup()
    environment.affect(GymAction(torch.tensor([1, 0, 1])))
    assert environment.observe().reward.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"the action 1 \(int\) is not in the action space MultiDiscrete"):
        environment.affect(GymAction(1))
    environment.teardown()


class Asserting(gymnasium.Env):
    """Looks at its actions by itself, and at other things."""

    observation_space = spaces.Discrete(1)
    action_space = BOX

    def reset(self, *, seed=None, options=None):
        return 0, {}

    def step(self, action):
        if action[1] == 9:
            raise ConnectionError("the simulator is gone")
        assert self.action_space.contains(action)
        assert action[0] != 1, "something else"
        return 0, 0.0, False, False, {}


def test_an_assertion_of_the_environment_about_the_action_is_told_as_that():
    environment = GymEnvironment(Asserting())
    environment.setup()
    with pytest.raises(ValueError, match=r"the action array\(\[9., 0.\], dtype=float32\) .* is not in") as caught:
        environment.affect(GymAction(np.array([9.0, 0.0])))
    assert isinstance(caught.value.__cause__, AssertionError)


def test_another_error_is_not_taken_for_that():
    environment = GymEnvironment(Asserting())
    environment.setup()
    with pytest.raises(ConnectionError, match="the simulator is gone"):
        environment.affect(GymAction(np.array([0.0, 9.0])))


def test_another_assertion_stays_as_it_is():
    environment = GymEnvironment(Asserting())
    environment.setup()
    with pytest.raises(AssertionError, match="something else"):
        environment.affect(GymAction(np.array([1.0, 0.0])))
