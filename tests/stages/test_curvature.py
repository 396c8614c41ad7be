"""Second and third derivatives of each stage against autodiff of the values and differences of the Jacobian."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cases
from support.cases import case
from support.marks import more

import pcacam_jax
from pcacam_jax import Chain, Classifier, Dense, Elementwise, InputError, Parallel, SVMClassifier, stages
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.core.types import CurvedStage
from pcacam_jax.stages import ACTIVATIONS, KERNELS, NORMS, POWER_METHODS, curved, hessian, push_forward
from pcacam_jax.verification.measure import compiler_options

DEFAULT = (
    "activation silu",
    "2 x 2 max-pool",
    "normalisation, l1",
    "normalisation, max",
    "side by side",
    "power, yeo-johnson",
    "softmax",
    "softmax, logarithm",
    "quadratic",
    "quadratic, diagonal",
    "SVM rbf, one-vs-one",
    "linear, summed",
    "ovr",
    "classifier of two",
    "classifier of one score",
    "trunk",
    "parallel, nested",
)
"""One case for each formula that test_curves.py does not compare; the others are exhaustive."""
JUMP = "power, yeo-johnson, at 0"
"""Its third derivative jumps there, so that differences of the Jacobian are accurate to the first order only."""
SMALLEST = 1e-5
"""Norms of references are taken to be at least this, because autodiff rounds where the derivative is 0."""
NAMES = [name for name in cases.NAMES if not name.startswith("dense, ") or name in ("dense, sigmoid", "dense, relu")]
"""All cases but dense layers with further activations, each of which has a case of its own."""
every_case = pytest.mark.parametrize("name", [name if name in DEFAULT else more(name) for name in NAMES])


def drawn(name, dtype="float64"):
    """Return a stage, its point, two rows on its output, a direction, and the derivatives of a path."""
    stage, x = case(name, dtype)
    out = jax.eval_shape(stage, x)
    rng = np.random.default_rng(3)
    shapes = ((2, *out.shape), x.shape, (3, *x.shape))
    return stage, x, *(jnp.asarray(rng.normal(size=shape).astype("float32"), dtype) for shape in shapes)


def closed_forms(stage, x, rows, tangent, series):
    forward = push_forward(stage, stage.forward(x)[1], tangent)
    return (
        stage.curvature(x, tangent, rows),
        hessian(stage, x, rows),
        stage.taylor(x, series),
        forward,
    )


def autodiff(stage, x, rows, tangent, series):
    """The same quantities from derivatives of the value."""

    def weighted(x):
        value = stage(x)
        return jnp.tensordot(rows, value, value.ndim)

    def along(t):
        return stage(x + t * series[0] + t * t / 2 * series[1] + t * t * t / 6 * series[2])

    def with_derivative(function):
        """Return a function that gives the results of ``function`` and the derivative of its last one."""
        one = jnp.ones((), x.dtype)

        def both(t):
            results, changes = jax.jvp(function, (t,), (one,))
            return (*results, changes[-1])

        return both

    path = with_derivative(with_derivative(with_derivative(lambda t: (along(t),))))(jnp.zeros((), x.dtype))[1:]
    hessians = jax.hessian(weighted)(x)
    return (
        jnp.tensordot(hessians, tangent, x.ndim),
        hessians,
        jnp.stack(path),
        jax.jvp(stage, (x,), (tangent,))[1],
    )


def differences(stage, x, rows, tangent):
    """Return the central difference of the closed-form Jacobian along the direction, times the rows."""
    step = 1e-5
    points = jnp.stack([x + step * tangent, x - step * tangent])
    above, below = jax.vmap(lambda point: pcacam_jax.jacobian(stage, point))(points)
    change = (above - below) / (2 * step)
    return jnp.tensordot(rows, change, change.ndim - x.ndim)


@functools.cache
def measured(name):
    arguments = drawn(name)

    def everything(*arguments):
        return closed_forms(*arguments), autodiff(*arguments), differences(*arguments[:-1])

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        return jax.tree.map(np.asarray, jax.jit(everything, compiler_options=compiler_options())(*arguments))


@every_case
def test_closed_forms_equal_autodiff_of_the_value(name, x64):
    closed, reference, _ = measured(name)
    for result, expected in zip(closed, reference, strict=True):
        assert relative_error(result, expected, smallest=SMALLEST) < 1e-10
    for result, expected in zip(closed[2], reference[2], strict=True):
        assert relative_error(result, expected, smallest=SMALLEST) < 1e-10


@pytest.mark.parametrize(
    "name", [name if name in DEFAULT else more(name) for name in NAMES if name not in (*cases.KINKS, JUMP)]
)
def test_curvature_equals_differences_of_the_jacobian(name, x64):
    closed, _, expected = measured(name)
    assert relative_error(closed[0], expected, smallest=1e-4) < 1e-6


@pytest.mark.parametrize("name", [name if name == "trunk" else more(name) for name in NAMES])
def test_float32_is_accurate(name):
    with jax.enable_x64(True):
        exact = jax.jit(closed_forms, compiler_options=compiler_options())(*drawn(name))
    results = jax.jit(closed_forms, compiler_options=compiler_options())(*drawn(name, "float32"))
    for result, expected in zip(results, exact, strict=True):
        assert result.dtype == np.float32
        assert relative_error(result, expected, smallest=1e-6) < 1e-4


def test_every_stage_is_a_curved_stage():
    for _, stage, _ in cases.build():
        assert isinstance(stage, CurvedStage)
        assert curved(stage) is stage


# --- stages without second derivatives --------------------------------------------------------------------------------


@jax.tree_util.register_static
class Doubling:
    """A user's stage without second derivatives."""

    in_shape = (2,)

    def __call__(self, x):
        return 2 * x

    def forward(self, x):
        return 2 * x, None

    def pull_back(self, saved, rows):
        return 2 * rows

    def jacobian(self, saved):
        return 2 * jnp.eye(2)


def test_a_stage_without_second_derivatives_stays_a_stage():
    assert isinstance(Doubling(), pcacam_jax.Stage)
    assert not isinstance(Doubling(), CurvedStage)
    np.testing.assert_array_equal(pcacam_jax.jacobian(Chain((Doubling(), Doubling())), np.ones(2)), 4 * np.eye(2))
    np.testing.assert_array_equal(push_forward(Doubling(), None, jnp.ones(2)), [2, 2])


@pytest.mark.parametrize(
    "stage",
    [
        Doubling(),
        Chain((Elementwise("tanh", 2), Doubling())),
        Parallel((Elementwise("tanh", 2), Chain((Doubling(),)))),
        Classifier(Doubling()),
        SVMClassifier(Doubling(), 3),
    ],
)
def test_a_stage_that_lacks_second_derivatives_is_named(stage):
    x, rows, series = jnp.ones(2), jnp.ones((1, 2)), jnp.ones((3, 2))
    message = "methods curvature and taylor, which Doubling lacks; add .*, or use backend='reverse'"
    for call in (lambda: curved(stage), lambda: hessian(stage, x, rows)):
        with pytest.raises(InputError, match=message):
            call()
    if not isinstance(stage, Doubling):
        for call in (lambda: stage.curvature(x, x, rows), lambda: stage.taylor(x, series)):
            with pytest.raises(InputError, match=message):
                call()


def test_a_voter_needs_no_second_derivatives():
    stage = Classifier(Elementwise("tanh", 2), voter=Doubling())
    assert curved(stage) is stage


def test_entries_of_the_tables_without_second_derivatives_are_named(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "tanh", ACTIVATIONS["tanh"]._replace(curves=None))
    monkeypatch.setitem(KERNELS, "rbf", KERNELS["rbf"]._replace(taylor=None))
    monkeypatch.setitem(NORMS, "l1", NORMS["l1"]._replace(curvature=None))
    monkeypatch.setitem(POWER_METHODS, "box-cox", POWER_METHODS["box-cox"]._replace(curves=None))
    x, series = np.ones(3, "float32"), np.ones((3, 3), "float32")
    for stage, message in [
        (Elementwise("tanh", 3), "activation 'tanh' has no second and third derivative; give its entry in ACTIVATIONS"),
        (Dense(np.eye(3), np.zeros(3), "tanh"), "activation 'tanh' has no second"),
        (case("SVM rbf, binary", "float32")[0], "kernel 'rbf' has no second and third derivative; give its entry in K"),
        (stages.Normalise("l1", 3), "norm 'l1' has no second and third derivative; give its entry in NORMS"),
        (stages.Power(np.ones(3), "box-cox"), "method 'box-cox' has no second and third derivative; give its entry in"),
    ]:
        for call in (lambda s=stage: s.curvature(x, x, jnp.ones((1, 3))), lambda s=stage: s.taylor(x, series)):
            with pytest.raises(InputError, match=message):
                call()


def test_relative_expansions_are_rejected():
    stage = stages.relative_kernels(case("SVM rbf, pairs", "float32")[0])
    x = jnp.ones(3)
    for call in (lambda: stage.curvature(x, x, jnp.ones((1, 6))), lambda: stage.taylor(x, jnp.ones((3, 3)))):
        with pytest.raises(InputError, match=r"a relative expansion has no second derivative.*use relative=False"):
            call()


def test_an_example_of_another_shape_is_rejected():
    with pytest.raises(InputError, match=r"x must have shape \(2,\); got \(3,\)"):
        hessian(Elementwise("tanh", 2), jnp.ones(3), jnp.ones((1, 3)))
