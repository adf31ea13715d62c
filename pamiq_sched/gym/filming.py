"""Films of what an agent does, on request.

Any thread asks. The inference thread takes the frames, which only it can, and hands them over; each film has a
thread of its own that hands them on to an encoder, which is a process of its own. So acting waits for a frame to
be drawn and for nothing else: frames that the encoder is too slow for are left out, and counted. A film that fails
is told to whoever asked for it and to the log; the agent lives on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

_logger = logging.getLogger(__name__)

Frame = NDArray[np.uint8]
Flags = NDArray[np.bool_]

MOST_WAITING_BYTES: Final = 256 * 2**20
"""How much may wait for the encoder before frames are left out."""
SUFFIXES: Final = (".mp4", ".mkv", ".mov", ".avi")
_SECONDS_TO_END: Final = 60.0


class Film:
    """A film that was asked for; :meth:`GymEnvironment.film` makes it. Any thread.

    Attributes:
        index: Which sub-environment it shows.
        path: Where it will be once it is over; None if the frames are kept here.
        frames: The frames, each of shape (height, width, 3), uint8; complete once it is over. Empty with a path.
        taken: How many frames were taken so far.
        left_out: How many of them the encoder was too slow for.
    """

    def __init__(
        self,
        path: Path | None,
        episodes: int | None,
        most_frames: int | None,
        fps: float,
        executable: str,
        index: int,
    ) -> None:
        self.path = path
        self.index = index
        # Written by the inference thread alone, as everything here but `_error`.
        self.frames: list[Frame] = []
        self.taken = 0
        self.left_out = 0
        self._episodes_left = episodes
        self._most_frames = most_frames
        self._is_rolling = episodes is None
        self._fps = fps
        self._executable = executable
        self._handed_over: SimpleQueue[Frame | BaseException | None] = SimpleQueue()  # None, or an error, ends it
        self._writer: threading.Thread | None = None
        self._over = threading.Event()
        self._error: BaseException | None = None  # written by whoever ends the film, before `_over` is set

    @property
    def is_over(self) -> bool:
        """Whether it is whole, on the disk if it has a path, or has failed."""
        return self._over.is_set()

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it is over and return it; not from the inference thread, which takes the frames.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: If it is not over by then.
            RuntimeError: If it failed, with the cause.
        """
        if not self._over.wait(timeout):
            raise TimeoutError(f"{self} was not over within {timeout} s; {self.taken} frames were taken so far")
        if self._error is not None:
            raise RuntimeError(f"{self} failed: {self._error}") from self._error
        return self

    @override
    def __str__(self) -> str:
        return f"the film {self.path}" if self.path else "the film in memory"

    # Called by the inference thread.

    @property
    def wants_no_more(self) -> bool:
        """Whether it has all its frames, or an error that makes more of them useless."""
        return (
            self._over.is_set()
            or self._episodes_left == 0
            or (self._most_frames is not None and self.taken >= self._most_frames)
        )

    def shoot(self, render: Callable[[int], Any]) -> None:
        """Take a frame if it is rolling."""
        if not self._is_rolling or self.wants_no_more:
            return
        frame = render(self.index)
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
            raise ValueError(f"a frame must be an array of shape (height, width, 3), uint8, got {describe(frame)}")
        self.taken += 1
        if self.path is None:
            self.frames.append(frame)
        elif (self._handed_over.qsize() + 1) * frame.nbytes > MOST_WAITING_BYTES:
            self.left_out += 1
        else:
            if self._writer is None:
                # A daemon: an encoder that hangs must not keep the process from ending.
                self._writer = threading.Thread(target=self._write, name="pamiq-film", daemon=True)
                self._writer.start()
            self._handed_over.put(frame)

    def episode_begins(self) -> None:
        """Note that what is seen from now on belongs to a new episode."""
        self._is_rolling = True

    def episode_ended(self) -> None:
        """Note that an episode is over."""
        if self._is_rolling and self._episodes_left:
            self._episodes_left -= 1

    def end(self, error: BaseException | None = None) -> None:
        """End it with what there is, or with an error."""
        if error is None and not self.taken:
            error = RuntimeError("the environment was torn down before it began")
        if self._writer is None:
            self._finish(error)
        else:
            self._handed_over.put(error)

    def join(self) -> None:
        """Wait until it is written; if the encoder hangs, leave it alone, and say so in the log."""
        if self._writer is not None:
            self._writer.join(_SECONDS_TO_END)
            if self._writer.is_alive():
                _logger.error("%s is not written after %g s; its encoder hangs", self, _SECONDS_TO_END)

    def _finish(self, error: BaseException | None) -> None:
        self._error = error
        if error is not None:
            _logger.error("%s failed: %s", self, error)
        elif self.left_out:
            _logger.warning("%s lacks %d of %d frames: its encoder is too slow", self, self.left_out, self.taken)
        self._over.set()

    # Runs in a thread of its own.

    def _write(self) -> None:
        assert self.path is not None  # noqa: S101 - the thread is only started with a path
        partial = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        try:
            with tempfile.TemporaryFile() as said:
                self._encode(partial, said)
            partial.replace(self.path)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, and to the log
            partial.unlink(missing_ok=True)
            self._finish(error)
        else:
            self._finish(None)

    def _encode(self, partial: Path, said: IO[bytes]) -> None:
        """Hand frames on to the encoder until there are no more.

        Args:
            partial: Where it writes.
            said: Takes what it says, which a pipe could not hold.
        """
        frame = self._next_frame()
        if frame is None:
            return
        shape = frame.shape
        command = [self._executable, "-y", "-loglevel", "error"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{shape[1]}x{shape[0]}", "-r", f"{self._fps}"]
        # Players expect yuv420p, which takes even sizes only.
        command += ["-i", "-", "-an", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]
        # One thread, and others first: the cores are for acting and learning.
        command += ["-filter_threads", "1", "-threads", "1", "-preset", "veryfast", str(partial)]
        is_broken = False
        try:
            with subprocess.Popen(  # noqa: S603 - the encoder that its package names
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                process_group=0,  # Ctrl-C is for us, who end the film properly
            ) as process:
                assert process.stdin is not None  # noqa: S101 - for mypy
                with contextlib.suppress(OSError):  # it may be over already
                    os.setpriority(os.PRIO_PROCESS, process.pid, 5)
                try:
                    while frame is not None:
                        if frame.shape != shape:
                            raise ValueError(
                                f"frames must not change their shape, got {shape}, then {frame.shape}"
                            )
                        process.stdin.write(np.ascontiguousarray(frame).data)
                        frame = self._next_frame()
                except BrokenPipeError:
                    raise
                except BaseException:
                    process.kill()
                    raise
        except BrokenPipeError:
            is_broken = True  # it ended by itself; what it said tells why
        if is_broken or process.returncode:
            said.seek(0)
            raise RuntimeError(f"the encoder said: {said.read().decode(errors='replace').strip()}")

    def _next_frame(self) -> Frame | None:
        got = self._handed_over.get()
        if isinstance(got, BaseException):
            raise got
        return got


class Camera:
    """Takes the films of an environment, one after the other.

    Args:
        render: Returns the frame of what is seen now in a sub-environment.
    """

    def __init__(self, render: Callable[[int], Any]) -> None:
        self.films: deque[Film] = deque()
        """Those that want frames, the first one now. Any thread appends, the inference thread removes; each is one
        operation of the interpreter."""
        self._render = render
        self._being_written: list[Film] = []  # belongs to the inference thread
        self._lock = threading.Lock()
        self._is_closed = False  # guarded by the lock, with the appending: what comes after the end is refused

    def open(self) -> None:
        """Take films, also such as were asked for already."""
        with self._lock:
            self._is_closed = False

    def ask_for(self, film: Film) -> None:
        """Take a film when those before it are over.

        Raises:
            RuntimeError: If the environment was torn down.
        """
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"{film} cannot be taken: the environment was torn down; ask while it runs")
            self.films.append(film)

    def look(self, *, ended: Sequence[bool] | Flags, began: Sequence[bool] | Flags) -> None:
        """Take what there is to see.

        Args:
            ended: For each sub-environment, whether an episode is over.
            began: For each, whether what is seen is the first of an episode.
        """
        self._with_film(lambda film: self._see(film, began=False) if not began[film.index] else None)
        self._with_film(lambda film: film.episode_ended() if ended[film.index] else None)
        self._with_film(lambda film: self._see(film, began=True) if began[film.index] else None)

    def _see(self, film: Film, *, began: bool) -> None:
        if began:
            film.episode_begins()
        film.shoot(self._render)

    def close(self) -> None:
        """End what is being filmed with what there is, fail what has not begun, wait until all is written."""
        with self._lock:
            self._is_closed = True
        while self.films:
            film = self.films.popleft()
            film.end()
            self._being_written.append(film)
        for film in self._being_written:
            film.join()
        self._being_written.clear()

    def _with_film(self, do: Callable[[Film], None]) -> None:
        if not self.films:
            return
        film = self.films[0]
        error = None
        try:
            do(film)
        except Exception as raised:  # noqa: BLE001 - a film that fails must not end the run: told to whoever asked
            error = raised
        if error is not None or film.wants_no_more:
            self.films.popleft()
            film.end(error)
            self._being_written = [one for one in self._being_written if not one.is_over]
            self._being_written.append(film)


def encoder() -> str:
    """Return the path of the encoder.

    Raises:
        ImportError: If the extra that brings it is not installed.
    """
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - only those who film need it
    except ImportError as error:
        raise ImportError('filming to a file needs an extra: pip install "pamiq-sched[video]"') from error
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def describe(frame: Any) -> str:
    """Say in a few words what was rendered."""
    if isinstance(frame, np.ndarray):
        return f"an array of shape {frame.shape}, {frame.dtype}"
    return f"an object of the class {type(frame).__name__}"
