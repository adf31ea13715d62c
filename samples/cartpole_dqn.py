"""An agent learns CartPole while it acts: the whole loop, end to end; ``make demo`` runs this.

Double Q-learning from nothing: the agent acts in the inference thread, what it sees goes to a replay buffer, the
trainer learns in the training thread, new weights go back. A controller thread pauses the run twice and saves it
once; then the run is ended, and one made afresh goes on from that save. Numbers go to TensorBoard and to a file;
with ``--web`` a dashboard shows them live, and lets you pause, save and end the run yourself.

The trainer makes one update for every few new transitions, however fast the machine is: what the agent learns
depends on how much it has seen, not on the load of the moment.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from cartpole_dqn_parts import DQNAgent, DQNTrainer, Observation, Settings, mean_return
from cartpole_dqn_view import Display, History, plot
from typing_extensions import override

from pamiq_sched import (
    FixedIntervalInteraction,
    GymEnvironment,
    JsonLinesSink,
    LatestStatesKeeper,
    LaunchConfig,
    System,
    TensorBoardSink,
    TensorRingBuffer,
    TorchTrainingModel,
)

EPISODES = 100
"""How many episodes the mean return is taken over."""
LEARNED = 195.0
"""The mean return that counts as learned; 500 is the most that there is."""


@dataclass(frozen=True)
class Run:
    """A system, and those of its components that tell about themselves."""

    system: System
    agent: DQNAgent
    trainer: DQNTrainer

    def has_reached(self, target: float) -> bool:
        """Whether the mean return is that good."""
        episodes = self.agent.episodes
        return len(episodes) >= EPISODES and mean_return(episodes, EPISODES) >= target


@dataclass
class Demo:
    """What was asked for on the command line, and when what happened; times are seconds since the start."""

    seed: int
    limit: float
    """When to end at the latest."""
    target: float
    """The mean return at which to end."""
    out: Path
    web: tuple[str, int] | None = None
    """Where to serve the dashboard."""
    token: str = field(default_factory=secrets.token_urlsafe)
    """Of both systems, so that a browser that watches the first may watch the second."""
    settings: Settings = field(default_factory=Settings)
    started: float = field(default_factory=time.monotonic)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    saved: Path | None = None
    restart: tuple[float, float] | None = None
    """From the save until a new system went on from it."""

    def seconds(self) -> float:
        """Return the time, pauses included."""
        return time.monotonic() - self.started

    def build(self, saved: Path | None = None) -> Run:
        """Make all components; with ``saved``, their system will go on from there."""
        torch.manual_seed(self.seed)
        settings, states = self.settings, self.out / "states"
        network, target = settings.make_network(), settings.make_network()
        target.load_state_dict(network.state_dict())
        agent = DQNAgent(settings, self.seconds, self.seed)
        trainer = DQNTrainer(settings, self.seconds)
        environment: GymEnvironment[Observation, int] = GymEnvironment("CartPole-v1", seed=self.seed)
        system = System(
            FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 1 / settings.steps_per_second),
            models={
                "network": TorchTrainingModel(network),
                "target": TorchTrainingModel(target, has_inference_model=False),
            },
            buffers={"transitions": TensorRingBuffer(settings.buffer_size)},
            trainers={"dqn": trainer},
            config=LaunchConfig(
                states_dir=states,
                states_keeper=LatestStatesKeeper(states, max_keep=3),
                saved_state_path=saved,
                training_torch_threads=1,  # so small a network gains nothing from more
                web_api_address=self.web,
                web_api_token=self.token,
                metrics_sinks=[
                    JsonLinesSink(self.out / "metrics.jsonl"),
                    TensorBoardSink(self.out / "tensorboard"),
                ],
            ),
        )
        return Run(system, agent, trainer)

    def pause_twice_and_save(self, run: Run) -> None:
        """Control the first system."""
        for _ in range(2):
            run.system.wait(0.06 * self.limit)
            run.system.pause()
            began = self.seconds()
            run.system.wait(0.015 * self.limit)
            run.system.resume()
            self.pauses.append((began, self.seconds()))
        run.system.wait(0.08 * self.limit)
        began = self.seconds()
        self.saved = run.system.save_state()
        self.restart = began, self.seconds()

    def learn_on(self, run: Run) -> None:
        """Control the second system: it ends when the agent is good enough, or the time is over."""
        while not run.has_reached(self.target) and self.seconds() < self.limit:
            if run.system.wait(0.25):
                return

    def carry_out(self, script: Callable[[Run], None], run: Run, display: Display) -> None:
        """Start a system, let a controller thread carry out the script, show the progress until the end."""
        with run.system as system:
            if self.restart is not None:
                self.restart = self.restart[0], self.seconds()
                display.tell(f"a new system goes on from {self.saved} at step {run.agent.steps:,}")
            controller = Controller(run, script)
            controller.start()
            while not system.wait(0.25):
                display.show(self.progress(run))
        controller.join()
        if controller.error is not None:
            raise controller.error

    def progress(self, run: Run) -> dict[str, str]:
        """What the display shows."""
        agent, trainer = run.agent, run.trainer
        return {
            "time": f"{self.seconds():.0f} s",
            "state": run.system.status().state.status_name,
            "step": f"{agent.steps:,}",
            "episode": f"{len(agent.episodes):,}",
            f"mean return (last {EPISODES})": f"{mean_return(agent.episodes, EPISODES):.1f}",
            "epsilon": f"{agent.epsilon:.2f}",
            **{name: f"{readings[-1][1]:.2g}" for name, readings in trainer.scheduled.items() if readings},
            "training cycles": f"{trainer.cycles:,}",
            "greedy return": f"{trainer.evaluations[-1][1]:.0f}" if trainer.evaluations else "-",
        }

    def result(self, run: Run) -> str:
        """All of it in a line."""
        return (
            f"CartPole-v1, seed {self.seed}: mean return over the last {EPISODES} episodes "
            f"{mean_return(run.agent.episodes, EPISODES):.1f} after {run.agent.steps:,} steps in "
            f"{self.seconds():.0f} s ({len(self.pauses)} pauses, continued from {self.saved})"
        )

    def history(self, run: Run) -> History:
        """What the picture shows."""
        return History(
            title=f"Double DQN learns CartPole-v1 while it acts (seed {self.seed})",
            episodes=run.agent.episodes,
            evaluations=run.trainer.evaluations,
            scheduled=run.trainer.scheduled,
            pauses=self.pauses,
            restart=self.restart,
            levels=(LEARNED, self.target),
            window=EPISODES,
        )


class Controller(threading.Thread):
    """Works the handle of a system as somebody at a console would, and ends the system when that is done.

    Args:
        run: What to control.
        script: What to do.
    """

    def __init__(self, run: Run, script: Callable[[Run], None]) -> None:
        super().__init__(name="controller")
        self._controlled = run
        self._script = script
        self.error: BaseException | None = None
        """What the script raised; complete when the thread has ended."""

    @override
    def run(self) -> None:
        try:
            self._script(self._controlled)
        except BaseException as error:  # noqa: BLE001 - whatever it is, whoever joins raises it
            self.error = error
        finally:
            self._controlled.system.shutdown(wait=False)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 if the agent learned, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=165.0, help="end then at the latest (%(default)s)")
    parser.add_argument("--target", type=float, default=475.0, help="end at this mean return (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/cartpole"), help="for saves and picture (%(default)s)"
    )
    parser.add_argument("--web", action="store_true", help="serve a dashboard on this machine")
    parser.add_argument("--port", type=int, default=8391, help="of the dashboard (%(default)s)")
    chosen = parser.parse_args(arguments)
    web = ("127.0.0.1", chosen.port) if chosen.web else None
    demo = Demo(chosen.seed, chosen.seconds, chosen.target, chosen.out, web)

    with Display() as display:
        run = demo.build()
        demo.carry_out(demo.pause_twice_and_save, run, display)
        display.tell(f"saved {demo.saved}; the first system ended at step {run.agent.steps:,}")
        run = demo.build(demo.saved)
        demo.carry_out(demo.learn_on, run, display)
    print(demo.result(run))
    picture = plot(demo.history(run), demo.out / "cartpole_dqn.png")
    print(f"see {picture}; also `pamiq-sched report {demo.out}`, `tensorboard --logdir {demo.out}`")
    if run.has_reached(LEARNED):
        return 0
    print(
        f"not learned: the mean return over {EPISODES} episodes must reach {LEARNED:g}; give it more --seconds",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
