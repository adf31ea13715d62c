"""Records of running systems: found while the process lives, and only by its user."""

import fcntl
import json
import os
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest

from pamiq_sched.web.records import Record, published, records_dir, running


def record(port=8391, **changes):
    values = {"host": "127.0.0.1", "token": "secret", "pid": os.getpid(), "started_at": 10.0}
    return Record(port=port, program="demo.py", directory="/runs", **{**values, **changes})


@pytest.fixture(autouse=True)
def run_dir(tmp_path, monkeypatch):
    directory = tmp_path / "run"
    monkeypatch.setenv("PAMIQ_SCHED_RUN_DIR", str(directory))
    return directory


def test_a_published_record_is_found_and_is_gone_at_the_end():
    with published(record()):
        assert running() == [record()]
    assert running() == []


def test_without_any_system_nothing_is_found_and_nothing_is_made(run_dir):
    assert running() == []
    assert not run_dir.exists()


def test_several_systems_come_in_the_order_of_their_starts():
    with published(record(1, started_at=30.0)), published(record(2, started_at=20.0)):
        assert [one.port for one in running()] == [2, 1]


def test_a_record_is_for_its_user_alone(run_dir):
    """Other users must not read the token, not even while it is written."""
    before = os.umask(0)
    try:
        with published(record()) as own:
            assert own.path == run_dir / f"8391-{os.getpid()}.json"
            assert stat.S_IMODE(own.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_directory_that_others_may_read_is_closed_to_them(run_dir):
    run_dir.mkdir(mode=0o755)
    records_dir()
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a directory to another user")
def test_a_directory_of_another_user_is_refused(run_dir):
    run_dir.mkdir()
    os.chown(run_dir, 12345, -1)
    with pytest.raises(PermissionError, match="belongs to the user 12345; set PAMIQ_SCHED_RUN_DIR"):
        records_dir()
    with pytest.raises(PermissionError, match="must be your own"):
        running()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a link to another user")
def test_a_link_of_another_user_to_an_own_directory_is_refused(run_dir, tmp_path):
    (tmp_path / "own").mkdir()
    run_dir.symlink_to(tmp_path / "own")
    os.chown(run_dir, 12345, -1, follow_symlinks=False)
    with pytest.raises(PermissionError, match="must be your own"):
        records_dir()


def test_a_file_in_the_place_of_the_directory_is_refused(run_dir):
    run_dir.write_text("")
    with pytest.raises(FileExistsError):
        records_dir()


def test_the_runtime_directory_of_the_user_is_the_first_choice(tmp_path, monkeypatch):
    monkeypatch.delenv("PAMIQ_SCHED_RUN_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert records_dir() == tmp_path / "pamiq-sched"


@pytest.mark.parametrize("runtime_dir", [None, "nowhere"])
def test_without_a_usable_runtime_directory_the_cache_is_taken(tmp_path, monkeypatch, runtime_dir):
    monkeypatch.delenv("PAMIQ_SCHED_RUN_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    if runtime_dir is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / runtime_dir))
    assert records_dir() == tmp_path / ".cache" / "pamiq-sched" / "run"


def test_a_system_that_was_started_without_a_runtime_directory_is_found_by_who_has_one(tmp_path, monkeypatch):
    """As one that a timer started, looked for from a login."""
    monkeypatch.delenv("PAMIQ_SCHED_RUN_DIR")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with published(record()):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        assert running() == [record()]


def test_what_is_in_the_way_of_a_record_is_replaced(run_dir):
    """A dead process had the same number and the same port, and may have died while it wrote."""
    records_dir()
    for name in (f"8391-{os.getpid()}.json", f".8391-{os.getpid()}.json"):
        (run_dir / name).write_text("left")
    with published(record()):
        assert running() == [record()]


def test_a_record_with_fields_of_a_later_version_is_read(run_dir):
    with published(record()) as own:
        with own.path.open("r+") as file:
            file.write(json.dumps({**json.loads(own.path.read_text()), "colour": "blue"}))
        assert running() == [record()]


SYSTEM = """
import os, sys
from pamiq_sched.web.records import Record, published
with published(Record("127.0.0.1", 1234, None, os.getpid(), 1.0, "x.py", "/")):
    if sys.argv[1:] == ["fork"] and os.fork() == 0:
        os.write(1, b"forked\\n")
        sys.stdin.read()
        os._exit(0)
    os.write(1, b"published\\n")
    sys.stdin.read()
"""


@contextmanager
def system(*arguments):
    """A process that has published a record, and ends with its input."""
    command = [sys.executable, "-c", SYSTEM, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = {process.stdout.readline() for _ in range(1 + len(arguments))}
        assert "published\n" in said
        yield process


def test_the_record_of_another_process_is_found():
    with system() as process:
        assert [one.pid for one in running()] == [process.pid]
    assert process.returncode == 0
    assert running() == []


def test_the_record_of_a_killed_process_is_removed(run_dir):
    """The lock dies with its process: nobody is told of a system that is no more."""
    with system() as process:
        process.kill()
    assert len(list(run_dir.iterdir())) == 1
    assert running() == []
    assert list(run_dir.iterdir()) == []


def test_a_forked_child_does_not_keep_the_record_of_a_killed_process():
    """The workers of a data loader may outlive a system that was killed."""
    with system("fork") as process:
        process.kill()
        process.wait(30)
        assert running() == []


def test_looking_does_not_look_like_a_system(run_dir):
    """Two look at the same leftover at once: neither takes the other's lock for a living process."""
    with system() as process:
        process.kill()
    (left,) = run_dir.iterdir()
    with left.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert running() == []
