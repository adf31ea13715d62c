"""The module in training keeps its identity; agents ask replicas that are whole and in eval mode."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import safetensors.torch
import torch
from torch import nn

from pamiq_sched import TorchInferenceModel, TorchTrainingModel, TrainingModelsDict, get_device
from pamiq_sched.torch import default_infer_procedure

SECONDS = 30  # until a thread that should go on is given up


class Constants(nn.Module):
    """Parameters and buffers that all hold one number."""

    def __init__(self, tensors=4, size=20_000):
        super().__init__()
        self.numbers = nn.ParameterList(torch.zeros(size) for _ in range(tensors))
        self.register_buffer("buffer", torch.zeros(size))

    def tensors(self):
        return [*self.numbers, self.buffer]

    def fill(self, number):
        with torch.no_grad():
            for tensor in self.tensors():
                tensor.fill_(number)

    def forward(self):
        """Every number that is in it."""
        return {x for tensor in self.tensors() for x in (tensor.min().item(), tensor.max().item())}


def fill_and_sync(model, number):
    model.model.fill(number)
    model.sync()


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


# Identity.


def test_module_and_parameters_keep_their_identity_across_syncs():
    module = nn.Linear(2, 1)
    parameters = list(module.parameters())
    model = TorchTrainingModel(module)
    for _ in range(3):
        model.sync()
        assert model.model is module
        assert all(a is b for a, b in zip(model.model.parameters(), parameters, strict=True))


def test_replicas_share_no_memory_with_the_module():
    model = TorchTrainingModel(nn.BatchNorm1d(2))
    with model.inference_model.unwrap() as first:
        model.sync()
        with model.inference_model.unwrap() as second:
            modules = [model.model, first, second]
    pointers = [t.data_ptr() for m in modules for t in (*m.parameters(), *m.buffers())]
    assert len(set(pointers)) == len(pointers)


def test_an_optimizer_goes_on_training_the_module_after_a_sync():
    model = TorchTrainingModel(nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model.model.parameters(), lr=0.1)
    for _ in range(3):
        step(model, optimizer)
        model.sync()
        trained, inferred = model.model.weight.detach().clone(), model.inference_model(torch.ones(1, 2))
        step(model, optimizer)
        assert not torch.equal(model.model.weight, trained)
        assert torch.equal(model.inference_model(torch.ones(1, 2)), inferred), "it trained the replica"


def test_a_sync_leaves_gradients_alone():
    model = TorchTrainingModel(nn.Linear(2, 1))
    model(torch.ones(1, 2)).sum().backward()
    grads = [p.grad for p in model.model.parameters()]
    before = [g.clone() for g in grads]
    model.sync()
    assert all(p.grad is g for p, g in zip(model.model.parameters(), grads, strict=True))
    assert all(torch.equal(g, b) for g, b in zip(grads, before, strict=True))


def test_replicas_have_no_gradients():
    model = TorchTrainingModel(nn.Linear(2, 1))
    model(torch.ones(1, 2)).sum().backward()
    model.sync()
    with model.inference_model.unwrap() as replica:
        assert all(p.grad is None for p in replica.parameters())


# What is carried over.


def test_agents_see_what_was_learned_after_a_sync_only():
    model = TorchTrainingModel(Constants(size=2))
    inference = model.inference_model
    model.model.fill(1.0)
    assert inference() == {0.0}
    model.sync()
    assert inference() == {1.0}


def test_buffers_are_carried_over():
    model = TorchTrainingModel(nn.BatchNorm1d(2))
    model(torch.tensor([[1.0, 5.0], [3.0, 9.0]]))
    model.sync()
    with model.inference_model.unwrap() as replica:
        assert torch.equal(replica.running_mean, model.model.running_mean)
        assert replica.num_batches_tracked == 1


def test_tied_parameters_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

    model = TorchTrainingModel(Tied())
    for number in (3.0, 4.0):
        nn.init.constant_(model.model.a.weight, number)
        model.sync()
        with model.inference_model.unwrap() as replica:
            assert replica.a.weight is replica.b.weight
            assert (replica.b.weight == number).all()


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_module_is_carried_over_once_it_has_a_shape():
    model = TorchTrainingModel(nn.LazyLinear(2))
    inference = model.inference_model
    model(torch.ones(1, 3))
    for _ in range(3):  # the replica that is published, the other one, and the first again
        model.sync()
        assert torch.equal(inference(torch.ones(1, 3)), model(torch.ones(1, 3)))


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_module_that_an_agent_asked_first_is_carried_over():
    model = TorchTrainingModel(nn.LazyLinear(2))
    inference = model.inference_model
    inference(torch.ones(1, 3))
    model(torch.ones(1, 3))
    for _ in range(3):
        model.sync()
        assert torch.equal(inference(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_a_module_whose_layers_were_replaced_is_carried_over():
    model = TorchTrainingModel(nn.Sequential(nn.Linear(2, 2)))
    inference = model.inference_model
    model.model[0] = nn.Linear(2, 5)
    for _ in range(3):
        model.sync()
        assert torch.equal(inference(torch.ones(1, 2)), model(torch.ones(1, 2)))
    with inference.unwrap() as replica:
        assert not replica.training


def test_a_replica_that_keeps_its_hidden_state_in_a_buffer_can_be_synced():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.register_buffer("hidden", torch.zeros(1))

        def forward(self, x):
            self.hidden = self.hidden * 0.5 + x * self.weight.detach()
            return self.hidden

    model = TorchTrainingModel(Recurrent())
    for _ in range(4):  # each replica in its turn has a buffer that was made in inference mode
        model.inference_model(torch.ones(1))
        model.sync()
    assert model.inference_model(torch.ones(1)).item() == 1.0, "the sync brought the trained hidden state: 0"


def test_a_module_without_parameters_can_be_synced():
    model = TorchTrainingModel(nn.ReLU())
    model.sync()
    assert model.inference_model(torch.tensor(-1.0)) == 0.0


def test_versions_count_up():
    model = TorchTrainingModel(nn.Linear(1, 1))
    versions = [model.inference_model.version]
    for _ in range(4):
        model.sync()
        versions.append(model.inference_model.version)
    assert versions == [0, 1, 2, 3, 4]


# Modes.


def test_replicas_are_in_eval_mode_from_the_first_call():
    """Dropout of everything would answer 0."""
    model = TorchTrainingModel(nn.Dropout(p=1.0))
    for _ in range(4):
        assert model.inference_model(torch.ones(3)).tolist() == [1.0, 1.0, 1.0]
        model.sync()


def test_a_sync_leaves_the_training_mode_alone():
    model = TorchTrainingModel(nn.Sequential(nn.Dropout(), nn.Linear(1, 1)))
    model.sync()
    assert all(module.training for module in model.model.modules())


def test_layers_that_the_user_froze_stay_in_eval_mode():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout()), nn.BatchNorm1d(2))
    module[0].eval()
    module[1].eval()
    model = TorchTrainingModel(module)
    for _ in range(2):
        model.sync()
        assert [m.training for m in module.modules()] == [True, False, False, False, True]


def test_replicas_stay_in_eval_mode_when_the_module_changes_its_mode():
    model = TorchTrainingModel(nn.Dropout())
    for mode in (False, True):
        model.model.train(mode)
        model.sync()
        with model.inference_model.unwrap() as replica:
            assert not replica.training


def test_inference_has_no_gradients():
    model = TorchTrainingModel(nn.Linear(1, 1))
    answer = model.inference_model(torch.ones(1))
    assert not answer.requires_grad
    assert answer.is_inference()


def test_gradients_may_be_on_in_a_lent_module():
    model = TorchTrainingModel(nn.Linear(1, 1))
    with model.inference_model.unwrap(inference_mode=False) as replica:
        assert replica(torch.ones(1)).requires_grad


def test_gradients_are_on_again_behind_the_block():
    model = TorchTrainingModel(nn.Linear(1, 1))
    with model.inference_model.unwrap():
        pass
    assert model(torch.ones(1)).requires_grad


# Lending.


def test_a_sync_during_a_lent_block_neither_blocks_nor_changes_the_lent_module():
    model = TorchTrainingModel(Constants(size=2))
    with model.inference_model.unwrap() as lent:
        fill_and_sync(model, 1.0)
        assert lent() == {0.0}
        assert model.inference_model() == {1.0}
    assert model.inference_model() == {1.0}


def test_the_sync_after_that_waits_for_the_lender(pool):
    model = TorchTrainingModel(Constants(size=2))
    with model.inference_model.unwrap() as lent:
        fill_and_sync(model, 1.0)
        second = pool.submit(fill_and_sync, model, 2.0)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.1)
        assert lent() == {0.0}
        assert model.inference_model() == {1.0}, "whoever asks meanwhile does not wait"
    second.result(timeout=SECONDS)
    assert model.inference_model() == {2.0}


def test_a_sync_waits_for_the_last_of_several_lenders(pool):
    model = TorchTrainingModel(Constants(size=2))
    with model.inference_model.unwrap() as lent:
        with model.inference_model.unwrap():
            fill_and_sync(model, 1.0)
        second = pool.submit(fill_and_sync, model, 2.0)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.1)
        assert lent() == {0.0}
    second.result(timeout=SECONDS)


def test_a_block_that_raises_gives_the_module_back(pool):
    model = TorchTrainingModel(Constants(size=2))
    with pytest.raises(RuntimeError, match="of the agent"), model.inference_model.unwrap():
        raise RuntimeError("of the agent")
    for number in (1.0, 2.0):
        pool.submit(fill_and_sync, model, number).result(timeout=SECONDS)
    assert model.inference_model() == {2.0}


def test_a_procedure_that_raises_gives_the_module_back(pool):
    def refuse(module):
        raise RuntimeError("of the procedure")

    model = TorchTrainingModel(Constants(size=2), inference_procedure=refuse)
    with pytest.raises(RuntimeError, match="of the procedure"):
        model.inference_model()
    for number in (1.0, 2.0):
        pool.submit(fill_and_sync, model, number).result(timeout=SECONDS)


def test_an_inference_goes_on_while_a_sync_writes(pool):
    """The sync is held inside its copy; an agent asks meanwhile."""
    inference = TorchInferenceModel(Constants(size=2), spare=Constants(size=2))
    writing, go_on = Event(), Event()

    def write(spare):
        spare.module.fill(1.0)
        writing.set()
        assert go_on.wait(SECONDS)

    sync = pool.submit(inference.publish, write)
    try:
        assert writing.wait(SECONDS)
        assert pool.submit(inference).result(timeout=SECONDS) == {0.0}
        assert inference.version == 0
    finally:
        go_on.set()
    sync.result(timeout=SECONDS)
    assert inference() == {1.0}
    assert inference.version == 1


def test_an_inference_across_a_sync_sees_one_version():
    """The sync falls between two reads of one inference."""

    def ask(module):
        first, *others = module.tensors()
        seen = {first[0].item()}
        fill_and_sync(model, 5.0)
        return seen | {tensor[0].item() for tensor in others}

    model = TorchTrainingModel(Constants(size=2), inference_procedure=ask)
    assert model.inference_model() == {0.0}


def test_no_inference_sees_a_mixture_of_versions(pool):
    model = TorchTrainingModel(Constants())
    inference = model.inference_model
    versions, started, done = 200, Event(), Event()

    def read():
        mixtures, seen = [], []
        while not done.is_set():
            numbers = inference()
            started.set()
            if len(numbers) != 1:
                mixtures.append(numbers)
            seen.append(max(numbers))
        return mixtures, seen

    readers = [pool.submit(read) for _ in range(2)]
    try:
        assert started.wait(SECONDS)
        for number in range(1, versions + 1):
            fill_and_sync(model, float(number))
    finally:
        done.set()
    for reader in readers:
        mixtures, seen = reader.result(timeout=SECONDS)
        assert mixtures == []
        assert seen == sorted(seen), "an older version came after a newer one"
    assert inference() == {float(versions)}
    assert inference.version == versions


def test_a_sync_that_fails_publishes_nothing():
    inference = TorchInferenceModel(Constants(size=2), spare=Constants(size=2))

    def fail(spare):
        spare.module.numbers[0].data.fill_(9.0)
        raise RuntimeError("out of memory")

    def write(spare):
        spare.module.fill(1.0)

    with pytest.raises(RuntimeError, match="out of memory"):
        inference.publish(fail)
    assert inference() == {0.0}
    assert inference.version == 0
    inference.publish(write)
    assert inference() == {1.0}
    assert inference.version == 1


def test_a_replica_that_was_replaced_is_let_go():
    model = TorchTrainingModel(nn.Linear(2, 2))
    for _ in range(3):
        model.model.weight = nn.Parameter(torch.zeros(3, 2))
        model.model.bias = nn.Parameter(torch.zeros(3))
        model.sync()
    gc.collect()
    assert sum(type(o) is nn.Linear and o.weight.shape == (3, 2) for o in gc.get_objects()) == 3


# Arguments.


def test_inference_thread_only_shares_the_module_in_eval_mode():
    module = nn.Dropout()
    model = TorchTrainingModel(module, inference_thread_only=True)
    with model.inference_model.unwrap() as lent:
        assert lent is module
        assert not lent.training
    model.sync()
    with model.inference_model.unwrap() as lent:
        assert lent is module


def test_a_model_without_inference_side_makes_no_replica():
    class Alone(nn.Linear):
        def __deepcopy__(self, memo):
            raise AssertionError("it was copied")

    model = TorchTrainingModel(Alone(1, 1), has_inference_model=False)
    model.sync()
    with pytest.raises(RuntimeError, match="has no inference side"):
        _ = model.inference_model


def test_the_dtype_reaches_module_and_replicas():
    model = TorchTrainingModel(nn.Linear(1, 1), dtype=torch.float64)
    assert model.model.weight.dtype is torch.float64
    model.sync()
    assert model.inference_model(torch.ones(1, dtype=torch.float64)).dtype is torch.float64


def test_the_dtype_leaves_integer_buffers_alone():
    model = TorchTrainingModel(nn.BatchNorm1d(1), dtype=torch.float64)
    assert model.model.num_batches_tracked.dtype is torch.int64


def test_the_device_reaches_module_and_replicas():
    model = TorchTrainingModel(nn.Linear(1, 1), device="meta")
    assert get_device(model.model).type == "meta"
    assert model.inference_model(torch.ones(1)).device.type == "meta"


def test_a_module_stays_where_it_is_without_a_device():
    model = TorchTrainingModel(nn.Linear(1, 1, device="meta"))
    assert get_device(model.model).type == "meta"


def test_get_device_asks_parameters_then_buffers_then_the_default():
    assert get_device(nn.Linear(1, 1, device="meta")).type == "meta"
    assert get_device(nn.BatchNorm1d(1, affine=False, device="meta")).type == "meta"
    assert get_device(nn.ReLU(), torch.device("meta")).type == "meta"
    assert get_device(nn.ReLU()) == torch.get_default_device()


def test_the_default_procedure_moves_tensors_and_passes_the_rest_through():
    class Kinds(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, a, b, *, c, d):
            return a.device.type, b, c.device.type, d

    answer = default_infer_procedure(Kinds(), torch.ones(1), "text", c=torch.ones(1), d=3)
    assert answer == ("meta", "text", "meta", 3)


def test_a_procedure_may_be_named():
    class Policy(nn.Linear):
        def act(self, x, *, greedy):
            return "greedy" if greedy else self(x)

    model = TorchTrainingModel(Policy(1, 1), inference_procedure="act")
    assert model.inference_model(torch.ones(1), greedy=True) == "greedy"


def test_a_procedure_may_be_any_callable():
    model = TorchTrainingModel(nn.Linear(1, 1), inference_procedure=lambda module, x: (type(module), x))
    assert model.inference_model(3) == (nn.Linear, 3)


def test_an_unknown_procedure_is_refused_by_name():
    with pytest.raises(AttributeError, match="Linear has no method 'act'"):
        TorchTrainingModel(nn.Linear(1, 1), inference_procedure="act")


@pytest.mark.parametrize("procedure", ["__constants__", 3])
def test_a_procedure_that_cannot_be_called_is_refused(procedure):
    with pytest.raises(TypeError, match="inference_procedure must be callable"):
        TorchTrainingModel(nn.Linear(1, 1), inference_procedure=procedure)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got 3"):
        TorchTrainingModel(3)


def test_a_pretrained_file_is_loaded_into_both_sides(tmp_path):
    pretrained = nn.Linear(2, 1)
    safetensors.torch.save_model(pretrained, str(tmp_path / "policy.safetensors"))
    model = TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=tmp_path / "policy.safetensors")
    assert torch.equal(model.model.weight, pretrained.weight)
    with torch.no_grad():
        assert torch.equal(model.inference_model(torch.ones(2)), pretrained(torch.ones(2)))


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_weights_that_torch_has_saved_are_loaded_into_both_sides(tmp_path, suffix):
    pretrained = nn.Linear(2, 1)
    torch.save(pretrained.state_dict(), tmp_path / f"policy{suffix}")
    model = TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=str(tmp_path / f"policy{suffix}"))
    with torch.no_grad():
        assert torch.equal(model.inference_model(torch.ones(2)), pretrained(torch.ones(2)))


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("hidden_in", [lambda evil: evil, lambda evil: {"weight": torch.ones(1, 2), "evil": evil}])
def test_no_code_of_a_pretrained_file_is_run(tmp_path, hidden_in):
    torch.save(hidden_in(Evil(tmp_path / "run")), tmp_path / "policy.pt")
    with pytest.raises(ValueError, match=r"must hold the state dict of a module.*policy\.pt.*save_model"):
        TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=tmp_path / "policy.pt")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ({"model": {"weight": torch.ones(1, 2)}, "epoch": 3}, r"with the keys \['epoch', 'model'\]"),
        (torch.ones(2), "with Tensor"),
        (nn.Linear(2, 1), "which cannot be read as that"),
    ],
)
def test_a_pretrained_file_with_more_than_weights_is_refused_by_what_is_in_it(tmp_path, saved, told):
    torch.save(saved, tmp_path / "policy.pt")
    with pytest.raises(ValueError, match=told):
        TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=tmp_path / "policy.pt")


def test_a_torch_that_could_run_code_is_told_the_version_to_install(tmp_path, monkeypatch):
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / "policy.pt")
    monkeypatch.setattr(torch, "__version__", torch.torch_version.TorchVersion("2.9.1+cpu"))
    with pytest.raises(ValueError, match=r"can run code when torch 2\.9\.1\+cpu reads it.*install torch>=2\.10"):
        TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=tmp_path / "policy.pt")


def test_a_pretrained_file_that_is_not_there_is_told_as_such(tmp_path):
    for suffix in (".pt", ".safetensors"):
        with pytest.raises(FileNotFoundError, match="policy"):
            TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=tmp_path / f"policy{suffix}")


def test_a_pretrained_file_of_another_kind_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(
        ValueError, match=r"must be a \.safetensors, \.pt or \.pth file, got '.*policy\.ckpt'.*save_model"
    ):
        TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=str(tmp_path / "policy.ckpt"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_pretrained_file_of_another_shape_is_refused_by_its_name(tmp_path, suffix):
    file = tmp_path / f"policy{suffix}"
    (torch.save if suffix == ".pt" else safetensors.torch.save_file)(nn.Linear(3, 1).state_dict(), file)
    with pytest.raises(RuntimeError, match="size mismatch") as refused:
        TorchTrainingModel(nn.Linear(2, 1), pretrained_parameter_file=file)
    assert refused.value.__notes__ == [f"raised by the parameters of {str(file)!r}"]


def test_a_module_that_cannot_be_copied_is_named_with_the_way_out():
    module = nn.Linear(1, 1)
    module.lock = threading.Lock()
    with pytest.raises(TypeError, match="pickle") as refused:
        TrainingModelsDict({"policy": TorchTrainingModel(module)})
    copied, made = refused.value.__notes__
    assert "copied for agents; give it a __deepcopy__" in copied
    assert "'policy'" in made


class Sine(nn.Module):
    """Small, and outside torch.nn, whose modules torch.compile skips."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.sin(x * self.weight)


@pytest.fixture
def eager_compiler(monkeypatch):
    """Let compile() trace only: generating code takes a C++ compiler and half a minute."""
    real = nn.Module.compile
    compiled = []

    def compile_by_tracing(self):
        compiled.append(self)
        real(self, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", compile_by_tracing)
    yield compiled
    torch.compiler.reset()


def test_a_compiled_module_and_its_replicas_work_across_syncs(eager_compiler):
    model = TorchTrainingModel(Sine(), compile=True)
    assert len(eager_compiler) == 3
    for weight in (2.0, 3.0):
        nn.init.constant_(model.model.weight, weight)
        model.sync()
        expected = torch.sin(torch.tensor([weight]))
        assert torch.allclose(model(torch.ones(1)), expected)
        assert torch.allclose(model.inference_model(torch.ones(1)), expected)


# State.


def test_a_loaded_model_has_the_saved_parameters_and_buffers(tmp_path):
    saved = TorchTrainingModel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    saved(torch.randn(4, 2))
    saved.save_state(tmp_path / "model")
    loaded = TorchTrainingModel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    loaded.load_state(tmp_path / "model")
    pairs = zip(saved.model.state_dict().items(), loaded.model.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_loading_keeps_the_identity_of_the_parameters(tmp_path):
    model = TorchTrainingModel(nn.Linear(2, 2))
    parameters = list(model.model.parameters())
    model.save_state(tmp_path / "model")
    model.load_state(tmp_path / "model")
    assert all(a is b for a, b in zip(model.model.parameters(), parameters, strict=True))


def test_a_state_of_another_module_is_refused(tmp_path):
    TorchTrainingModel(nn.Linear(3, 2)).save_state(tmp_path / "model")
    with pytest.raises(RuntimeError, match="size mismatch"):
        TorchTrainingModel(nn.Linear(2, 2)).load_state(tmp_path / "model")


def test_a_model_with_tied_parameters_is_saved_and_loaded(tmp_path):
    def make():
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        module[1].weight = module[0].weight
        return TorchTrainingModel(module)

    saved, loaded = make(), make()
    saved.save_state(tmp_path / "model")
    loaded.load_state(tmp_path / "model")
    assert torch.equal(loaded.model[1].weight, saved.model[0].weight)
    assert loaded.model[0].weight is loaded.model[1].weight
