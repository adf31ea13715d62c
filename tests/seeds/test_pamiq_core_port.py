"""Code written for pamiq-core by its README and guide runs on pamiq_sched after changing the imports.

Everything between the two lines below is what a user of pamiq-core writes; only the imports name us.
"""

import json

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import nn
from typing_extensions import override

# ---- a user's code for pamiq-core, imports changed ------------------------------------------------------------
from pamiq_sched import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    LaunchConfig,
    Trainer,
    launch,
    time,
)
from pamiq_sched.data import DictSequentialBuffer, RandomReplacementBuffer, SequentialBuffer
from pamiq_sched.model import InferenceModel, TrainingModel
from pamiq_sched.torch import TorchAgent, TorchTrainer, TorchTrainingModel


class Thermostat(Environment[torch.Tensor, int]):
    """A room whose temperature goes up when heated and down when not."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = self.began_at = 15.0
        self.events: list[str] = []

    @override
    def setup(self) -> None:
        super().setup()
        self.events.append("setup")

    @override
    def observe(self) -> torch.Tensor:
        return torch.tensor([self.temperature / 20.0])

    @override
    def affect(self, action: int) -> None:
        self.temperature += 0.5 if action else -0.5

    @override
    def teardown(self) -> None:
        super().teardown()
        self.events.append("teardown")

    @override
    def save_state(self, path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        (path / "temperature").write_text(str(self.temperature))

    @override
    def load_state(self, path) -> None:
        super().load_state(path)
        self.temperature = self.began_at = float((path / "temperature").read_text())


class Forecaster(nn.Module):
    """Foretells the next observation from this one and the action."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([observation, action], -1))

    def foretell(self, observation: torch.Tensor, action: int) -> float:
        return self(observation, torch.tensor([float(action)])).item()


class Diary(Agent[torch.Tensor, None]):
    """A child agent that writes down what was observed."""

    @override
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("diary")

    @override
    def step(self, observation: torch.Tensor) -> None:
        self.collector.collect(observation.item())


class HeatingAgent(TorchAgent[torch.Tensor, int]):
    """Heats when that is foretold to come nearer to what it wants."""

    def __init__(self) -> None:
        self.diary = Diary()
        super().__init__({"diary": self.diary})
        self.steps = 0
        self.previous: tuple[torch.Tensor, int] | None = None

    @override
    def on_inference_models_attached(self) -> None:
        super().on_inference_models_attached()
        self.forecaster = self.get_torch_inference_model("forecaster", Forecaster)
        self.wish = self.get_inference_model("wish")

    @override
    def on_data_collectors_attached(self) -> None:
        super().on_data_collectors_attached()
        self.collector = self.get_data_collector("transitions")

    @override
    def step(self, observation: torch.Tensor) -> int:
        self.steps += 1
        self.diary.step(observation)
        if self.previous is not None:
            before, action = self.previous
            self.collector.collect(
                {"before": before, "action": torch.tensor([float(action)]), "after": observation}
            )
        wanted = self.wish()
        errors = [abs(self.forecaster(observation, action) - wanted) for action in (0, 1)]
        action = errors.index(min(errors)) if self.steps % 3 else self.steps % 2
        self.previous = observation, action
        return action

    @override
    def save_state(self, path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        (path / "steps").write_text(str(self.steps))

    @override
    def load_state(self, path) -> None:
        super().load_state(path)
        self.steps = int((path / "steps").read_text())


class ForecasterTrainer(TorchTrainer):
    """Fits the forecaster, with one optimizer."""

    @override
    def on_training_models_attached(self) -> None:
        super().on_training_models_attached()
        self.forecaster = self.get_torch_training_model("forecaster", Forecaster)

    @override
    def on_data_users_attached(self) -> None:
        super().on_data_users_attached()
        self.transitions = self.get_data_user("transitions")

    @override
    def create_optimizers(self):
        return {"forecaster": torch.optim.AdamW(self.forecaster.model.parameters(), lr=1e-3)}

    def loss(self) -> torch.Tensor:
        data = self.transitions.get_data()
        before, action, after = (torch.stack(data[key]) for key in ("before", "action", "after"))
        return F.mse_loss(self.forecaster(before, action), after)

    @override
    def train(self) -> None:
        for _ in range(2):
            loss = self.loss()
            self.optimizers["forecaster"].zero_grad()
            loss.backward()
            self.optimizers["forecaster"].step()


class AnnealedForecasterTrainer(ForecasterTrainer):
    """Fits it with a learning rate that the user steps."""

    @override
    def create_optimizers(self):
        optimizer = torch.optim.SGD(self.forecaster.model.parameters(), lr=0.01)
        return {"sgd": optimizer}, {"sgd": torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)}

    @override
    def train(self) -> None:
        loss = self.loss()
        self.optimizers["sgd"].zero_grad()
        loss.backward()
        self.optimizers["sgd"].step()
        self.lr_schedulers["sgd"].step()


class Wish(InferenceModel):
    """Answers what temperature is wanted."""

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted

    @override
    def infer(self) -> float:
        return self.wanted


class LearnedWish(TrainingModel[Wish]):
    """A model without torch: it wants what it has seen most of."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = 1.0

    @override
    def _create_inference_model(self) -> Wish:
        return Wish(self.wanted)

    @override
    def forward(self) -> float:
        return self.wanted

    @override
    def sync_impl(self, inference_model: Wish) -> None:
        inference_model.wanted = self.wanted

    @override
    def save_state(self, path) -> None:
        path.with_suffix(".json").write_text(json.dumps(self.wanted))

    @override
    def load_state(self, path) -> None:
        self.wanted = json.loads(path.with_suffix(".json").read_text())


class WishTrainer(Trainer):
    """A trainer without torch."""

    def __init__(self) -> None:
        super().__init__("diary", min_buffer_size=5, min_new_data_count=5)
        self.hooks: list[str] = []

    @override
    def on_training_models_attached(self) -> None:
        self.model = self.get_training_model("wish")

    @override
    def on_data_users_attached(self) -> None:
        self.diary = self.get_data_user("diary")

    @override
    def setup(self) -> None:
        super().setup()
        self.hooks.append("setup")
        self.started = time.time()

    @override
    def train(self) -> None:
        self.diary.update()
        data = self.diary.get_data()
        self.model.wanted = 0.9 * self.model.wanted + 0.1 * sum(data) / len(data)

    @override
    def teardown(self) -> None:
        super().teardown()
        assert self.diary.count_data_added_since(self.started) >= 0
        self.hooks.append("teardown")


# ---- the end of it --------------------------------------------------------------------------------------------


class Run:
    """All parts of one launch."""

    def __init__(self, trainer):
        self.agent, self.environment = HeatingAgent(), Thermostat()
        self.trainer, self.wish_trainer = trainer, WishTrainer()
        self.models = {
            "forecaster": TorchTrainingModel(Forecaster(), inference_procedure="foretell"),
            "wish": LearnedWish(),
        }
        self.buffers = {
            "transitions": DictSequentialBuffer(["before", "action", "after"], max_size=64),
            "diary": SequentialBuffer(32),
            "unused": RandomReplacementBuffer(8, expected_survival_length=100),
        }

    def launch(self, **config):
        launch(
            interaction=FixedIntervalInteraction.with_sleep_adjustor(self.agent, self.environment, 0.002),
            models=self.models,
            buffers=self.buffers,
            trainers={"forecaster": self.trainer, "wish": self.wish_trainer},
            config=LaunchConfig(**config),
        )
        return self


@pytest.fixture(params=[ForecasterTrainer, AnnealedForecasterTrainer])
def make_trainer(request):
    return lambda: request.param("transitions", min_buffer_size=8, min_new_data_count=4)


def only_state(folder):
    [state] = folder.iterdir()
    return state


def test_a_launch_acts_learns_and_ends_at_its_max_uptime(make_trainer, tmp_path):
    run = Run(make_trainer())
    weight = run.models["forecaster"].model.net[0].weight.detach().clone()
    run.launch(max_uptime=1.0, states_dir=tmp_path / "states")

    assert run.agent.steps > 20
    assert run.environment.events == ["setup", "teardown"]
    assert not torch.equal(run.models["forecaster"].model.net[0].weight, weight)
    assert run.models["forecaster"].inference_model.version > 0
    assert run.models["wish"].inference_model.wanted == run.models["wish"].wanted != 1.0
    assert run.wish_trainer.hooks[:2] == ["setup", "teardown"]
    assert len(run.wish_trainer.hooks) % 2 == 0
    assert only_state(tmp_path / "states").name.endswith(".state")


def test_a_second_launch_goes_on_where_the_first_one_ended(make_trainer, tmp_path):
    first = Run(make_trainer()).launch(max_uptime=1.0, states_dir=tmp_path / "first")
    second = Run(make_trainer()).launch(
        max_uptime=1.0, states_dir=tmp_path / "second", saved_state_path=only_state(tmp_path / "first")
    )

    assert second.agent.steps > first.agent.steps
    assert len(second.buffers["transitions"]) >= len(first.buffers["transitions"]) > 0
    assert second.environment.began_at == first.environment.temperature
    [optimizer] = second.trainer.optimizers.values()
    if second.trainer.lr_schedulers:
        [before], [after] = first.trainer.lr_schedulers.values(), second.trainer.lr_schedulers.values()
        assert after.last_epoch > before.last_epoch
        assert optimizer.param_groups[0]["lr"] < 0.01 * 0.9**before.last_epoch
    else:
        [before], after = first.trainer.optimizers.values(), optimizer
        steps = [next(iter(o.state.values()))["step"].item() for o in (before, after)]
        assert steps[1] > steps[0]


def test_a_second_launch_that_never_trains_keeps_what_was_loaded(make_trainer, tmp_path):
    """Saved again without a session: models and optimizers are those of the first."""
    first = Run(make_trainer()).launch(max_uptime=1.0, states_dir=tmp_path / "first")

    idle = Run(type(first.trainer)("transitions", min_buffer_size=64, min_new_data_count=64))
    idle.launch(max_uptime=0.02, states_dir=tmp_path / "second", saved_state_path=only_state(tmp_path / "first"))
    assert idle.trainer.optimizers == {}

    third = Run(make_trainer()).launch(
        max_uptime=1.0, states_dir=tmp_path / "third", saved_state_path=only_state(tmp_path / "second")
    )
    [before], [after] = first.trainer.optimizers.values(), third.trainer.optimizers.values()
    if third.trainer.lr_schedulers:
        assert after.param_groups[0]["lr"] < before.param_groups[0]["lr"]
    else:
        steps = [next(iter(o.state.values()))["step"].item() for o in (before, after)]
        assert steps[1] > steps[0]


def test_the_configuration_may_be_a_plain_mapping(tmp_path):
    run = Run(ForecasterTrainer("transitions"))
    interaction = FixedIntervalInteraction.with_sleep_adjustor(run.agent, run.environment, 0.002)
    config = {"max_uptime": 0.02, "states_dir": str(tmp_path / "states")}
    trainers = {"wish": run.wish_trainer}
    launch(interaction, run.models, run.buffers, trainers, config)
    assert run.agent.steps > 0
