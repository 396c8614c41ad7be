import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax.core.checks import InputError
from pcacam_jax.nets import dense_head
from pcacam_jax.stages.activation import ACTIVATIONS


def initialised(maps, **options):
    head = dense_head.DenseHead(**options)
    return head, head.init(jax.random.key(0), maps)["params"]


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_head_equals_the_composition_of_its_layers(activation):
    maps = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float32)
    head, params = initialised(maps, sizes=(7, 6, 3), activation=activation)
    pairs = dense_head.layers(params)
    assert [kernel.shape for kernel, _ in pairs] == [(24, 7), (7, 6), (6, 3)]
    x = maps.reshape(5, -1)
    for number, (kernel, bias) in enumerate(pairs, start=1):
        x = x @ np.asarray(kernel) + np.asarray(bias)
        x = np.asarray(ACTIVATIONS[activation].function(jnp.asarray(x))) if number < len(pairs) else x
    expected = x
    np.testing.assert_allclose(head.apply({"params": params}, maps), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(head.apply({"params": params}, maps[0]), expected[0], rtol=1e-5, atol=1e-6)


def test_initial_scale_depends_on_the_activation():
    maps = jnp.zeros((1, 10, 10, 8), jnp.float32)
    variances = {}
    for activation in ("sigmoid", "relu"):
        _, params = initialised(maps, sizes=(400, 40), activation=activation)
        pairs = dense_head.layers(params)
        variances[activation] = [float(jnp.var(kernel)) for kernel, _ in pairs]
        assert all(not bias.any() for _, bias in pairs)
    assert variances["sigmoid"] == pytest.approx([2 / 1200, 2 / 440], rel=0.05)
    assert variances["relu"] == pytest.approx([2 / 800, 2 / 440], rel=0.05)


def test_layers_are_in_order_past_nine():
    params = {f"dense{i}": {"kernel": jnp.full((1, 1), i), "bias": jnp.zeros(1)} for i in range(12, 0, -1)}
    assert [int(kernel[0, 0]) for kernel, _ in dense_head.layers(params)] == list(range(1, 13))


@pytest.mark.parametrize("names", [(), ("dense1", "dense3"), ("params",)])
def test_other_names_are_rejected(names):
    with pytest.raises(InputError, match="must be named dense1, dense2"):
        dense_head.layers({name: {} for name in names})


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((1, 2, 2, 3), {"sizes": (3,), "activation": "step"}, "activation must be one of"),
        ((1, 2, 2, 3), {"sizes": ()}, "positive widths, at least one"),
        ((1, 2, 2, 3), {"sizes": (3, 0)}, "positive widths, at least one"),
        ((1, 12), {"sizes": (3,)}, "maps must have shape"),
    ],
)
def test_bad_heads_are_rejected(shape, options, sentence):
    with pytest.raises(InputError, match=sentence):
        initialised(jnp.zeros(shape), **options)
