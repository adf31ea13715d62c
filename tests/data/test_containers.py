"""Data by name: users for the trainers, collectors handed out once each."""

import pytest

from pamiq_sched import DataCollectorsDict, DataUsersDict, SequentialBuffer
from pamiq_sched.testing import FakeBuffer


def test_users_are_made_of_a_mapping_and_of_keywords():
    users = DataUsersDict.from_data_buffers({"a": FakeBuffer()}, b=FakeBuffer())
    assert list(users) == ["a", "b"]


def test_every_user_shares_its_collector():
    users = DataUsersDict.from_data_buffers(a=FakeBuffer())
    users.data_collectors_dict["a"].collect("item")
    assert users["a"].get_data() == ["item"]


def test_a_collector_is_handed_out_once():
    collectors = DataUsersDict.from_data_buffers(a=FakeBuffer()).data_collectors_dict
    collectors.acquire("a")
    with pytest.raises(KeyError, match="'a' is in use by another agent"):
        collectors.acquire("a")


def test_an_unknown_collector_is_refused_with_those_there_are():
    collectors = DataUsersDict.from_data_buffers(b=FakeBuffer(), a=FakeBuffer()).data_collectors_dict
    with pytest.raises(KeyError, match=r"no data collector 'c'; there are \['a', 'b'\]"):
        collectors.acquire("c")


def test_an_empty_collectors_dict_is_possible():
    assert len(DataCollectorsDict()) == 0


@pytest.mark.parametrize("name", ["../x", "", ".x", "a/b", "a\\b", "a\0b"])
def test_a_name_that_cannot_be_a_file_is_refused(name):
    with pytest.raises(ValueError, match="a buffer's name becomes a file name"):
        DataUsersDict.from_data_buffers({name: FakeBuffer()})


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match="must be a string, got 1"):
        DataUsersDict.from_data_buffers({1: FakeBuffer()})


def test_every_user_is_saved_and_loaded(tmp_path):
    users = DataUsersDict.from_data_buffers(a=SequentialBuffer(3), b=SequentialBuffer(3))
    users.data_collectors_dict["a"].collect(1)
    users.data_collectors_dict["b"].collect(2)
    users.save_state(tmp_path / "data")
    loaded = DataUsersDict.from_data_buffers(a=SequentialBuffer(3), b=SequentialBuffer(3))
    loaded.load_state(tmp_path / "data")
    assert (loaded["a"].get_data(), loaded["b"].get_data()) == ([1], [2])


def test_the_given_clock_stamps_what_is_collected(clock):
    users = DataUsersDict.from_data_buffers({"a": FakeBuffer()}, clock=clock)
    clock.advance(3.0)
    users.data_collectors_dict["a"].collect("item")
    users["a"].update()
    assert users["a"].count_data_added_since(2.9) == 1
    assert users["a"].count_data_added_since(3.0) == 0


def test_a_drop_is_reported_under_the_name_of_the_buffer(caplog):
    users = DataUsersDict.from_data_buffers(frames=SequentialBuffer(1))
    for i in range(2):
        users.data_collectors_dict["frames"].collect(i)
    assert "'frames'" in caplog.text
