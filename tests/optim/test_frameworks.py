"""Schedules in the loops of others: plain torch, Lightning, the Hugging Face Trainer, Accelerate."""

import csv
import warnings

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

from pamiq_sched.optim import (
    LinearCurve,
    Schedule,
    SynchronousSchedule,
    WarmupCurve,
    arbitrary_schedule_factory,
)

STEPS = 12
DATA = TensorDataset(torch.ones(4 * STEPS, 2), torch.zeros(4 * STEPS, 1))


def make_schedule(optimizer):
    """Learning rate, weight decay, one of betas, and a key of its own, by curves and a scheduler of torch."""
    return SynchronousSchedule(
        [
            Schedule(optimizer, WarmupCurve(4).then(LinearCurve(1.0, 0.0, STEPS))),
            arbitrary_schedule_factory(
                optimizer, lambda o: StepLR(o, 3, gamma=0.5), schedule_target="weight_decay"
            ),
            Schedule(optimizer, LinearCurve(1.0, 0.5, STEPS), "betas[0]"),
            Schedule(optimizer, LinearCurve(1.0, 0.1, STEPS), "clip", default_value=5.0),
        ]
    )


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)


def expected_values(steps):
    """The values by name, before each step of the optimizer."""
    schedule = make_schedule(make_optimizer(nn.Linear(1, 1)))
    values = []
    for _ in range(steps):
        values.append({name: value for name, (value,) in schedule.values.items()})
        schedule.step()
    return values


def test_a_plain_loop_trains_with_it():
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model)
    schedule = make_schedule(optimizer)
    losses, seen = [], []
    for inputs, targets in DataLoader(DATA, batch_size=4):
        (group,) = optimizer.param_groups
        seen.append(
            {
                "lr": group["lr"],
                "weight_decay": group["weight_decay"],
                "betas[0]": group["betas"][0],
                "clip": group["clip"],
            }
        )
        loss = nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(group["params"], group["clip"])
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert seen == expected_values(STEPS)
    assert losses[-1] < losses[0]


# Lightning.


@pytest.fixture
def lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the framework's own imports
        return pytest.importorskip("lightning.pytorch")


def make_module(lightning, configure):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(2, 1)
            self.seen = []

        def training_step(self, batch, _index):
            inputs, targets = batch
            self.seen.append(dict(self.optimizers().param_groups[0], params=None))
            return nn.functional.mse_loss(self.line(inputs), targets)

        def configure_optimizers(self):
            optimizer = make_optimizer(self.line)
            self.schedule = configure(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule, "interval": "step"}}

    return Module()


def fit(lightning, module, path, *, steps, resume=None):
    monitor = lightning.callbacks.LearningRateMonitor("step", log_momentum=True, log_weight_decay=True)
    logger = lightning.loggers.CSVLogger(path / "logs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few workers, few batches, and the framework's own dependencies
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_steps=steps,
            max_epochs=-1,
            logger=logger,
            log_every_n_steps=1,
            callbacks=[monitor],
            default_root_dir=path,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, DataLoader(DATA, batch_size=4), ckpt_path=resume)
    return trainer, logger


def test_lightning_trains_with_it_and_its_monitor_logs_the_values(lightning, tmp_path):
    module = make_module(lightning, make_schedule)
    _, logger = fit(lightning, module, tmp_path, steps=STEPS)
    assert module.schedule.last_epoch == STEPS
    expected = expected_values(STEPS)
    assert [(g["lr"], g["weight_decay"], g["betas"][0], g["clip"]) for g in module.seen] == [
        tuple(values.values()) for values in expected
    ]
    with open(f"{logger.log_dir}/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for column, name in (
        ("lr-AdamW", "lr"),
        ("lr-AdamW-weight_decay", "weight_decay"),
        ("lr-AdamW-momentum", "betas[0]"),
    ):
        logged = [float(row[column]) for row in rows if row[column]]
        # The monitor takes float32 on the way to the logger.
        assert logged == pytest.approx([values[name] for values in expected], rel=1e-6)


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_that_lightning_resumes_goes_on_bit_equal(lightning, tmp_path, alone):
    configure = (lambda o: Schedule(o, LinearCurve(1.0, 0.1, STEPS))) if alone else make_schedule
    whole = make_module(lightning, configure)
    fit(lightning, whole, tmp_path, steps=STEPS)
    first = make_module(lightning, configure)
    trainer, _ = fit(lightning, first, tmp_path, steps=5)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = make_module(lightning, configure)
    fit(lightning, second, tmp_path, steps=STEPS, resume=tmp_path / "half.ckpt")
    assert first.seen + second.seen == whole.seen


def test_a_scheduler_of_another_key_goes_to_lightning_inside_a_synchronous_one(lightning, tmp_path):
    """By itself it belongs to a stand-in, which is none of the optimizers that Lightning was given."""

    def alone(optimizer):
        return arbitrary_schedule_factory(optimizer, lambda o: StepLR(o, 3), schedule_target="weight_decay")

    module = make_module(lightning, lambda optimizer: SynchronousSchedule([alone(optimizer)]))
    fit(lightning, module, tmp_path, steps=4)
    assert module.seen[-1]["weight_decay"] == pytest.approx(0.05)
    with pytest.raises(lightning.utilities.exceptions.MisconfigurationException, match="optimizer"):
        fit(lightning, make_module(lightning, alone), tmp_path, steps=4)


# Hugging Face.


@pytest.fixture
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("accelerate")
        return pytest.importorskip("transformers")


class Model(nn.Module):
    """A line that tells its loss, as the Trainer expects."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 1)

    def forward(self, x, labels):
        return {"loss": nn.functional.mse_loss(self.line(x), labels)}


def test_the_hugging_face_trainer_trains_resumes_and_logs(transformers, tmp_path):
    data = [{"x": inputs, "labels": target} for inputs, target in DATA]

    def train(steps, resume=None):
        torch.manual_seed(0)
        model = Model()
        optimizer = make_optimizer(model)
        schedule = make_schedule(optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = transformers.TrainingArguments(
                output_dir=str(tmp_path / "runs"),
                max_steps=steps,
                per_device_train_batch_size=4,
                save_steps=5,
                logging_steps=1,
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
            )
            trainer = transformers.Trainer(model, arguments, train_dataset=data, optimizers=(optimizer, schedule))
            trainer.train(resume_from_checkpoint=resume)
        logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
        return schedule, logged

    whole, logged = train(STEPS)
    assert whole.last_epoch == STEPS
    assert logged == pytest.approx([values["lr"] for values in expected_values(STEPS)])
    resumed, _ = train(STEPS, resume=str(tmp_path / "runs" / "checkpoint-5"))
    assert resumed.snapshot() == whole.snapshot()


def test_accelerate_steps_it_with_the_optimizer_and_saves_it(transformers, tmp_path):
    del transformers  # whose fixture has imported accelerate
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model)
    schedule = make_schedule(optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, optimizer, prepared, loader = accelerator.prepare(
            model, optimizer, schedule, DataLoader(DATA, batch_size=4)
        )
    for inputs, targets in loader:
        with accelerator.accumulate(model):
            accelerator.backward(nn.functional.mse_loss(model(inputs), targets))
            optimizer.step()
            prepared.step()
            optimizer.zero_grad()
    assert schedule.last_epoch == STEPS // 2
    assert schedule.values == {name: [value] for name, value in expected_values(STEPS // 2 + 1)[-1].items()}
    before = schedule.snapshot()
    accelerator.save_state(str(tmp_path))
    schedule.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator.load_state(str(tmp_path))
    assert schedule.snapshot() == before
