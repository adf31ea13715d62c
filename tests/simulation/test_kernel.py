"""The kernel itself: that it decides everything, that it is repeatable, and that it finds what it is for."""

import queue

import pytest

from tests.simulation import seams
from tests.simulation.kernel import CrashError, DeadlockError, Kernel, SimulationError

SEEDS = range(200)


def run(main, seed=0, **options):
    """Run ``main(kernel)`` in a kernel of its own; return what it returns."""
    kernel = Kernel(seed, **options)
    try:
        return kernel.run(lambda: main(kernel))
    finally:
        kernel.kill()


def start_all(kernel, *targets):
    threads = [kernel.threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join_all(threads):
    for thread in threads:
        thread.join()


def count_without_lock(kernel):
    count = [0]

    def add():
        seen = count[0]
        kernel.step("between reading and writing")
        count[0] = seen + 1

    join_all(start_all(kernel, add, add))
    return count[0]


def count_with_lock(kernel):
    lock, count = kernel.threading.Lock(), [0]

    def add():
        with lock:
            seen = count[0]
            kernel.step("between reading and writing")
            count[0] = seen + 1

    join_all(start_all(kernel, add, add, add))
    return count[0]


def lose_a_wake_up(kernel):
    """The flag is looked at before the lock is taken: a notification in between reaches nobody."""
    condition, flag = kernel.threading.Condition(), []

    def wait():
        kernel.step("look at the flag")
        if not flag:
            with condition:
                condition.wait()

    def tell():
        flag.append(True)
        with condition:
            condition.notify()

    join_all(start_all(kernel, wait, tell))


def keep_a_wake_up(kernel):
    condition, flag = kernel.threading.Condition(), []

    def wait():
        with condition:
            condition.wait_for(lambda: flag)

    def tell():
        with condition:
            flag.append(True)
            condition.notify()

    join_all(start_all(kernel, wait, tell))


def lock_crosswise(kernel):
    a, b = kernel.threading.Lock(), kernel.threading.Lock()

    def nest(outer, inner):
        with outer, inner:
            pass

    join_all(start_all(kernel, lambda: nest(a, b), lambda: nest(b, a)))


def seeds_that_fail(main, seeds=SEEDS):
    failed = []
    for seed in seeds:
        try:
            run(main, seed)
        except DeadlockError:
            failed.append(seed)
    return failed


def test_a_counter_without_a_lock_is_found_out():
    assert {run(count_without_lock, seed) for seed in SEEDS} == {1, 2}


def test_a_counter_with_a_lock_is_right_in_every_order():
    assert {run(count_with_lock, seed) for seed in SEEDS} == {3}


@pytest.mark.parametrize("program", [lose_a_wake_up, lock_crosswise])
def test_threads_that_wait_for_each_other_are_found_within_some_seeds(program):
    found = seeds_that_fail(program)
    assert found
    assert len(found) < len(SEEDS)


def test_a_program_without_a_fault_never_fails():
    assert seeds_that_fail(keep_a_wake_up) == []


def test_a_wait_that_only_an_absurd_deadline_would_end_is_a_lost_wake_up():
    with pytest.raises(DeadlockError, match=r"nobody can run for 86400 s"):
        run(lambda kernel: kernel.threading.Event().wait(86_400.0))


def test_a_failure_tells_the_trace_and_where_every_thread_is():
    def main(kernel):
        gate = kernel.threading.Event()
        thread = kernel.threading.Thread(target=gate.wait, name="stuck")
        thread.start()
        thread.join()

    with pytest.raises(DeadlockError) as caught:
        run(main)
    (report,) = caught.value.__notes__
    assert "  test: join stuck" in report
    assert "stuck waits for Event 1, at" in report
    assert "in start_all" not in report
    assert "thread.join()" in report


def test_a_finding_passes_every_handler():
    def main(kernel):
        try:
            kernel.fail("found")
        except BaseException:  # noqa: BLE001 - it must pass even this
            return

    with pytest.raises(SimulationError, match="found"):
        run(main)


def test_a_simulation_that_never_ends_is_stopped():
    def main(kernel):
        while True:
            kernel.step("again")

    with pytest.raises(SimulationError, match="goes on for ever: 1000 operations"):
        run(main, most_operations=1000)


def test_what_main_raises_is_raised():
    def main(kernel):
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        run(main)


def test_a_crash_runs_nothing_of_the_program_any_more():
    done = []

    def main(kernel):
        try:
            while True:
                kernel.step("work")
        finally:
            kernel.step("clean up")
            done.append("cleaned up")

    with pytest.raises(CrashError):
        run(main, crash_at=20)
    assert done == []


def test_the_same_seed_gives_the_same_trace_and_another_seed_another_one():
    def digest(seed):
        kernel = Kernel(seed)
        kernel.run(lambda: count_with_lock(kernel))
        return kernel.digest()

    assert digest(1) == digest(1)
    assert len({digest(seed) for seed in range(20)}) > 10


def test_time_jumps_to_the_next_deadline():
    def main(kernel):
        woken = []

        def sleep(seconds):
            kernel.time.sleep(seconds)
            woken.append((seconds, round(kernel.time.monotonic(), 3)))

        join_all(start_all(kernel, *[lambda s=s: sleep(s) for s in (3.0, 1.0, 2.0)]))
        return woken

    assert run(main) == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


def test_timed_waits_tell_whether_they_were_woken():
    def main(kernel):
        threading = kernel.threading
        event, condition, lock, mailbox = (
            threading.Event(),
            threading.Condition(),
            threading.Lock(),
            seams.SimpleQueue(kernel),
        )
        lock.acquire()
        with condition:
            waited = [
                event.wait(1.0),
                condition.wait(1.0),
                lock.acquire(timeout=1.0),
                condition.wait_for(list, 1.0),
            ]
        with pytest.raises(queue.Empty):
            mailbox.get(timeout=1.0)
        assert round(kernel.now, 3) == 5.0
        mailbox.put(1)
        event.set()
        lock.release()
        return [*waited, event.wait(1.0), mailbox.get(timeout=0.0), lock.acquire(timeout=1.0)]

    assert run(main) == [False, False, False, [], True, 1, True]


def test_a_thread_that_timed_out_takes_no_wake_up_from_another_one():
    """Of two that wait, one gives up; the item is for the other."""

    def main(kernel):
        mailbox, got = seams.SimpleQueue(kernel), []

        def get(timeout):
            try:
                got.append(mailbox.get(timeout=timeout))
            except queue.Empty:
                got.append(None)

        threads = start_all(kernel, lambda: get(1.0), lambda: get(None))
        kernel.time.sleep(0.999_99)
        mailbox.put("item")
        mailbox.put("item")
        join_all(threads)
        return got

    for seed in SEEDS:
        assert "item" in run(main, seed)


def test_a_reentrant_lock_is_given_up_as_a_whole_while_waiting():
    def main(kernel):
        condition = kernel.threading.Condition()

        def tell():
            with condition:
                condition.notify_all()

        with condition, condition:
            (thread,) = start_all(kernel, tell)
            assert condition.wait(10.0)
            thread.join()

    for seed in SEEDS:
        run(main, seed)


def test_wrong_use_is_refused_as_by_the_real_ones():
    def main(kernel):
        threading = kernel.threading
        for wrong in (threading.Lock().release, threading.RLock().release, threading.Condition().notify):
            with pytest.raises(RuntimeError):
                wrong()
        with pytest.raises(OverflowError):
            threading.Event().wait(float("inf"))
        thread = threading.Thread()
        with pytest.raises(RuntimeError):
            thread.join()
        thread.start()
        with pytest.raises(RuntimeError):
            thread.start()
        with pytest.raises(AttributeError, match="Barrier"):
            threading.Barrier(2)

    run(main)


@pytest.mark.parametrize("file", seams.sources(), ids=lambda file: str(file.relative_to(seams.ROOT)))
def test_every_name_that_could_escape_the_kernel_is_replaced(file):
    module = "pamiq_sched." + ".".join(file.relative_to(seams.ROOT).with_suffix("").parts)
    replaced = seams.replacements(Kernel(0), seams.Descriptors()).get(module, {})
    for name in seams.sensitive_names(file):
        assert name in replaced or (module, name) in seams.LEFT_AS_THEY_ARE, (
            f"{module} imports {name}; replace it in replacements(), or give a reason in LEFT_AS_THEY_ARE"
        )


def test_what_is_replaced_is_put_back():
    from pamiq_sched.runtime import control

    before = control.threading
    kernel = Kernel(0)
    with seams.simulated(kernel):
        assert control.threading is kernel.threading
    assert control.threading is before


def test_a_loop_that_swallows_everything_does_not_outlive_a_simulation():
    def main(kernel):
        lock = kernel.threading.Lock()
        while True:
            try:
                with lock:
                    kernel.step("work")
                break
            except BaseException:  # noqa: BLE001, S112 - that is what it does
                continue

    with pytest.raises(CrashError):
        run(main, crash_at=2)
