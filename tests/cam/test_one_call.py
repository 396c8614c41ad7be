"""An explanation is one compiled call a batch: no operations outside of it, one read of its results, few sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases
from support.marks import more

from pcacam_jax import InputError, check_outputs, decompose, evidence, explain
from pcacam_jax.cam.explain import explain_example
from pcacam_jax.core.numerics import TOLERANCES, relative_error
from pcacam_jax.head.batches import Batch, all_finite, batched, padded_size
from pcacam_jax.head.targets import parse_targets

TARGETS = ["pca", "svm_rbf:predicted", "svm_linear:cat", "cnn:predicted"]
CALLS = {
    "explain": lambda head, maps: explain(head, maps, TARGETS, batch_size=8),
    "scale_free": lambda head, maps: explain(head, maps, TARGETS, batch_size=8, scale_free=True),
    "decompose": lambda head, maps: decompose(head, maps, "svm_rbf:predicted", batch_size=8),
    "evidence": lambda head, maps: evidence(head, maps, "svm_rbf:predicted", batch_size=8),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@functools.cache
def head_and_maps():
    network = cases.network()
    head = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), network.head)
    maps = np.abs(np.random.default_rng(1).normal(size=(20, 3, 4, 5)))
    return head, maps


LOWERED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **options: LOWERED.append(event) if event.endswith("jaxpr_to_mlir_module_duration") else None
)


def programs(function, *, cold):
    """Return how many programs a call compiles; an operation outside of jit counts as one, if nothing is cached."""
    if cold:
        jax.clear_caches()
    LOWERED.clear()
    function()
    return len(LOWERED)


class Reads:
    """Counts the calls of jax.device_get and the arrays that are read in other ways."""

    def __init__(self, monkeypatch):
        self.together, self.alone, self._depth = 0, 0, 0
        array_type, device_get = type(jnp.zeros(())), jax.device_get
        value = array_type._value

        def read(array):
            self.alone += self._depth == 0
            return value.fget(array)

        def read_together(tree):
            self.together += 1
            self._depth += 1
            try:
                return device_get(tree)
            finally:
                self._depth -= 1

        monkeypatch.setattr(array_type, "_value", property(read))
        monkeypatch.setattr(jax, "device_get", read_together)


# --- one call ---------------------------------------------------------------------------------------------------------


@every_call
def test_a_batch_is_one_compiled_call(call):
    head, maps = head_and_maps()
    for batch in (maps[:8], jnp.asarray(maps[:5], "float32")):
        assert programs(lambda batch=batch: call(head, batch), cold=True) == 1


@pytest.mark.parametrize("backend", ["reverse", "finite_difference"])
def test_a_batch_is_one_compiled_call_with_the_other_backends(backend):
    head, maps = head_and_maps()
    assert programs(lambda: explain(head, maps[:2].astype("float16"), TARGETS, backend=backend), cold=True) == 1


@pytest.mark.parametrize("call", [CALLS["explain"], *map(more, list(CALLS.values())[1:])], ids=CALLS)
def test_the_results_of_a_batch_are_read_together(call, monkeypatch):
    head, maps = head_and_maps()
    call(head, maps[:8])
    reads = Reads(monkeypatch)
    for count, batches in ((8, 1), (5, 1), (20, 3)):
        reads.together = 0
        call(head, maps[:count])
        assert reads.together == batches
    assert reads.alone == 0
    assert float(jnp.ones(())) == 1
    assert reads.alone == 1


@every_call
def test_results_are_arrays_of_jax(call):
    head, maps = head_and_maps()
    for count in (8, 5, 20):
        result = call(head, maps[:count])
        assert isinstance(result.values, jax.Array)
        assert isinstance(result.columns, jax.Array)
        assert result.values.shape[0] == len(result.labels) == len(result.vanished) == count
        assert not result.values.committed


# --- few sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [CALLS["explain"], *map(more, list(CALLS.values())[1:])], ids=CALLS)
def test_new_numbers_of_images_compile_nothing(call):
    head, maps = head_and_maps()
    for count in (1, 2, 4, 8):
        call(head, maps[:count])
    for convert in (np.asarray, jnp.asarray):
        several = [convert(maps[:count]) for count in range(1, 21)]
        assert programs(lambda several=several: [call(head, some) for some in several], cold=False) == 0


def test_check_outputs_compiles_few_sizes():
    head, maps = head_and_maps()
    logits = np.asarray(jax.vmap(head)(jnp.asarray(maps, "float32"))["cnn"])
    for count in (1, 2, 4):
        check_outputs(head, maps[:count], {"cnn": logits[:count]})
    counts = range(1, 5)
    assert programs(lambda: [check_outputs(head, maps[:n], {"cnn": logits[:n]}) for n in counts], cold=False) == 0


@pytest.mark.parametrize(
    ("limit", "sizes"), [(8, [1, 2, 4, 4, 8, 8, 8, 8]), (6, [1, 2, 4, 4, 6, 6]), (1, [1]), (3, [1, 2, 3])]
)
def test_batches_are_padded_to_powers_of_two_up_to_the_limit(limit, sizes):
    assert [padded_size(count, limit) for count in range(1, limit + 1)] == sizes


@every_call
def test_padding_changes_nothing(call):
    head, maps = head_and_maps()
    whole = call(head, maps[:8])
    for count in (3, 7):
        part = call(head, maps[:count])
        for name in ("values", "signed", "vanished", "columns"):
            expected = np.asarray(getattr(whole, name))[:count]
            assert relative_error(getattr(part, name), expected) < TOLERANCES["float32"]


# --- where batches come from ------------------------------------------------------------------------------------------


@jax.jit
def double(batch):
    return Batch(all_finite(batch), 2 * batch, {"three": 3 * batch})


def test_batches_are_read_one_at_a_time():
    """Maps that are memory-mapped are never read as a whole."""
    maps, slices = np.arange(11.0).reshape(11, 1, 1, 1), []

    def read(array, rows):
        slices.append((rows.start, rows.stop))
        return array[rows]

    small, large = batched(double, maps, 4, np.float32, read=read)
    assert slices == [(0, 4), (4, 8), (8, 11)]
    np.testing.assert_array_equal(small, 2 * maps)
    np.testing.assert_array_equal(large["three"], 3 * maps)
    assert isinstance(small, np.ndarray)
    assert isinstance(large["three"], jax.Array)


def test_a_memory_mapped_file_gives_the_same_explanation(tmp_path):
    head, maps = head_and_maps()
    np.save(tmp_path / "maps.npy", maps)
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    np.testing.assert_array_equal(CALLS["explain"](head, mapped).signed, CALLS["explain"](head, maps).signed)


def test_arrays_of_a_chosen_device_are_cut_there():
    head, maps = head_and_maps()
    device = jax.devices()[0]
    chosen = CALLS["explain"](head, jax.device_put(maps.astype("float16"), device))
    assert chosen.values.committed
    assert relative_error(chosen.signed, CALLS["explain"](head, maps.astype("float16")).signed) < 1e-6


def test_the_first_bad_value_is_named_in_its_batch():
    head, maps = head_and_maps()
    for call in (CALLS["explain"], CALLS["evidence"]):
        for convert in (np.asarray, lambda array: jax.device_put(array, jax.devices()[0])):
            bad = maps.astype("float32")
            bad[17, 1, 2, 3] = bad[18, 0, 0, 0] = np.nan
            sentence = r"maps\[16:20\] must be finite, but 2 of 240 values are .* first at index \(1, 1, 2, 3\); clean"
            with pytest.raises(InputError, match=sentence):
                call(head, convert(bad))


# --- inside transformations -------------------------------------------------------------------------------------------


@every_call
def test_transformations_of_the_whole_call_are_rejected(call):
    head, maps = head_and_maps()
    few = jnp.asarray(maps[:2], "float32")
    sentence = r"(explain|decompose|evidence) cannot run inside jax\.jit, jax\.vmap or jax\.grad, because it .*_example"
    transformed = (
        lambda: jax.jit(lambda maps: call(head, maps).signed)(few),
        lambda: jax.vmap(lambda maps: call(head, maps[None]).signed)(few),
        lambda: jax.grad(lambda maps: call(head, maps).signed.sum())(few),
        lambda: jax.jit(lambda head: call(head, few).signed)(head),
        lambda: jax.jit(lambda: call(head, np.asarray(few)).signed)(),
    )
    for function in transformed:
        with pytest.raises(InputError, match=sentence):
            function()


def test_one_example_can_be_transformed():
    head, maps = head_and_maps()
    few = jnp.asarray(maps[:2], "float32")
    options = {"targets": parse_targets(head, TARGETS), "method": "hirescam", "backend": "closed_form"}
    one = functools.partial(explain_example, head, **options)
    explained = jax.jit(jax.vmap(one))(few)
    expected = explain(head, few, TARGETS)
    assert relative_error(explained.positive, expected.positive) < TOLERANCES["float32"]
    np.testing.assert_array_equal(explained.vanished, expected.vanished)
    assert jax.jit(jax.grad(lambda maps: one(maps).positive.sum()))(few[0]).any()
