"""Processes that are killed at a chosen moment and started again.

They are forked from a server that has imported JAX but not used it, so that each starts in a fraction of a second. They
run a function of an importable module of this folder, with arguments that can be pickled.
"""

import multiprocessing
import time
from collections.abc import Callable

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pcacam_jax.fitting.fit", "support.extracting", "pytest"])


def start(function: Callable[..., None], *arguments, **options):
    process = _context.Process(target=function, args=arguments, kwargs=options, daemon=True)
    process.start()
    return process


def kill_at(process, seconds: float, *, after: Callable[[], bool] = lambda: True) -> bool:
    """Kill (-9) a process ``seconds`` after a condition holds; return False if it ended by itself before."""
    wait_for(after, process)
    process.join(seconds)
    process.kill()
    return was_killed(process)


def was_killed(process, *, seconds: float = 60) -> bool:
    """Wait until a process ends and return whether it was killed; any other failure is an error."""
    process.join(seconds)
    assert process.exitcode in (0, -9), f"the process ended with {process.exitcode}"
    killed = process.exitcode == -9
    process.close()
    return killed


def run_to_end(process, *, seconds: float = 60) -> None:
    assert not was_killed(process, seconds=seconds)


def wait_for(condition: Callable[[], bool], process, *, seconds: float = 60) -> None:
    """Wait until a condition holds or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.is_alive():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.002)
