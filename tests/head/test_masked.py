"""A head as a function of masks gives the values of the whole head at masked maps."""

import jax
import numpy as np
import pytest
from sklearn.decomposition import PCA
from support.marks import more

from pcacam_jax import hybrid_head
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.entry import split_entry
from pcacam_jax.head.masked import masked_head


def head_on(space, kind):
    """Return a head on maps of this space with 3 channels, which are pooled, averaged or flattened."""
    rng = np.random.default_rng(0)
    pooled = {"max": tuple(size // 2 for size in space), "average": ()}.get(kind, space)
    size = 3 * int(np.prod(pooled))
    pool = {"max": True, "average": "average"}.get(kind, False)
    if kind == "average":
        return hybrid_head([], maps_shape=(*space, 3), pca=PCA(2).fit(rng.normal(size=(9, size))), pool=pool)
    layers = [(rng.normal(size=(size, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), np.ones(2))]
    return hybrid_head(layers, maps_shape=(*space, 3), at=1, activation="tanh", pool=pool)


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        ((5, 4), "max"),
        ((5, 4), "average"),
        more((5, 4), "flat"),
        more((7,), "max"),
        more((2, 3, 4), "max"),
        more((2, 3, 4), "flat"),
    ],
)
def test_masked_values_are_those_of_masked_maps(space, kind, x64):
    rng = np.random.default_rng(1)
    head, maps = head_on(space, kind), rng.normal(size=(*space, 3))
    masks = np.concatenate([np.ones((1, *space)), np.zeros((1, *space)), rng.integers(0, 2, (20, *space))])
    fast = jax.jit(lambda maps, masks: jax.vmap(masked_head(split_entry(head), maps))(masks))(maps, masks)
    slow = jax.jit(jax.vmap(head))(maps * masks[..., None])
    assert fast.keys() == slow.keys()
    for output, values in slow.items():
        assert relative_error(fast[output], values) < 1e-12
