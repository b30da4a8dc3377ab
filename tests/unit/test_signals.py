"""A signal takes nothing from whoever waits for the process."""

from signal import Signals

import anyio

from service.engine.signals import send_signal


async def test_one_that_ends_under_signals_still_tells_its_own_status() -> None:
    for _ in range(20):
        process = await anyio.open_process(["sh", "-c", "read line; exit 3"])
        assert process.stdin is not None
        await process.stdin.send(b"go\n")
        for _ in range(200):  # without a pause: what is asked for is that it ends in their midst
            send_signal(process, Signals.SIGCONT)
        assert await process.wait() == 3
        await process.aclose()


async def test_one_that_has_ended_is_left_alone() -> None:
    process = await anyio.open_process(["true"])
    assert await process.wait() == 0

    send_signal(process, Signals.SIGKILL)

    await process.aclose()
