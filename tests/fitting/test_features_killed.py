"""Extraction that is killed at any instant, or run by two processes, gives the bytes of an undisturbed extraction."""

import numpy as np
import pytest
from support.extracting import (
    CHUNKS,
    OPTIONS,
    begun,
    cheap,
    extract_in_a_child,
    journal,
    log,
    small_chunks,
    split,
    stored,
)
from support.killing import kill_at, run_to_end, start, wait_for, was_killed

from pcacam_jax.fitting import features
from pcacam_jax.fitting.feature_cache import WAITING
from pcacam_jax.fitting.features import cached_features


@pytest.fixture
def undisturbed(tmp_path, monkeypatch):
    """Return the bytes of a file that this process extracts without interruption, in a single chunk."""
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "undisturbed" / "cache"))
    monkeypatch.setattr(features, "extract", cheap)
    maps = cached_features({}, "w", split(), **OPTIONS)
    np.testing.assert_allclose(maps, cheap({}, split().images(slice(None), 32), tap="", scaling="", dtype=""))
    return stored(tmp_path / "undisturbed")


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.exhaustive)])
def test_kills_at_random_instants_change_no_bit_and_lose_no_finished_chunk(tmp_path, undisturbed, kills):
    random = np.random.default_rng(0)
    partial = 0
    for _ in range(kills):
        finished, count = journal(tmp_path), len(begun(tmp_path))
        process = start(extract_in_a_child, tmp_path, pause=0.01)
        kill_at(process, random.uniform(0, 0.1), after=lambda count=count: len(begun(tmp_path)) > count)
        assert finished <= journal(tmp_path)
        assert not finished & set(begun(tmp_path)[count:])
        partial += len(journal(tmp_path)) < CHUNKS
    assert partial >= kills / 2
    run_to_end(start(extract_in_a_child, tmp_path))
    assert stored(tmp_path) == undisturbed
    assert CHUNKS < len(begun(tmp_path)) <= CHUNKS + kills  # every kill loses at most the chunk that is being written


@pytest.mark.exhaustive
def test_a_kill_at_every_step_of_a_chunk_in_turn(tmp_path, undisturbed):
    """A chunk has six steps: half of its bytes, all bytes, fsync; half of its line, the whole line, fsync."""
    step, died = 0, 0
    while journal(tmp_path) != set(range(CHUNKS)):
        before = journal(tmp_path)
        died += was_killed(start(extract_in_a_child, tmp_path, die_at=step))
        assert before <= journal(tmp_path)
        step = (step + 1) % 7
    assert died > 20
    run_to_end(start(extract_in_a_child, tmp_path))
    assert len(begun(tmp_path)) <= CHUNKS + died
    assert stored(tmp_path) == undisturbed


@pytest.mark.exhaustive
def test_a_kill_of_the_real_network_changes_no_bit(tmp_path, monkeypatch, small_params):
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "undisturbed" / "cache"))
    small_chunks(monkeypatch)
    cached_features(small_params, "w", split(20), **OPTIONS)
    killed = tmp_path / "killed"
    killed.mkdir()
    process = start(extract_in_a_child, killed, count=20, pause=0.1, real=True)
    assert kill_at(process, 0.1, after=lambda: len(journal(killed)) > 1)
    finished, count = journal(killed), len(begun(killed))
    run_to_end(start(extract_in_a_child, killed, count=20, real=True))
    assert stored(killed) == stored(tmp_path / "undisturbed")
    assert begun(killed)[count:] == sorted(set(range(4)) - finished) != [0, 1, 2, 3]


def test_one_of_two_processes_waits_and_nothing_is_computed_twice(tmp_path, undisturbed):
    processes = [start(extract_in_a_child, tmp_path, pause=0.02) for _ in range(2)]
    for process in processes:
        run_to_end(process)
    assert stored(tmp_path) == undisturbed
    assert sorted(begun(tmp_path)) == list(range(CHUNKS))
    assert [text for _, text in log(tmp_path) if text.startswith("end")] == ["end 180"] * 2


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path, undisturbed):
    first = start(extract_in_a_child, tmp_path, pause=0.2)
    wait_for(lambda: begun(tmp_path), first)
    second = start(extract_in_a_child, tmp_path)
    waiting = str(second.pid)
    assert kill_at(first, 0, after=lambda: (waiting, WAITING) in log(tmp_path))
    finished = journal(tmp_path)
    assert finished < set(range(CHUNKS))
    run_to_end(second)
    assert stored(tmp_path) == undisturbed
    assert {int(text.split()[1]) for process, text in log(tmp_path) if process == waiting and "begin" in text} == set(
        range(CHUNKS)
    ) - finished


def test_an_interrupted_wait_ends_at_once(tmp_path, monkeypatch):
    """Ctrl-C while another process holds the lock."""

    def interrupt(steps, now=""):
        if now == WAITING:
            raise KeyboardInterrupt

    first = start(extract_in_a_child, tmp_path, pause=0.5)
    wait_for(lambda: begun(tmp_path), first)
    monkeypatch.setenv("PCACAM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(KeyboardInterrupt):
        cached_features({}, "w", split(), **OPTIONS, advance=interrupt)
    assert kill_at(first, 0)
