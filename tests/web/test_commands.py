"""Commands: what is taken, what is kept, what a shutdown comes to."""

import asyncio

import pytest

from pamiq_sched.web.commands import MOST_KEPT, QueueFullError

pytestmark = pytest.mark.anyio


async def over(command):
    await asyncio.wait_for(command.over.wait(), 30)
    return command


async def test_the_latest_commands_are_kept(site):
    for _ in range(MOST_KEPT + 5):
        await over(site.commands.give("pause", {}))
    assert [command.id for command in site.commands.latest()] == [str(i) for i in range(6, MOST_KEPT + 6)]
    assert site.commands.find("5") is None


async def test_an_unfinished_command_is_kept_however_many_come_after_it(site):
    site.system.gates["save"] = gate = asyncio.Event()
    save = site.commands.give("save", {})
    for _ in range(MOST_KEPT + 5):
        await over(site.commands.give("pause", {}))
    assert site.commands.find(save.id) is save
    gate.set()
    assert (await over(save)).value == "runs/000001.state"


async def test_a_finished_command_makes_room_in_the_queue(site):
    site.system.gates["save"] = gate = asyncio.Event()
    saves = [site.commands.give("save", {}) for _ in range(site.hello.queue_size)]
    with pytest.raises(QueueFullError):
        site.commands.give("pause", {})
    gate.set()
    await over(saves[0])
    assert (await over(site.commands.give("pause", {}))).state == "done"


async def test_a_shutdown_takes_no_place_in_the_queue(site):
    site.system.gates["save"] = asyncio.Event()
    site.commands.give("shutdown", {})
    saves = [site.commands.give("save", {}) for _ in range(site.hello.queue_size)]
    assert {save.state for save in saves} == {"pending"}


async def test_a_second_shutdown_is_the_first(site):
    """There is one end; who asks a thousand times costs nothing."""
    first = site.commands.give("shutdown", {})
    await asyncio.wait_for(first.answered.wait(), 30)
    assert site.commands.give("shutdown", {}) is first
    assert site.system.asked == [("shutdown", {})]


async def test_a_shutdown_that_failed_can_be_asked_for_again(site):
    site.system.failures["shutdown"] = ("RuntimeError", "not yet")
    assert (await over(site.commands.give("shutdown", {}))).state == "failed"
    site.system.failures.clear()
    second = site.commands.give("shutdown", {})
    await asyncio.wait_for(second.answered.wait(), 30)
    assert second.state == "accepted"


async def test_a_shutdown_is_over_when_the_system_has_ended(site):
    command = site.commands.give("shutdown", {})
    await asyncio.wait_for(command.answered.wait(), 30)
    assert not command.over.is_set()
    site.end()
    assert command.over.is_set()
    assert command.state == "done"


async def test_a_shutdown_whose_system_ends_before_it_answers_is_done(site):
    site.system.gates["shutdown"] = gate = asyncio.Event()
    site.system.failures["shutdown"] = ("SystemStoppedError", "the system has ended")
    command = site.commands.give("shutdown", {})
    site.end()
    gate.set()
    await asyncio.wait_for(asyncio.gather(*site.commands._tasks), 30)
    assert command.state == "done"


async def test_a_shutdown_behind_the_end_is_done(site):
    site.end()
    assert site.commands.give("shutdown", {}).state == "done"
    assert site.system.asked == []


async def test_the_end_of_a_system_that_nobody_shut_down_concerns_no_command(site):
    done = await over(site.commands.give("pause", {}))
    site.end("Traceback")
    assert done.state == "done"
