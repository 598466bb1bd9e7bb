"""A stop cuts waits short and nothing else."""

import asyncio

import pytest

from laklak.tasks.stopping import Stopped, Stopper


def test_a_wait_ends_with_stopped_when_the_run_stops():
    async def main():
        stopper = Stopper()
        asyncio.get_running_loop().call_soon(stopper.request)
        with pytest.raises(Stopped), stopper.interruptible():
            await asyncio.Event().wait()
        return "on"

    assert asyncio.run(main()) == "on"


def test_after_a_stop_no_wait_begins():
    stopper = Stopper()
    stopper.request()

    begun = []
    with pytest.raises(Stopped), stopper.interruptible():
        begun.append(True)
    assert not begun


def test_a_wait_that_is_over_is_not_touched_by_a_later_stop():
    async def main():
        stopper = Stopper()
        with stopper.interruptible():
            await asyncio.sleep(0)
        stopper.request()
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    assert asyncio.run(main()) == 0


def test_what_is_not_a_wait_runs_on():
    async def main():
        stopper = Stopper()
        stopper.request()
        await asyncio.sleep(0)
        return "done"

    assert asyncio.run(main()) == "done"


def test_every_wait_ends_at_once():
    async def wait(stopper):
        with stopper.interruptible():
            await asyncio.Event().wait()

    async def main():
        stopper = Stopper()
        waits = [asyncio.ensure_future(wait(stopper)) for _ in range(5)]
        await asyncio.sleep(0)
        stopper.request()
        return await asyncio.gather(*waits, return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(main())] == [Stopped] * 5


def test_a_wait_that_got_what_it_waited_for_keeps_it():
    async def main():
        stopper, event = Stopper(), asyncio.Event()

        async def wait():
            with stopper.interruptible():
                await event.wait()
                return "got it"

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        event.set()
        await asyncio.sleep(0)
        stopper.request()
        return await task

    assert asyncio.run(main()) == "got it"


def test_a_real_cancellation_stays_one():
    async def main():
        stopper = Stopper()

        async def wait():
            with stopper.interruptible():
                await asyncio.Event().wait()

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
