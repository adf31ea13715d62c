"""What happens to one world from its first process to its last, as a seed decides."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from pamiq_sched import Status, System, SystemStatus, SystemStoppedError
from tests.simulation import preemption, seams
from tests.simulation.kernel import CrashError, Kernel, SimulationError, Thread
from tests.simulation.world import (
    INFERENCE,
    TRAINING,
    History,
    HookError,
    HookExit,
    HookOSError,
    Plan,
    SimulatedDisk,
    World,
    flatten,
    notes_of,
)

PROCESSES = 3
"""How often a system is started on the same states, at the most; the last time nothing goes wrong."""

SHUTDOWN_ROUNDS = 3
"""How often the end may wait for a shutdown_timeout: for a save under way, for the threads, for the last save."""

RAISED = (Exception, SystemExit, BaseExceptionGroup)
"""What a run may raise; not Killed, by which a simulation is unwound."""


def simulate(seed: int) -> str:
    """Run a seed; return a hash of all that happened.

    Raises:
        SimulationError: If a rule was broken; its notes tell the seed, the trace and the stacks.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        chosen = random.Random(seed)
        run = Path(folder, "run")  # a name that is always the same: it is part of the trace
        run.mkdir()
        history = History(run / "states", chosen.random() < 0.6, chosen.random() < 0.2)
        digest = hashlib.blake2b(digest_size=16)
        now, number = 0.0, 0
        is_last = False
        while not is_last:
            number += 1
            is_last = number == PROCESSES or (number == 2 and chosen.random() < 0.6)
            plan = Plan(chosen)
            if is_last:
                plan.let_nothing_go_wrong()
            kernel = Kernel(chosen.getrandbits(64), now=now, crash_at=plan.crash_at)
            try:
                run_process(kernel, plan, history, chosen, is_last)
            except RAISED as error:
                error.add_note(
                    f"seed {seed}, process {number}; to see it again: python -m tests.simulation {seed}"
                )
                error.add_note(f"the plan was\n{plan}")
                raise
            digest.update(kernel.digest().encode())
            now = kernel.now + 1.0
        return digest.hexdigest()


def run_process(kernel: Kernel, plan: Plan, history: History, chosen: random.Random, is_last: bool) -> None:
    """Run one process until its end or its crash, and check what it leaves."""
    with (
        seams.simulated(kernel) as descriptors,
        preemption.preempting(kernel.preempt) if kernel.statements else nullcontext(),
    ):
        disk = SimulatedDisk(kernel, plan)
        try:
            kernel.run(lambda: Process(World(kernel, plan, history, disk), descriptors, chosen).main())
        except CrashError:
            pass
        finally:
            kernel.kill()
    for name in history.visible():
        damage = "" if name in history.reports and not is_last else history.damage(name)
        if damage:
            raise SimulationError(f"after the end of a process the state {name} is not whole: {damage}")
    if history.reports and not history.visible():
        raise SimulationError("there was a complete state, and there is none any more")


class Process:
    """What the main thread of a process does, and its controllers.

    Args:
        world: What runs in it.
        descriptors: What it has open.
        chosen: Decides what is asked for, and when.
    """

    def __init__(self, world: World, descriptors: seams.Descriptors, chosen: random.Random) -> None:
        self.world = world
        self.kernel = world.kernel
        self.plan = world.plan
        self.history = world.history
        self.descriptors = descriptors
        self.random = random.Random(chosen.getrandbits(64))
        self.visible_before = set(self.history.visible())
        self.outcome: BaseException | None = None

    @property
    def system(self) -> System:
        return self.world.system

    def main(self) -> None:
        runner = self.start()
        if self.outcome is not None and not self.world.calls["agent.setup"]:
            if runner is not None:
                runner.join()
            self.check_refused_start()
            return
        controllers = [
            self.kernel.threading.Thread(
                target=self.control, args=(random.Random(self.random.random()),), name=name
            )
            for name in [f"controller {n}" for n in range(1, self.plan.controllers + 1)]
        ]
        for controller in controllers:
            controller.start()
        if self.plan.ends_abruptly:
            self.kernel.sleep(self.random.uniform(0.0, 1.0))
        else:
            for controller in controllers:
                controller.join()
            self.resume()
            self.expect_progress()
            self.expect_to_be_woken()
            self.expect_a_save()
        self.shut_down()
        for thread in (*controllers, *([runner] if runner else [])):
            thread.join()
        self.check_end()

    def start(self) -> Thread | None:
        """Make the system and start it, one way or the other; return the thread that is in run(), if one is."""
        world = self.world
        start_from = self.history.newest()
        world.is_loading = True
        world.make_system(start_from)
        runner = None
        if self.plan.uses_run:
            runner = self.kernel.threading.Thread(target=self.run_to_the_end, name="runner")
            runner.start()
            while self.outcome is None and self.system.status().state is SystemStatus.OFFLINE:
                self.kernel.sleep(0.001)
        else:
            try:
                self.system.start()
            except RAISED as error:
                self.outcome = error
        world.is_loading = False
        if start_from is not None and self.outcome is None:
            self.check_loaded(start_from)
        return runner

    def run_to_the_end(self) -> None:
        try:
            self.system.run()
        except RAISED as error:
            self.outcome = error

    # What controllers do.

    def control(self, chosen: random.Random) -> None:
        for _ in range(self.plan.actions):
            self.kernel.sleep(chosen.choice([0.0, 0.001, 0.02, 0.1]))
            action = chosen.choices(
                [self.pause, self.resume, self.save, self.look, self.shut_down], [5, 5, 4, 3, 0.3]
            )[0]
            action()
            if action is self.resume and chosen.random() < 0.5:
                self.expect_progress()
            if action is self.save and chosen.random() < 0.5:
                self.look()

    def ask(self, name: str, call: Callable[[], object]) -> object:
        """Call a method of the handle; return what it returns or raises."""
        began = self.kernel.now
        self.kernel.step(f"ask: {name}")
        try:
            result = call()
        except RAISED as error:
            result = error
        took = self.kernel.now - began
        self.world.check(
            took <= self.plan.bound, f"{name} took {took:.3f} s, and may take {self.plan.bound:.3f} s"
        )
        if isinstance(result, SystemStoppedError):
            ends = self.world.is_ending or self.outcome is not None or self.plan.max_uptime < float("inf")
            self.world.check(ends, f"{name} was refused, but nothing ends the system: {result}")
        elif isinstance(result, TimeoutError) and not isinstance(result, HookOSError):
            is_slow = self.plan.has_late_hooks if name in ("pause", "resume") else self.plan.is_slow
            self.world.check(is_slow, f"{name} timed out, but nothing is slow: {result}")
        return result

    def pause(self) -> None:
        world = self.world
        may_move, movers = world.movers_under_way > 0, world.movers
        world.pausers += 1
        result = self.ask("pause", self.system.pause)
        if result is None:
            if not may_move and movers == world.movers and not world.is_ending:
                world.check(world.stands_still, "agent time runs behind an acknowledged pause")
                moving = {"agent", "environment", "first", "second"} - world.stopped_parts
                world.check(not moving, f"a pause is acknowledged, and on_paused of {moving} was not called")
                world.is_frozen = True
        else:
            self.expect(result, SystemStoppedError, TimeoutError)

    def resume(self) -> None:
        world = self.world
        world.will_move()
        world.movers_under_way += 1
        self.expect(self.ask("resume", self.system.resume), type(None), SystemStoppedError)
        world.movers_under_way -= 1

    def save(self) -> object:
        world = self.world
        began, disk, hooks = self.kernel.now, world.files.failed, world.failed_saves
        world.pausers += 1
        result = self.ask("save_state", self.system.save_state)
        if isinstance(result, Path):
            world.told_of(result, began, self.kernel.now)
        elif isinstance(result, OSError) and not isinstance(result, TimeoutError):
            provoked = world.files.failed > disk or world.failed_saves > hooks
            world.check(provoked, f"a save failed, but the disk works: {result!r}")
        elif not any(result is error for _, error in world.raised):
            self.expect(result, SystemStoppedError, TimeoutError)
        return result

    def look(self) -> None:
        world = self.world
        was_frozen, movers = world.is_frozen, world.movers
        uptime = world.latest_uptime
        status = self.ask("status", self.system.status)
        if not isinstance(status, Status):
            self.kernel.fail(f"status gave {status!r}")
        world.check(status.uptime >= uptime, f"the uptime went back from {uptime} to {status.uptime}")
        world.latest_uptime = max(status.uptime, world.latest_uptime)
        if was_frozen and movers == world.movers:
            world.check(world.stands_still, "agent time runs while a pause is acknowledged")
            is_still = status.state in (SystemStatus.PAUSED, SystemStatus.SAVING)
            world.check(is_still, f"the status is {status.state} while a pause is acknowledged")

    def shut_down(self) -> None:
        self.world.will_end()
        began = self.kernel.now
        result = self.ask("shutdown", self.system.shutdown)
        took = self.kernel.now - began
        most = SHUTDOWN_ROUNDS * self.plan.shutdown_timeout + self.plan.slow_seconds + 1.0
        self.world.check(took <= most, f"the shutdown took {took:.3f} s, and may take {most:.3f} s")
        self.take_outcome(result)

    def take_outcome(self, result: object) -> None:
        if isinstance(result, BaseException):
            if self.outcome is not None:
                same = set(map(id, flatten(result))) == set(map(id, flatten(self.outcome)))
                self.world.check(same, f"the system ended by {self.outcome!r}, and then by {result!r}")
            self.outcome = result

    def expect(self, result: object, *kinds: type) -> None:
        self.world.check(isinstance(result, kinds), f"{result!r} is none of {kinds}")

    def expect_progress(self) -> None:
        """Acting and learning go on behind a resume, unless somebody asks for something else."""
        world = self.world
        pausers, steps, trained = world.pausers, world.agent.count, world.first.count
        deadline = self.kernel.now + 10.0 + self.plan.slow_seconds
        while self.goes_on() and not world.hung and world.pausers == pausers:
            if world.agent.count > steps + 1 and (world.first.count > trained or self.history.collects_rarely):
                return
            moved = f"{world.agent.count - steps} steps, {world.first.count - trained} steps of training"
            world.check(self.kernel.now < deadline, f"behind a resume there were only {moved}")
            self.kernel.sleep(0.05)

    def expect_to_be_woken(self) -> None:
        """A trainer that waits for data is told of an item, though no other follows for a while."""
        world, plan = self.world, self.plan
        if not world.history.collects_rarely or plan.is_slow or plan.save_interval or plan.second_is_polled:
            return
        for _ in range(3):
            collected = world.collected
            while world.collected < collected + 2 and self.goes_on():
                self.kernel.sleep(0.01)
            deadline = self.kernel.now + 3 * plan.steps_per_session * plan.training + 0.1
            while world.added_at_session < collected + 2 and self.goes_on():
                world.check(self.kernel.now < deadline, "nobody told the trainer of an item that was collected")
                self.kernel.sleep(0.02)

    def goes_on(self) -> bool:
        """Whether nothing has ended the system, or will soon."""
        ended = (SystemStatus.SHUTTING_DOWN, SystemStatus.OFFLINE)
        return not self.world.is_ending and self.system.status().state not in ended

    def expect_a_save(self) -> None:
        """Behind saves that failed, one works when the disk works again."""
        world = self.world
        if world.files.failed and world.files.is_well() and not world.plan.faults:
            result = self.save()
            ends = world.is_ending or self.plan.max_uptime < float("inf")
            world.check(ends or isinstance(result, Path), f"the disk works again, but a save gave {result!r}")

    # What must hold.

    def check_loaded(self, path: Path) -> None:
        world, history = self.world, self.history
        expected = {name: world.loaded.get(name) for name in world.values()}
        report = history.reports.get(path.name)
        began, ended = (report.began, report.ended) if report else (0.0, self.kernel.now)
        matching = [s for s in history.snapshots if s.values.keys() <= world.loaded.keys()]
        matching = [s for s in matching if all(s.values[k] == world.loaded[k] for k in s.values)]
        world.check(bool(matching), f"{path.name} loads as {expected}, which was never staged")
        in_time = any(began <= s.time <= ended for s in matching)
        world.check(in_time, f"{path.name} was asked for at {began}, and holds what was staged at {matching}")
        items, last = world.loaded_items, world.loaded["agent"]
        world.check(items == sorted(set(items)), f"the buffer came back as {items}")
        if history.collects_rarely:
            last -= min((last - after) % 60 for after in (0, 3))
        world.check(not items or items[-1] == last, f"the buffer ends at {items[-1:]}, the agent at {last}")
        inferred = world.model.inference_model.count
        world.check(inferred >= world.loaded["model"], "the agent acts on a model that was not loaded")

    def check_refused_start(self) -> None:
        """A start that raises leaves nothing behind but the error."""
        world = self.world
        self.check_outcome()
        for part in world.parts.values():
            world.check(part.count == 0, f"{part.name} was not put back to what it held before the load")
        result = self.ask("pause", self.system.pause)
        world.check(isinstance(result, SystemStoppedError), f"pause behind a refused start gave {result!r}")
        self.check_clock()
        running = [t for t in self.kernel.threads if not t.is_over and t is not self.kernel.current]
        world.check(not running, f"{running} run behind a refused start")
        world.check(not self.descriptors.open, f"descriptors are left open: {self.descriptors.open}")

    def check_clock(self) -> None:
        check = self.world.check
        check(not self.world.stands_still, "agent time stands still at the end")
        check(self.world.clock.get_time_scale() == 1.0, "the time scale was not put back")

    def check_end(self) -> None:
        world, plan = self.world, self.plan
        check = world.check
        hung = world.hung
        for name, call in (
            ("pause", self.system.pause),
            ("resume", self.system.resume),
            ("save_state", self.system.save_state),
        ):
            result = self.ask(f"{name} at the end", call)
            check(isinstance(result, SystemStoppedError), f"{name} at the end gave {result!r}")
        self.take_outcome(self.ask("wait", self.system.wait))
        self.check_outcome()

        self.check_clock()
        told = flatten(self.outcome)
        if plan.is_slow and (any(isinstance(e, TimeoutError) for e in told) or "TimeoutError" in notes_of(told)):
            return  # threads were given up, and are not over yet
        for thread in self.kernel.threads:
            is_over = thread.is_over or thread is self.kernel.current or thread in hung
            check(is_over, f"{thread} outlives the system")
            check(thread.error is None, f"{thread.error!r} escaped from {thread}")
        if hung:
            return
        check(not self.descriptors.open, f"descriptors are left open: {self.descriptors.open}")
        for part in ("agent", "environment", "first", "second"):
            thread = INFERENCE if part in ("agent", "environment") else TRAINING
            if thread not in world.unpaired:
                check(part not in world.stopped_parts, f"{part}.on_resumed was not called")
            set_up, torn_down = (world.completed[f"{part}.{hook}"] for hook in ("setup", "teardown"))
            check(set_up == torn_down, f"{part}: {set_up} times set up, {torn_down} times torn down")
        self.check_states()

    def check_outcome(self) -> None:
        """Whatever a hook raised reaches whoever waits, and nothing else does."""
        world, plan = self.world, self.plan
        found = flatten(self.outcome)
        told = [notes_of(found), *self.history.failures()]
        for name, error in world.raised:
            is_told = any(error is e for e in found) or any(repr(error) in text for text in told)
            is_excused = plan.is_slow and any(isinstance(e, TimeoutError) for e in found)
            # What a component raises over the state of a crashed run is in that state, which the disk may refuse.
            is_excused |= name.endswith("save_state") and len(world.raised) > 1 and world.files.failed > 0
            world.check(is_told or is_excused, f"what {name} raised reached nobody: {self.outcome!r}")
        for error in found:
            if isinstance(error, TimeoutError):
                world.check(plan.is_slow, f"nothing is slow, but the end was {error!r}")
            elif isinstance(error, OSError) and not isinstance(error, HookOSError):
                world.check(world.files.failed > 0, f"the disk works, but the end was {error!r}")
            else:
                known = isinstance(error, HookError | HookExit | HookOSError)
                world.check(known, f"nobody provoked {error!r}")
        is_told = any(isinstance(e, TimeoutError) for e in found) or "TimeoutError" in notes_of(found)
        if world.hung and not is_told:
            world.kernel.fail(f"{world.hung} never ended, and nobody was told: {self.outcome!r}")

    def check_states(self) -> None:
        """What was reported is there, nothing else is, and no leftovers."""
        world, history = self.world, self.history
        for name, report in history.reports.items():
            if name not in history.removed:
                world.check(name in history.visible(), f"{name} was reported and is gone")
                same = (history.states_dir / name / "manifest.json").read_bytes() == report.manifest
                world.check(same, f"{name} has changed since it was reported")
        last = self.system.status().last_saved
        known = {*history.reports, *self.visible_before, *([last.name] if last else [])}
        for name in history.visible():
            # One that could not be taken back, when the disk refused to make it last, stays in sight.
            is_excused = name.endswith(".crashed") or "rename" in world.files.refused
            if name not in known and not is_excused:
                world.kernel.fail(f"{name} is there, and nobody was told of it")
        if not world.files.failed:
            world.check(not history.hidden(), f"leftovers: {history.hidden()}")


def main(arguments: list[str]) -> None:
    """Run seeds by hand: a seed, or the first one and how many."""
    first, count = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    for seed in range(first, first + count):
        print(seed, simulate(seed))  # noqa: T201 - that is what it is for
