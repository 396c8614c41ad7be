"""Short representations: one screen at most, whatever an object holds."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax.core.brief import MOST_LINES, brief


@dataclasses.dataclass
class Nested:
    first: object
    second: object = None
    hidden: object = dataclasses.field(default=1, repr=False)


Pair = collections.namedtuple("Pair", ["images", "names"])
DEEP = Nested(1)
for _ in range(40):
    DEEP = Nested(DEEP, np.zeros(3))
VALUES = {
    "deep": DEEP,
    "wide": Nested({i: Nested(np.zeros(2), "x" * 200) for i in range(50)}),
    "long tuple": tuple(range(10_000)),
    "many arrays": [np.zeros((2, 3))] * 1000,
    "named tuple": Pair([np.zeros((9, 9, 3), np.uint8)] * 8, ["a\nb"] * 8),
    "bytes": bytes(10_000),
    "dataclass of many fields": dataclasses.make_dataclass("Wide", [f"a{i}" for i in range(60)])(*range(60)),
    "array": np.arange(10_000.0),
    "empty": Nested((), {}),
    "type": Nested(Nested, dict),
}


@pytest.mark.parametrize("name", VALUES)
def test_every_value_fits_one_screen(name):
    lines = brief(VALUES[name]).splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 130


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((8, 5, 3), np.float32), "float32[8, 5, 3]"),
        (jnp.zeros(3, jnp.int32), "int32[3]"),
        (np.array([[True, False], [True, True]]), "bool[2, 2] with 3 true"),
        (np.array(0.5), "0.5"),
        (Nested(jnp.float32(2)), "Nested(first=2.0, second=None)"),
        (("pca:0",), "('pca:0',)"),
        (("a", 1, None, "b", "c"), "('a', 1, None, 'b', ... 5 in all)"),
        ([np.zeros(1)] * 9, "[\n" + "  float64[1],\n" * 8 + "  ... and 1 more,\n]"),
        ({}, "{}"),
        (Pair([], ()), "Pair(images=[], names=())"),
    ],
)
def test_texts(value, text):
    assert brief(value) == text


def test_traced_arrays_have_shapes():
    texts = []
    jax.jit(lambda x: texts.append(brief(Nested(x, x[0]))) or x)(jnp.zeros(3))
    assert texts == ["Nested(first=float32[3], second=float32[])"]
