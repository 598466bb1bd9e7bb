"""A thread with its SQLite connection, to which an event loop hands jobs.

Why a lane gives way: a busy event loop lets go of the interpreter lock every millisecond, at its select(), and has it
back before a waiting thread has woken up; and since the lock did change hands, CPython does not count that as waiting
and never forces a handover.  Measured on two cores: every statement of the thread then takes a tenth of a second or
more, a million candles 60 to 300 s in one run out of four.  So while a lane has work, the loop blocks itself every 2 ms
for 50 microseconds, long enough for the thread to wake: 2 to 3.5 s a million in every run (benchmarks/sqlite_write.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from laklak.errors import LaklakError, StoreError

T = TypeVar("T")

_GIVE_WAY_EVERY_S: Final = 0.002
_GIVE_WAY_FOR_S: Final = 50e-6


class CalledOff(Exception):
    """Ends a job whose awaiting task was cancelled; nobody sees it."""


class Turn:
    """One job's time on a lane: connection, whether it was called off, and since when (monotonic) it is blocked."""

    __slots__ = ("blocked_since_s", "called_off", "connection")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection
        self.called_off = False
        self.blocked_since_s: float | None = None

    def check(self) -> None:
        """Raise CalledOff if no one waits for the job any more; call it between statements."""
        if self.called_off:
            raise CalledOff


class Lane:
    """Runs jobs one after another on one thread and one connection, opened when the first job comes.

    It translates sqlite3.Error with `translate`. When the task that awaits a job is cancelled, it interrupts the job's
    statement, and the cancellation goes on as soon as the thread has let go.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], sqlite3.Connection],
        translate: Callable[[sqlite3.Error], LaklakError],
    ) -> None:
        self.pending = 0
        """Jobs handed in and not ended yet."""
        self.ended_s: float | None = None
        """When a job last ended (monotonic)."""
        self._name = name
        self._connect = connect
        self._translate = translate
        self._connection: sqlite3.Connection | None = None
        self._running: Turn | None = None
        self._giving_way = False
        self._guard = threading.Lock()
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix=name)

    @property
    def blocked_since_s(self) -> float | None:
        """Since when another program blocks the running job; None if none does."""
        running = self._running
        return None if running is None else running.blocked_since_s

    def __repr__(self) -> str:
        state = "closed" if self._executor is None else f"pending={self.pending}"
        return f"<Lane {self._name} {state}>"

    async def run(self, job: Callable[[Turn], T]) -> T:
        """Return what `job` returns; raises what it raises, translated."""
        if self._executor is None:
            raise StoreError("the store is not open", hint="use it inside `async with`")
        turn = Turn()
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._perform, [job], turn)
        self.pending += 1
        self._start_giving_way()
        future.add_done_callback(self._ended)
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            if self._call_off(turn):
                await asyncio.wait([future])
            raise
        return future.result()

    async def close(self, farewell: Callable[[sqlite3.Connection], object] | None = None) -> None:
        """Let the jobs handed in end, do `farewell` at best effort, close the connection, end the thread.

        Idempotent.
        """
        executor, self._executor = self._executor, None
        if executor is None:
            return
        future = asyncio.get_running_loop().run_in_executor(executor, self._hang_up, farewell)
        try:
            # This way the connection is closed even if the closing task is cancelled.
            await asyncio.wait([future])
        finally:
            executor.shutdown(wait=future.done())
        future.result()

    def _perform(self, handed: list[Callable[[Turn], T]], turn: Turn) -> T:
        # Popped, because the executor keeps what it was handed until after it has told of the end: by then what a job
        # holds must be gone.
        turn.check()
        try:
            if self._connection is None:
                self._connection = self._connect()
            turn.connection = self._connection
            with self._guard:
                self._running = turn
            try:
                turn.check()
                return handed.pop()(turn)
            finally:
                with self._guard:
                    self._running = None
        except sqlite3.Error as exc:
            raise self._translate(exc) from exc

    def _call_off(self, turn: Turn) -> bool:
        # True if the job runs now, so that the caller must wait for it.  The lane may already be busy with another
        # task's job: do not interrupt that one.
        with self._guard:
            turn.called_off = True
            if self._running is not turn:
                return False
            turn.connection.interrupt()
            return True

    def _start_giving_way(self) -> None:
        if not self._giving_way:
            self._giving_way = True
            asyncio.get_running_loop().call_later(_GIVE_WAY_EVERY_S, self._give_way)

    def _give_way(self) -> None:
        self._giving_way = False
        if self.pending:
            time.sleep(_GIVE_WAY_FOR_S)
            self._start_giving_way()

    def _hang_up(self, farewell: Callable[[sqlite3.Connection], object] | None) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if farewell is not None:
                farewell(connection)
        connection.close()

    def _ended(self, future: asyncio.Future[T]) -> None:
        self.pending -= 1
        self.ended_s = time.monotonic()
        if not future.cancelled():
            future.exception()  # marks it as seen: a job that was called off is no failure
