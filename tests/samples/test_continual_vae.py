"""The sample of continual learning, in a short run: 20 images of each digit are too few to learn them well."""

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch

from pamiq_sched import SequentialBuffer, TorchTrainingModel, inspect_states, read_json_lines
from pamiq_sched.testing import connect_components

for extra in ("sklearn", "matplotlib"):
    pytest.importorskip(extra)

NAMES = ("remembering", "forgetful")
IMAGES = 10 * 20


@pytest.fixture(autouse=True, scope="module")
def single_threaded_torch():
    """As in a training thread on two cores; several threads wait for each other where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sample():
    """The sample, found as by a program that runs beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "samples"))
        import continual_vae

        yield continual_vae


@pytest.fixture(scope="module")
def run(sample, tmp_path_factory):
    """What a short run printed, and where it put its files."""
    out = tmp_path_factory.mktemp("vae")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert sample.main(["--short", "--out", str(out)]) in (0, 1)
    return printed.getvalue(), out


def connected(sample):
    """Agent and trainers as in a system, with buffers that keep everything."""
    torch.manual_seed(0)
    agent = sample.Watcher()
    vaes = {name: sample.VAE() for name in NAMES}
    trainers = {name: sample.VAETrainer(name, []) for name in NAMES}
    models = {name: TorchTrainingModel(vae, inference_procedure="encode") for name, vae in vaes.items()}
    parts = connect_components(agent, trainers, {name: SequentialBuffer(1000) for name in NAMES}, models)
    agent.setup()
    return agent, trainers, parts, vaes


def test_tells_for_each_digit_that_something_was_learned(run):
    """Both autoencoders reconstruct images that the agent has not seen better than an untrained one."""
    printed, _ = run
    line = re.compile(r"of (\d)s: ([\d.]+) untrained, ([\d.]+) remembered, ([\d.]+) forgotten")

    found = line.findall(printed)

    assert [digit for digit, *_ in found] == list("0123456789")
    assert all(float(untrained) > max(float(a), float(b)) for _, untrained, a, b in found)


def test_logs_the_error_of_each_digit_and_beta(run):
    _, out = run
    (recorded,) = read_json_lines(out / "metrics.jsonl")
    logged = {
        name: [p.value for p in recorded.points if p.name == name] for name in {p.name for p in recorded.points}
    }

    for name in NAMES:
        assert all(logged[f"{name}/error of {digit}"] for digit in range(10))
        beta = logged[f"{name}/scheduled/beta"]
        assert beta == sorted(beta)
        assert 0.0 < beta[-1] < 0.5  # on its way up


def test_saves_when_it_looks_and_at_the_end(run):
    _, out = run

    states = inspect_states(out / "states").states

    assert len(states) == 4
    assert (out / "continual_vae.png").stat().st_size > 10_000


def test_the_agent_answers_with_the_code_and_collects_for_both(sample):
    agent, _, parts, vaes = connected(sample)
    image = torch.rand(64)

    code = agent.step(image)

    torch.testing.assert_close(code, vaes["remembering"].encode(image))
    assert [parts.data_users[name].get_data() for name in NAMES] == [[image], [image]]


def test_a_batch_for_every_two_images(sample):
    agent, trainers, _, _ = connected(sample)
    for _ in range(80):
        agent.step(torch.rand(64))

    while sum(trainer.run() for trainer in trainers.values()):
        pass

    assert [trainer.step_count for trainer in trainers.values()] == [40, 40]


def test_the_stream_stays_at_its_last_image(sample):
    stream = sample.Stream(torch.tensor([[1.0], [2.0]]))

    seen = []
    for _ in range(3):
        seen.append(stream.observe().item())
        stream.affect(torch.zeros(12))

    assert seen == [1.0, 2.0, 2.0]
