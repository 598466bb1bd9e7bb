"""The work itself, and what is seen of processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from laklak.bench import influxd as own_influxd
from laklak.bench.children import Child, Work, held_signals
from laklak.bench.limits import Watch
from laklak.bench.workload import PAGE_WEIGHT, Workload, for_budget, small, whole


def test_requests_and_files_cover_the_same_minutes(tiny):
    asked = sum(int(dict(request.query)["limit"]) for request in tiny.requests())
    files = list(tiny.files())

    assert asked == tiny.candles == 2 * 2 * 1440
    assert len(files) == 4
    assert all(checksum == f"{path}.CHECKSUM" for path, checksum in files)


def test_the_job_for_a_budget_is_the_most_that_it_pays_for():
    workload = Workload(symbols=20, days=90)

    job = for_budget(workload, 2352)

    days = job.span.count(workload.series[0].interval) // 1440
    pages = 8 * -(-days * 1440 // 1000)
    assert pages * PAGE_WEIGHT <= 2352 < 8 * -(-(days + 1) * 1440 // 1000) * PAGE_WEIGHT


def test_the_watch_sums_what_it_is_asked_to_see():
    watch = Watch()
    for seen in (True, False, True):
        with watch if seen else nullcontext():
            until_s = time.process_time() + 0.05
            while time.process_time() < until_s:
                pass

    used = watch.read()
    assert 0.1 <= used["cpu_s"] < 0.15
    assert used["seconds"] >= 0.09


def test_the_start_of_the_program_is_one_day_of_the_whole(tiny):
    assert small(tiny).candles == 1440
    assert whole(tiny).candles == tiny.candles


def test_a_child_tells_what_it_took(tmp_path):
    work = Work(tmp_path)
    busy = "import time\nwhile time.process_time() < 0.2: pass\nprint('done')"

    with work.child([sys.executable, "-c", busy], work.environment()) as child:
        ended = child.wait()

    assert (ended.status, ended.out) == (0, "done\n")
    assert 0.2 <= ended.cpu_s < 5
    assert ended.seconds >= 0.2
    assert ended.rss_bytes > 2**20


def test_a_child_does_not_outlive_its_block(tmp_path):
    work = Work(tmp_path)

    with work.child([sys.executable, "-c", "import time; time.sleep(600)"], work.environment()) as child:
        pid = child.process.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_that_comes_at_the_wrong_moment_takes_effect_after_it():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with held_signals():
            signal.raise_signal(signal.SIGTERM)
            assert came == []
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_server_on_this_machine_is_found_by_its_port(influxd):
    pid = own_influxd.process_at("localhost", influxd.port)

    assert pid is not None
    assert Path(f"/proc/{pid}/comm").read_text() == "influxd\n"


def test_the_cpu_of_another_process_is_what_it_says_itself():
    assert own_influxd.cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.1)


def test_a_process_that_is_gone_has_no_cpu_to_tell():
    assert own_influxd.cpu_seconds(2**30) is None


def test_a_process_that_a_signal_meets_while_it_is_started_is_not_left_behind(tmp_path):
    class Stop(BaseException): ...

    class Met(Child):
        def _start(self):
            super()._start()
            signal.raise_signal(signal.SIGTERM)

    def stop(number, frame):
        raise Stop

    child = Met([sys.executable, "-c", "import time; time.sleep(600)"], folder=tmp_path, env={})
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Stop):
            child.__enter__()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert child.process.returncode == -signal.SIGKILL


def test_a_server_elsewhere_is_not_looked_for():
    assert own_influxd.process_at("db.example.org", 8086) is None
