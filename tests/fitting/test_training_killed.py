"""Training that is killed at any instant continues from its checkpoint and gives the bits of an undisturbed one."""

import numpy as np
import pytest
from support.killing import kill_at, run_to_end, start
from support.training import EPOCHS, epochs_done, train_in_a_child, trained

KILLS = 10


@pytest.mark.exhaustive
def test_kills_at_random_instants_change_no_bit(tmp_path):
    (undisturbed := tmp_path / "undisturbed").mkdir()
    (killed := tmp_path / "killed").mkdir()
    run_to_end(start(train_in_a_child, undisturbed))
    random = np.random.default_rng(0)
    reached = []
    for _ in range(KILLS):
        count = len(epochs_done(killed))
        process = start(train_in_a_child, killed, pause=0.02)
        assert kill_at(process, random.uniform(0, 0.2), after=lambda count=count: len(epochs_done(killed)) > count + 1)
        resumed = epochs_done(killed)[count]
        # A kill loses at most the epoch that was being computed
        assert not reached or resumed >= reached[-1] - 1
        reached.append(epochs_done(killed)[-1])
    assert KILLS <= reached[-1] < EPOCHS
    run_to_end(start(train_in_a_child, killed))
    expected, ours = trained(undisturbed), trained(killed)
    assert ours.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name], array)
