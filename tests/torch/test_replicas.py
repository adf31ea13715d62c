"""Replicas may differ from the module in training, say which version they hold, and never mix two of them."""

import copy
import gc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, get_ident

import pytest
import torch
from torch import nn

from pamiq_sched import ManualClock, Staleness, TorchInferenceModel, TorchTrainingModel
from pamiq_sched.model import TrainingModelsDict
from pamiq_sched.state import codec
from pamiq_sched.testing import FakeTrainingModel

SECONDS = 30  # until a thread that should go on is given up


class Number(nn.Module):
    """One number in several tensors; its answer is the set of what it finds in them."""

    def __init__(self, tensors=3, size=2):
        super().__init__()
        self.numbers = nn.ParameterList(torch.zeros(size) for _ in range(tensors))

    def fill(self, number):
        for tensor in self.numbers:
            tensor.data.fill_(number)

    def forward(self):
        return {x for tensor in self.numbers for x in (tensor.min().item(), tensor.max().item())}


def sync_to(model, number):
    model.model.fill(number)
    model.sync()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(3) as threads:
        yield threads


# Versions and staleness.


def test_an_inference_tells_the_version_that_it_used(pool):
    model = TorchTrainingModel(Number())
    inference = model.inference_model
    assert inference.used_version is None
    inference()
    sync_to(model, 1.0)
    assert (inference.used_version, inference.version) == (0, 1)
    pool.submit(inference).result(SECONDS)
    assert inference.used_version == 0, "another thread's inference is not ours"
    inference()
    assert inference.used_version == 1


def test_the_version_used_is_that_of_the_answer_though_a_sync_comes_in_between():
    def ask(module):
        sync_to(model, 5.0)
        return module()

    model = TorchTrainingModel(Number(), inference_procedure=ask)
    assert model.inference_model() == {0.0}
    assert model.inference_model.used_version == 0
    assert model.inference_model.version == 1


def test_staleness_counts_syncs_behind_and_agent_seconds():
    clock = ManualClock()
    model = TorchTrainingModel(Number(), clock=clock)
    inference = model.inference_model
    clock.advance(2.0)
    assert inference.staleness() == Staleness(version=0, versions_behind=0, seconds_behind=2.0)
    inference()
    for _ in range(3):
        model.sync()
    clock.advance(0.5)
    assert inference.staleness() == Staleness(version=3, versions_behind=3, seconds_behind=0.5)
    inference()
    assert inference.staleness().versions_behind == 0


def test_values_are_as_old_as_the_beginning_of_their_copy():
    clock = ManualClock()
    inference = TorchInferenceModel(Number(), spare=Number(), clock=clock)
    inference.publish(lambda replica: clock.advance(1.0))
    assert inference.staleness().seconds_behind == 1.0


def test_models_that_are_not_synced_have_no_staleness():
    models = TrainingModelsDict(
        {
            "synced": TorchTrainingModel(Number()),
            "shared": TorchTrainingModel(Number(), inference_thread_only=True),
            "trained only": TorchTrainingModel(Number(), has_inference_model=False),
            "of another kind": FakeTrainingModel(),
        }
    )
    assert list(models.staleness()) == ["synced"]


def test_versions_count_on_after_a_load(tmp_path):
    model, later = TorchTrainingModel(Number()), TorchTrainingModel(Number())
    for number in (1.0, 2.0, 3.0):
        sync_to(model, number)
    TrainingModelsDict({"number": model}).save_state(tmp_path / "models")
    TrainingModelsDict({"number": later}).load_state(tmp_path / "models")
    assert later.inference_model() == {3.0}
    assert later.inference_model.version == 3, "loading is no sync"


def load_into_another(model, folder, **options):
    TrainingModelsDict({"number": model}).save_state(folder / "models")
    later = TorchTrainingModel(Number(), **options)
    TrainingModelsDict({"number": later}).load_state(folder / "models")
    return later


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_agents_go_on_with_what_they_acted_upon_though_training_was_ahead(dtype, tmp_path):
    model = TorchTrainingModel(Number(), inference_dtype=dtype)
    sync_to(model, 1.0)
    model.model.fill(2.0)
    later = load_into_another(model, tmp_path, inference_dtype=dtype)
    assert (later.inference_model(), later()) == ({1.0}, {2.0})
    later.sync()
    assert (later.inference_model(), later.inference_model.version) == ({2.0}, 2)


def test_what_agents_act_upon_is_not_saved_twice(tmp_path):
    model = TorchTrainingModel(Number(), ema_decay=0.5)
    sync_to(model, 1.0)
    sync_to(model, 2.0)
    assert model.inference_model() == {1.5}
    model.save_state(tmp_path / "model")
    assert codec.load(tmp_path / "model")["agents"] is None


def test_a_replica_of_another_kind_gets_the_loaded_module(tmp_path, caplog):
    model = TorchTrainingModel(Number(tensors=1, size=3))
    sync_to(model, 1.0)
    model.inference_model.replicas()[0].module.register_buffer("its own", torch.zeros(1))
    TrainingModelsDict({"number": model}).save_state(tmp_path / "models")
    later = TorchTrainingModel(Number(tensors=1, size=3))
    TrainingModelsDict({"number": later}).load_state(tmp_path / "models")
    assert later.inference_model() == {1.0}
    assert "agents acted upon of another kind; they get the loaded module" in caplog.text


# One replica.


def test_an_only_replica_is_written_in_place():
    model = TorchTrainingModel(Number(), inference_replicas=1)
    inference = model.inference_model
    with inference.unwrap() as first:
        pass
    for number in (1.0, 2.0):
        sync_to(model, number)
        assert inference() == {number}
    with inference.unwrap() as last:
        assert last is first
    gc.collect()
    assert sum(type(o) is Number for o in gc.get_objects()) == 2


def test_an_only_replica_is_not_written_while_it_is_lent(pool):
    model = TorchTrainingModel(Number(), inference_replicas=1)
    with model.inference_model.unwrap() as lent:
        sync = pool.submit(sync_to, model, 1.0)
        with pytest.raises(TimeoutError):
            sync.result(timeout=0.1)
        assert lent() == {0.0}
        assert model.inference_model() == {0.0}, "an inference within the loan would wait for itself"
    sync.result(SECONDS)
    assert model.inference_model() == {1.0}


@contextmanager
def write_under_way(pool, inference):
    """Within the block a replica is written; behind it the write fills in 1 and ends."""
    begun, go_on = Event(), Event()

    def write(replica):
        begun.set()
        assert go_on.wait(SECONDS)
        replica.module.fill(1.0)

    sync = pool.submit(inference.publish, write)
    try:
        assert begun.wait(SECONDS)
        yield
    finally:
        go_on.set()
    sync.result(SECONDS)


def test_an_inference_waits_while_an_only_replica_is_written(pool):
    inference = TorchInferenceModel(Number())
    asked = Event()

    def ask():
        asked.set()
        return inference()

    with write_under_way(pool, inference):
        answer = pool.submit(ask)
        assert asked.wait(SECONDS)
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.1)
    assert answer.result(SECONDS) == {1.0}


def test_a_write_that_fails_does_not_lock_an_only_replica_up(pool):
    inference = TorchInferenceModel(Number())

    def fail(replica):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        inference.publish(fail)
    assert pool.submit(inference).result(SECONDS) == {0.0}
    assert inference.version == 0


# The races, forced.


class Stopping:
    """The published replica of a model, read by a thread that can be stopped right behind its reading."""

    def __init__(self, inference):
        self.inference = inference
        self.replica = inference._published
        self.stopped, self.go_on, self.thread = Event(), Event(), None

    def stop_at_reading(self):
        reader = self

        class Watched(type(reader.inference)):
            @property
            def _published(self):
                replica = reader.replica
                if get_ident() == reader.thread and not reader.stopped.is_set():
                    reader.stopped.set()
                    assert reader.go_on.wait(SECONDS)
                return replica

            @_published.setter
            def _published(self, replica):
                reader.replica = replica

        del self.inference.__dict__["_published"]
        self.inference.__class__ = Watched

    def ask(self):
        self.thread = get_ident()
        return self.inference()


@pytest.mark.parametrize("syncs", [1, 2, 3])
def test_a_reader_that_is_stopped_behind_its_reading_gets_what_is_published_when_it_goes_on(pool, syncs):
    """What it read may have been taken out, or taken out, written and published again."""
    model = TorchTrainingModel(Number())
    reader = Stopping(model.inference_model)
    reader.stop_at_reading()
    answer = pool.submit(reader.ask)
    try:
        assert reader.stopped.wait(SECONDS)
        for number in range(1, syncs + 1):
            pool.submit(sync_to, model, float(number)).result(SECONDS)
    finally:
        reader.go_on.set()
    assert answer.result(SECONDS) == {float(syncs)}


def test_a_reader_that_comes_too_late_for_an_only_replica_waits(pool):
    """It read the replica, the writer took it out and writes: the reader must leave it alone."""
    model = TorchTrainingModel(Number(), inference_replicas=1)
    reader = Stopping(model.inference_model)
    reader.stop_at_reading()
    answer = pool.submit(reader.ask)
    assert reader.stopped.wait(SECONDS)
    with write_under_way(pool, model.inference_model):
        reader.go_on.set()
        with pytest.raises(TimeoutError):
            answer.result(timeout=0.1)
    assert answer.result(SECONDS) == {1.0}


@pytest.mark.stress
@pytest.mark.parametrize("replicas", [1, 2])
def test_no_inference_sees_a_mixture_in_10_000_syncs(pool, replicas):
    model = TorchTrainingModel(Number(tensors=8, size=2_000), inference_replicas=replicas)
    inference = model.inference_model
    started, done = Event(), Event()

    def read():
        seen, versions = [], []
        while not done.is_set():
            seen.append(inference())
            versions.append(inference.used_version)
            started.set()
        return seen, versions

    readers = [pool.submit(read) for _ in range(2)]
    try:
        assert started.wait(SECONDS)
        for number in range(1, 10_001):
            sync_to(model, float(number))
    finally:
        done.set()
    for reader in readers:
        seen, versions = reader.result(SECONDS)
        assert [{float(version)} for version in versions] == seen
        assert versions == sorted(versions)
    assert inference.version == 10_000


# What a replica may differ in.


def test_replicas_may_have_another_dtype():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = TorchTrainingModel(module, inference_dtype=torch.bfloat16)
    nn.init.constant_(module[0].weight, 0.3)
    for _ in range(3):
        with model.inference_model.unwrap() as before:
            pass
        model.sync()
        with model.inference_model.unwrap() as replica:
            assert replica[0].weight.dtype is torch.bfloat16
            assert replica[1].num_batches_tracked.dtype is torch.int64
    assert before is not replica
    assert module[0].weight.dtype is torch.float32
    assert torch.equal(replica[0].weight, module[0].weight.bfloat16())


def test_a_replica_of_another_dtype_is_written_in_place():
    model = TorchTrainingModel(nn.Linear(2, 2), inference_dtype=torch.float64)
    replicas = [replica.module for replica in model.inference_model.replicas()]
    for _ in range(2):
        model.sync()
    assert [replica.module for replica in model.inference_model.replicas()] == replicas


def test_the_default_procedure_converts_what_it_is_given():
    model = TorchTrainingModel(nn.Bilinear(2, 2, 1), inference_dtype=torch.float64)
    answer = model.inference_model(torch.ones(1, 2), input2=torch.ones(1, 2))
    assert answer.dtype is torch.float64


def test_the_default_procedure_leaves_whole_numbers_alone():
    model = TorchTrainingModel(nn.Embedding(3, 2), inference_dtype=torch.float64)
    assert model.inference_model(torch.tensor([1])).shape == (1, 2)


def test_replicas_may_be_on_another_device():
    model = TorchTrainingModel(nn.Linear(2, 2), inference_device="meta")
    model.sync()
    with model.inference_model.unwrap() as replica:
        assert replica.weight.is_meta
    assert not model.model.weight.is_meta


@pytest.mark.parametrize(
    ("compiles", "of_replicas", "count"), [(False, True, 2), (True, False, 1), (True, None, 3)]
)
def test_replicas_may_be_compiled_or_not(monkeypatch, compiles, of_replicas, count):
    compiled = []

    def note(module):
        compiled.append(module)

    monkeypatch.setattr(nn.Module, "compile", note)
    model = TorchTrainingModel(nn.Linear(1, 1), compile=compiles, inference_compile=of_replicas)
    _ = model.inference_model
    assert len(compiled) == count
    assert (model.model in compiled) == compiles


# What is copied is what is there.


def test_a_parameter_whose_data_was_replaced_is_carried_over():
    model = TorchTrainingModel(nn.Linear(2, 2, bias=False))
    model.sync()
    model.model.weight.data = torch.full((2, 2), 7.0)
    model.sync()
    with model.inference_model.unwrap() as replica:
        assert (replica.weight == 7.0).all()


def test_a_parameter_that_got_another_shape_is_carried_over():
    """The same object, of one row now, which would be broadcast over two."""
    model = TorchTrainingModel(nn.Linear(2, 2, bias=False))
    model.sync()
    model.model.weight.data = torch.ones(1, 2)
    model.sync()
    assert model.inference_model(torch.ones(1, 2)).shape == (1, 1)


def test_a_layer_that_was_added_is_carried_over():
    model = TorchTrainingModel(nn.Sequential(nn.Linear(1, 1)))
    model.sync()
    model.model.append(nn.Linear(1, 4))
    for _ in range(2):
        model.sync()
        assert model.inference_model(torch.ones(1, 1)).shape == (1, 4)


def test_a_module_that_was_converted_has_replicas_of_its_dtype():
    model = TorchTrainingModel(nn.Linear(1, 1))
    model.sync()
    model.model.double()
    for _ in range(2):
        model.sync()
        assert model.inference_model(torch.ones(1, dtype=torch.float64)).dtype is torch.float64


# Moving averages.


def make_averaging(decay=0.9):
    model = TorchTrainingModel(nn.BatchNorm1d(2), ema_decay=decay)
    with torch.no_grad():
        model.model.weight.copy_(torch.tensor([1.0, 2.0]))
    return model


def weight_of(model):
    with model.inference_model.unwrap() as replica:
        return replica.weight.clone()


def test_agents_act_on_the_moving_average():
    model = make_averaging(0.9)
    model.sync()
    expected = torch.tensor([1.0, 2.0])
    assert torch.equal(weight_of(model), expected), "the first sync takes the parameters over"
    for n in range(1, 6):
        with torch.no_grad():
            model.model.weight += n
        model.sync()
        expected = 0.9 * expected + 0.1 * model.model.weight
        assert torch.allclose(weight_of(model), expected)


def test_the_average_is_torchs():
    model = make_averaging(0.7)
    theirs = torch.optim.swa_utils.AveragedModel(
        model.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7)
    )
    for _ in range(10):
        nn.init.normal_(model.model.weight)
        model.sync()
        theirs.update_parameters(model.model)
        assert torch.equal(weight_of(model), theirs.module.weight)


def test_buffers_are_not_averaged():
    model = make_averaging()
    for mean in (3.0, 5.0):
        model.model.running_mean.fill_(mean)
        model.model.num_batches_tracked.add_(1)
        model.sync()
        with model.inference_model.unwrap() as replica:
            assert (replica.running_mean == mean).all()
    assert replica.num_batches_tracked == 2


def test_the_average_does_not_touch_the_module_in_training():
    model = make_averaging()
    model.sync()
    with torch.no_grad():
        model.model.weight += 1
    before = copy.deepcopy(model.model.state_dict())
    model.sync()
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.model.state_dict().values(), strict=True))


def test_an_average_keeps_what_a_short_dtype_would_lose():
    """A step of 1/1000 is below what bfloat16 resolves next to 1."""
    model = TorchTrainingModel(nn.BatchNorm1d(1), ema_decay=0.999, inference_dtype=torch.bfloat16)
    model.sync()
    nn.init.constant_(model.model.weight, 2.0)
    for _ in range(700):
        model.sync()
    assert weight_of(model).item() == pytest.approx(2 - 0.999**700, abs=0.01)


def test_a_continued_average_goes_on_as_the_uninterrupted_one(tmp_path):
    def move_on(model):
        with torch.no_grad():
            model.model.weight += 1
        model.sync()

    model, later = make_averaging(), make_averaging()
    for _ in range(3):
        move_on(model)
    TrainingModelsDict({"model": model}).save_state(tmp_path / "models")
    TrainingModelsDict({"model": later}).load_state(tmp_path / "models")
    assert torch.equal(weight_of(later), weight_of(model)), "loading is no step of the average"
    for each in (model, later):
        move_on(each)
    assert torch.equal(weight_of(later), weight_of(model))


def test_a_parameter_that_is_replaced_starts_its_average_anew():
    model = TorchTrainingModel(nn.Sequential(nn.Linear(1, 1, bias=False)), ema_decay=0.5)
    model.sync()
    model.model[0] = nn.Linear(2, 1, bias=False)
    nn.init.constant_(model.model[0].weight, 4.0)
    model.sync()
    assert model.inference_model(torch.ones(1, 2)).item() == 8.0


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_module_is_averaged_once_it_has_a_shape():
    model = TorchTrainingModel(nn.LazyLinear(1, bias=False), ema_decay=0.5)
    model.sync()
    model(torch.ones(1, 3))
    nn.init.constant_(model.model.weight, 1.0)
    model.sync()
    assert model.inference_model(torch.ones(1, 3)).item() == 3.0


@pytest.mark.parametrize(("before", "after"), [(None, 0.9), (0.9, None)])
def test_a_state_with_another_choice_about_the_average_is_loaded_with_a_warning(tmp_path, caplog, before, after):
    saved = TorchTrainingModel(nn.Linear(1, 1), ema_decay=before)
    saved.sync()
    TrainingModelsDict({"model": saved}).save_state(tmp_path / "models")
    loaded = TorchTrainingModel(nn.Linear(1, 1), ema_decay=after)
    TrainingModelsDict({"model": loaded}).load_state(tmp_path / "models")
    assert torch.equal(loaded.inference_model(torch.ones(1)), saved.inference_model(torch.ones(1)))
    assert "moving average" in caplog.text


def test_a_saved_average_of_another_shape_is_refused(tmp_path):
    saved = TorchTrainingModel(nn.Linear(1, 1), ema_decay=0.5)
    saved.sync()
    saved.model.weight = nn.Parameter(torch.zeros(1, 3))
    saved.save_state(tmp_path / "model")
    with pytest.raises(ValueError, match=r"'weight' must have the shape of the parameter, \(1, 3\), got \(1, 1\)"):
        TorchTrainingModel(nn.Linear(3, 1), ema_decay=0.5).load_state(tmp_path / "model")


# First calls.


class Counting(nn.Module):
    """Counts its calls in a buffer, and draws."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", None)

    def forward(self, x, scale=1.0):
        self.calls += 1
        self.last = torch.rand(1)
        seen.append((float(x), scale))
        return x


seen = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [((torch.tensor(2.0),), (2.0, 1.0)), ({"x": torch.tensor(3.0), "scale": 0.5}, (3.0, 0.5))],
)
def test_a_warm_up_infers_once_on_each_replica_and_leaves_no_trace(inputs, expected):
    model = TorchTrainingModel(Counting(), example_inputs=inputs)
    generator = torch.get_rng_state()
    model.warm_up()
    assert seen == [expected] * 2
    for replica in model.inference_model.replicas():
        assert replica.module.calls == 0
        assert replica.module.last is None
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.inference_model.used_version is None


def test_example_inputs_that_do_not_fit_are_refused_before_the_start_by_the_model():
    models = TrainingModelsDict({"line": TorchTrainingModel(nn.Linear(2, 1), example_inputs=(torch.zeros(3),))})
    with pytest.raises(RuntimeError, match=r"multiplied|mismatch") as raised:
        models.warm_up()
    assert raised.value.__notes__ == ["raised while the model 'line' was warmed up"]


def test_without_example_inputs_there_is_no_warm_up():
    TorchTrainingModel(Counting()).warm_up()
    assert seen == []


def test_every_model_of_a_system_is_warmed_up():
    inputs = (torch.tensor(1.0),)
    TrainingModelsDict(
        {
            "shared": TorchTrainingModel(Counting(), inference_thread_only=True, example_inputs=inputs),
            "synced": TorchTrainingModel(Counting(), inference_replicas=1, example_inputs=inputs),
            "trained only": TorchTrainingModel(Counting(), has_inference_model=False, example_inputs=inputs),
        }
    ).warm_up()
    assert len(seen) == 2


# What is refused.


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"inference_replicas": 0}, ValueError, "inference_replicas must be a whole number of at least 1"),
        ({"inference_replicas": 3}, ValueError, "inference_replicas must be 1 or 2, got 3"),
        ({"inference_replicas": True}, TypeError, "inference_replicas must be a whole number"),
        ({"ema_decay": 1.0}, ValueError, "ema_decay must be a finite number of at least 0 and below 1, got 1.0"),
        ({"ema_decay": float("nan")}, ValueError, "ema_decay"),
        ({"ema_decay": "0.9"}, TypeError, "ema_decay"),
        ({"inference_dtype": torch.int8}, ValueError, "inference_dtype must be a floating-point dtype"),
        ({"inference_dtype": "bfloat16"}, TypeError, "inference_dtype must be a torch.dtype, got 'bfloat16'"),
        ({"example_inputs": torch.ones(1)}, TypeError, r"put a single argument into a tuple: \(argument,\)"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(kwargs, error, message):
    with pytest.raises(error, match=message):
        TorchTrainingModel(nn.Linear(1, 1), **kwargs)


@pytest.mark.parametrize("role", [{"inference_thread_only": True}, {"has_inference_model": False}])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"inference_replicas": 1},
        {"inference_device": "cpu"},
        {"inference_dtype": torch.bfloat16},
        {"inference_compile": False},
        {"ema_decay": 0.5},
    ],
)
def test_what_is_said_about_replicas_that_are_not_there_is_refused(role, kwargs):
    (name,) = kwargs
    with pytest.raises(ValueError, match=f"{name} is about replicas"):
        TorchTrainingModel(nn.Linear(1, 1), **role, **kwargs)
