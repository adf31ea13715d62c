"""Replay buffers of TorchRL as buffers of ours; the real ones, where they are installed."""

import sys

import numpy as np
import pytest
import torch

from pamiq_sched import DataUser, TorchRLBuffer


@pytest.fixture
def rl():
    return pytest.importorskip("torchrl.data", reason="needs TorchRL")


@pytest.fixture
def prioritized(rl):
    """Make a buffer with priorities; the part of TorchRL that is compiled must suit torch."""
    pytest.importorskip(
        "torchrl._torchrl", reason="this TorchRL was not built for this torch", exc_type=ImportError
    )

    def make(size=100, **kwargs):
        storage = rl.LazyTensorStorage(size)
        return TorchRLBuffer(rl.TensorDictPrioritizedReplayBuffer(alpha=1.0, beta=1.0, storage=storage, **kwargs))

    return make


def item(i):
    return {"step": i, "reward": i / 2, "observation": torch.full((3,), float(i)), "frame": np.full((2, 2), i)}


def fill(buffer, steps):
    for step in steps:
        buffer.add(item(step))
    return buffer


# (storage, sampler) of a replay buffer, by their names in torchrl.data
KINDS = [
    pytest.param("LazyTensorStorage", "RandomSampler", id="uniform"),
    pytest.param("LazyMemmapStorage", "RandomSampler", id="on disk"),
    pytest.param("LazyTensorStorage", "SamplerWithoutReplacement", id="without replacement"),
    pytest.param("ListStorage", "RandomSampler", id="list"),
]


@pytest.fixture
def make(rl):
    def make(storage="LazyTensorStorage", sampler="RandomSampler", size=10, **kwargs):
        samplers = pytest.importorskip("torchrl.data.replay_buffers.samplers")
        replay = rl.TensorDictReplayBuffer(
            storage=getattr(rl, storage)(size), sampler=getattr(samplers, sampler)(), **kwargs
        )
        return TorchRLBuffer(replay)

    return make


@pytest.mark.parametrize("missing", ["torchrl.data", "tensordict"])
def test_without_torchrl_the_error_names_the_command(monkeypatch, missing):
    if missing == "tensordict":
        pytest.importorskip("torchrl.data")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "pamiq-sched\[torchrl\]"'):
        TorchRLBuffer(object())


def test_what_is_no_replay_buffer_is_refused(rl):
    with pytest.raises(TypeError, match="must be of the class ReplayBuffer, got an object of the class list"):
        TorchRLBuffer([])


def test_a_buffer_that_draws_ahead_is_refused(rl):
    replay = rl.ReplayBuffer(storage=rl.LazyTensorStorage(10), prefetch=2, batch_size=4)
    with pytest.raises(ValueError, match="make it without prefetch"):
        TorchRLBuffer(replay)


def test_a_storage_of_two_dimensions_is_refused(rl):
    with pytest.raises(ValueError, match="1 dimension, got 2"):
        TorchRLBuffer(rl.ReplayBuffer(storage=rl.LazyTensorStorage(10, ndim=2)))


def test_a_writer_that_cannot_be_saved_is_refused(rl):
    replay = rl.TensorDictReplayBuffer(
        storage=rl.LazyTensorStorage(10), writer=rl.TensorDictMaxValueWriter(rank_key="reward")
    )
    with pytest.raises(TypeError, match="TensorDictMaxValueWriter of TorchRL has no state"):
        TorchRLBuffer(replay)


@pytest.mark.parametrize(("storage", "sampler"), KINDS)
def test_items_go_in_and_batches_come_out(make, storage, sampler):
    buffer = fill(make(storage, sampler), range(14))
    assert len(buffer) == buffer.max_size == 10
    batch = buffer.sample(8)
    assert batch.batch_size == (8,)
    assert set(batch["step"].tolist()) <= set(range(4, 14))
    assert torch.equal(batch["observation"][:, 2].long(), batch["step"])
    assert torch.equal(batch["frame"][:, 1, 1], batch["step"])
    assert torch.equal(batch["reward"] * 2, batch["step"].float())
    assert batch["index"].shape == (8,)


def test_a_tensordict_is_an_item_and_stays_as_it_was(make):
    tensordict = pytest.importorskip("tensordict")
    buffer = make()
    given = tensordict.TensorDict({"step": torch.tensor(3), "nested": {"a": torch.ones(2)}})
    buffer.add(given)
    assert buffer.sample(2)["nested", "a"].tolist() == [[1.0, 1.0]] * 2
    assert set(given.keys()) == {"step", "nested"}


@pytest.mark.parametrize("storage", ["LazyTensorStorage", "ListStorage"])
def test_all_data_is_a_copy(make, storage):
    buffer = fill(make(storage), range(3))
    data = buffer.get_data()
    assert [int(row["step"]) for row in data] == [0, 1, 2]
    for row in data:
        row["observation"].zero_()
    assert [float(row["observation"][0]) for row in buffer.get_data()] == [0.0, 1.0, 2.0]


def test_an_empty_buffer_has_no_data(make):
    assert len(make().get_data()) == 0


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_below_one_is_refused(make, size):
    with pytest.raises(ValueError, match=f"batch_size .* at least 1 item, got {size}"):
        fill(make(), range(3)).sample(size)


def test_as_many_items_may_wait_as_it_holds(make, rl):
    assert DataUser(make(size=7)).max_queue_size == 7
    endless = TorchRLBuffer(rl.ReplayBuffer(storage=rl.ListStorage()))
    assert endless.max_size is None
    assert DataUser(endless).max_queue_size == 65_536


def test_a_data_user_draws_from_it_and_counts(make):
    user = DataUser(make())
    for step in range(5):
        user.collector.collect(item(step))
    assert len(user.sample(4)) == 4
    assert user.sampled == 4


def test_the_seed_of_torch_decides(make):
    def run():
        torch.manual_seed(3)
        return fill(make(), range(10)).sample(20)["step"].tolist()

    assert run() == run()


def test_the_generator_that_the_replay_buffer_was_made_with_stays(make):
    def run():
        return fill(make(generator=torch.Generator().manual_seed(5)), range(10)).sample(20)["step"].tolist()

    assert run() == run()


@pytest.mark.parametrize("steps", [0, 6, 14], ids=["empty", "filling", "full"])
@pytest.mark.parametrize(("storage", "sampler"), KINDS)
def test_a_resumed_buffer_draws_what_the_uninterrupted_one_does(make, storage, sampler, steps, tmp_path):
    buffer = fill(make(storage, sampler), range(steps))
    if steps:
        buffer.sample(4)
    buffer.save_state(tmp_path / "buffer")
    resumed = fill(make(storage, sampler), range(100, 112))
    resumed.load_state(tmp_path / "buffer")
    assert len(resumed) == len(buffer)
    for step in range(steps, steps + 12):
        for each in (buffer, resumed):
            each.add(item(step))
        assert resumed.sample(4)["step"].tolist() == buffer.sample(4)["step"].tolist()


def test_what_is_saved_is_as_large_as_what_is_held(make, tmp_path):
    """Not as large as the storage could become."""
    fill(make(size=1_000_000), range(3)).save_state(tmp_path / "buffer")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 100_000


def test_a_state_of_another_make_is_refused(make, tmp_path):
    fill(make(size=10), range(3)).save_state(tmp_path / "buffer")
    for other in (make(size=11), make(sampler="SamplerWithoutReplacement"), make("ListStorage")):
        with pytest.raises(ValueError, match=r"is made of .*, the saved one was of .*; make it alike"):
            other.load_state(tmp_path / "buffer")


def test_items_are_drawn_by_their_priorities(prioritized):
    torch.manual_seed(0)
    buffer = fill(prioritized(), range(4))
    buffer.update_priorities(torch.arange(4), torch.tensor([0.0, 1.0, 2.0, 5.0]))
    batch = buffer.sample(4000)
    counts = torch.bincount(batch["step"], minlength=4)
    assert counts[0] == 0
    assert torch.allclose(counts[1:] / 500, torch.tensor([1.0, 2.0, 5.0]), rtol=0.15)
    assert torch.equal(batch["priority_weight"], batch["priority_weight"].clamp(0))


def test_new_items_have_the_greatest_priority_so_far(prioritized):
    torch.manual_seed(0)
    buffer = fill(prioritized(), range(2))
    batch = buffer.sample(10)
    buffer.update_priorities(batch["index"], torch.full((10,), 1e-6))
    buffer.add(item(2))
    assert (buffer.sample(100)["step"] == 2).float().mean() > 0.9


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_priority_that_would_spoil_the_others_is_refused(prioritized, bad):
    buffer = fill(prioritized(), range(4))
    with pytest.raises(ValueError, match=f"finite and not negative, got \\[{bad}\\]; give absolute errors"):
        buffer.update_priorities(torch.arange(2), torch.tensor([1.0, bad]))
    buffer.sample(4)


def test_a_resumed_buffer_keeps_the_priorities_and_draws_the_same(prioritized, tmp_path):
    buffer = fill(prioritized(10), range(14))
    for _ in range(5):
        batch = buffer.sample(6)
        buffer.update_priorities(batch["index"], batch["reward"])
    buffer.save_state(tmp_path / "buffer")
    resumed = fill(prioritized(10), range(3))
    resumed.load_state(tmp_path / "buffer")
    for step in range(14, 30):
        ours, theirs = resumed.sample(6), buffer.sample(6)
        assert ours["step"].tolist() == theirs["step"].tolist()
        assert torch.equal(ours["priority_weight"], theirs["priority_weight"])
        for each in (resumed, buffer):
            each.update_priorities(ours["index"], ours["reward"])
            each.add(item(step))
