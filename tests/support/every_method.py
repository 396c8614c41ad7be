"""The maps of every CAM method that does not change images, in one compiled function."""

import functools

import jax

from pcacam_jax.cam.example import Example
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.head.targets import Selection

NAMES = tuple(name for name, method in METHODS.items() if method.needs != "images" and name != "cam")
"""Without "cam", which needs a head with a global average."""


@functools.partial(jax.jit, static_argnames=("outputs", "names"))
def both_signs(head, maps, columns, *, outputs, names=NAMES):
    """Return L+ and L- by method, each (B, T, *space); ``columns`` holds the entry of each output, (B, T)."""

    def one(m, c):
        example = Example(head, m, Selection(c, outputs))
        return {name: _both(example, name) for name in names}

    return jax.vmap(one)(maps, columns)


def _both(example, name):
    method = cam_method(name, **({"samples": 8} if name == "shapcam" else {}))
    options = dict(method.options) | ({"key": jax.random.key(0)} if method.samples else {})
    first = method.function(example, 1, **options).heatmap
    second = method.function(example, -1, **options).heatmap if method.passes == 2 else -first
    return jax.nn.relu(first), jax.nn.relu(second)
