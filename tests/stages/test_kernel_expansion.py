"""Scale-free derivatives: a positive multiple of the plain derivative, with a direction where that one underflows."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pcacam_jax import Chain, InputError, KernelExpansion, PairwiseMargins, Scaling, SVMClassifier, jacobian
from pcacam_jax.cam.common_scale import rescaled_for
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.stages import Classifier, has_exponential_kernel, relative_kernels
from pcacam_jax.stages.parallel import Parallel

GAMMA = 0.7


@pytest.fixture
def expansion(dtype):
    """Three SVMs over five support vectors, with nonzero coefficients."""
    rng = np.random.default_rng(5)
    arrays = (rng.normal(size=shape) for shape in ((5, 3), (3, 5), 3))
    support, coefficients, intercept = (jnp.asarray(array, dtype) for array in arrays)
    return KernelExpansion(support, coefficients, intercept, {"gamma": jnp.asarray(GAMMA, dtype)}, "rbf")


def exact_directions(stage, v):
    """Return the rows of the Jacobian as unit vectors, computed with 50 digits and without underflow."""
    with localcontext() as context:
        context.prec = 50
        number = lambda array: [[Decimal(float(value)) for value in row] for row in np.atleast_2d(array)]  # noqa: E731
        gamma, support, coefficients = number(stage.parameters["gamma"])[0][0], *map(number, stage_arrays(stage))
        differences = [[s - x for s, x in zip(vector, number(v)[0], strict=True)] for vector in support]
        kernels = [(-gamma * sum(d * d for d in row)).exp() for row in differences]
        rows = [
            [sum(c * k * d[j] for c, k, d in zip(row, kernels, differences, strict=True)) for j in range(len(v))]
            for row in coefficients
        ]
        return np.array([[float(value / sum(x * x for x in row).sqrt()) for value in row] for row in rows])


def stage_arrays(stage):
    return stage.support, stage.coefficients


def directions(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def largest_exponent(stage, v):
    differences = np.float64(stage.support) - np.float64(v)
    return max(-float(stage.parameters["gamma"]) * np.sum(differences**2, axis=1))


def close(result, expected, dtype, digits):
    np.testing.assert_allclose(result, expected, rtol=0, atol=digits[dtype] * np.abs(expected).max())


def test_without_underflow_it_is_the_derivative_divided_by_the_largest_exponential(expansion, dtype):
    v = jnp.array([0.3, -0.2, 0.9], dtype)
    result = jacobian(relative_kernels(expansion), v)
    expected = jacobian(expansion, v) * np.exp(-largest_exponent(expansion, v))
    close(result, expected, dtype, {"float32": 1e-5, "float64": 1e-13})


@pytest.mark.parametrize("distance", [10, 40, 1000])
def test_far_from_the_support_vectors_it_keeps_the_direction(expansion, dtype, distance):
    v = jnp.array([0.6, -0.8, 0.1], dtype) * distance
    assert not jacobian(expansion, v).any() or distance == 10
    result = jax.jit(lambda stage, v: jacobian(stage, v))(relative_kernels(expansion), v)
    # The exponents, from which the largest is subtracted, have magnitude gamma distance^2.
    digits = {name: 10 * GAMMA * distance**2 * float(np.finfo(name).eps) for name in ("float32", "float64")}
    close(directions(result), exact_directions(expansion, v), dtype, digits)
    assert np.isfinite(result).all()


def test_the_value_and_autodiff_do_not_change(expansion, dtype):
    relative, v = relative_kernels(expansion), jnp.array([1.3, -0.2, 0.9], dtype)
    np.testing.assert_array_equal(relative(v), expansion(v))
    np.testing.assert_array_equal(relative.forward(v)[0], expansion(v))
    for backend in ("reverse", "forward", "finite_difference"):
        result, expected = (jacobian(stage, v, backend=backend) for stage in (relative, expansion))
        np.testing.assert_array_equal(result, expected)


def test_each_svm_is_scaled_by_its_nearest_support_vector(dtype):
    support = jnp.array([[0.0, 0.0], [30.0, 0.0], [60.0, 1.0]], dtype)
    coefficients = jnp.array([[1.0, 0, 0], [0, -2.0, 0], [0, 0, 3.0], [0, 0, 0]], dtype)
    gamma = {"gamma": jnp.asarray(1.0, dtype)}
    stage = relative_kernels(KernelExpansion(support, coefficients, jnp.zeros(4, dtype), gamma, "rbf"))
    result = jacobian(stage, jnp.array([1.0, 1.0], dtype))
    np.testing.assert_allclose(result, [[-2, -2], [-116, 4], [354, 0], [0, 0]], rtol=1e-6)


def test_at_a_support_vector_the_scale_comes_from_the_others(dtype):
    support = jnp.array([[0.0, 0.0], [30.0, 40.0]], dtype)
    gamma = {"gamma": jnp.asarray(1.0, dtype)}
    plain = KernelExpansion(support, jnp.ones((1, 2), dtype), jnp.zeros(1, dtype), gamma, "rbf")
    assert not jacobian(plain, support[0]).any()
    np.testing.assert_allclose(jacobian(relative_kernels(plain), support[0]), [[60, 80]], rtol=1e-6)


def test_it_is_finite_where_the_exponents_overflow(expansion, dtype):
    result = jacobian(relative_kernels(expansion), jnp.full(3, 1e30 if dtype == "float32" else 1e200, dtype))
    assert np.isfinite(result).all()


def test_through_scaling_margins_and_classifiers(expansion, dtype):
    scaling = Scaling(jnp.array([1.0, 2.0, -0.5], dtype), jnp.array([0.1, 0.0, 3.0], dtype))
    x = jnp.array([20.0, 10.0, -40.0], dtype)
    pairs = Chain((scaling, expansion))
    signs = np.array([[1, 1, 0], [-1, 0, 1], [0, -1, -1]])
    one = KernelExpansion(
        expansion.support,
        jnp.asarray(signs @ np.asarray(expansion.coefficients)),
        expansion.intercept,
        expansion.parameters,
        "rbf",
    )
    v = scaling(x)
    expected = directions(exact_directions(one, v) * np.asarray(scaling.scale))
    digits = {"float32": 0.02, "float64": 1e-10}
    for stage in (Chain((pairs, PairwiseMargins(3))), SVMClassifier(pairs, 3), Classifier(SVMClassifier(pairs, 3))):
        assert not jacobian(stage, x).any()
        assert has_exponential_kernel(stage)
        relative = relative_kernels(stage)
        close(directions(jacobian(relative, x)), expected, dtype, digits)
        value, saved = jax.jit(lambda stage, x: stage.forward(x))(relative, x)
        np.testing.assert_allclose(value, stage(x), rtol=1e-5)
        pulled = relative.pull_back(saved, jnp.array([[0, 2.0, 0], [0, 0, 1.0]], dtype))
        close(directions(pulled), expected[1:], dtype, digits)


def expansion_in(kernel, **parameters):
    return KernelExpansion(np.ones((2, 3)), np.ones((1, 2)), np.zeros(1), parameters, kernel)


RBF, LINEAR = expansion_in("rbf", gamma=np.ones(())), expansion_in("linear")


def test_stages_without_an_exponential_kernel_do_not_change():
    stage = Chain((Scaling(np.ones(3), np.zeros(3)), Parallel((LINEAR, expansion_in("poly")))))
    assert relative_kernels(stage) == stage
    assert not has_exponential_kernel(stage)


@pytest.mark.parametrize("distance", [1, 200])
def test_at_one_scale_derivatives_sum_to_the_relative_derivative_of_the_sum(expansion, distance, x64):
    expansion = jax.tree.map(lambda leaf: leaf.astype("float64"), expansion)
    inner, outer = (Scaling(scale * jnp.ones(3), jnp.ones(3)) for scale in (2.0, -0.5))
    stage = relative_kernels(Chain((inner, Chain((expansion, outer)))))
    saved = stage.forward(distance * jnp.array([0.6, -0.8, 0.1]))[1]
    rows = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)))
    whole = jnp.sum(rows, axis=0, keepdims=True)
    plain, shared, pulled = rescaled_for(stage, saved, whole)
    assert relative_error(pulled, stage.pull_back(saved, whole)) < 1e-13
    assert relative_error(jnp.sum(plain.pull_back(shared, rows), axis=0), pulled[0]) < 1e-12
    cancelling = jnp.concatenate([rows[:1], -rows[:1]])
    plain, shared, pulled = rescaled_for(stage, saved, jnp.sum(cancelling, axis=0, keepdims=True))
    assert not pulled.any()
    assert (
        relative_error(*map(directions, (plain.pull_back(shared, rows[:1]), stage.pull_back(saved, rows[:1])))) < 1e-12
    )


def test_stages_with_several_scales_are_rejected():
    with pytest.raises(InputError, match="needs a single expansion in an exponential kernel, but there are 2"):
        relative_kernels(Parallel((RBF, RBF)))
    with pytest.raises(InputError, match="needs a single expansion in an exponential kernel, but there are 2"):
        relative_kernels(Chain((RBF, expansion_in("rbf", gamma=np.ones(())))))
    for inside in (RBF, Chain((Scaling(np.ones(3), np.zeros(3)), RBF))):
        stage = Classifier(Chain((Parallel((LINEAR, inside)), Scaling(np.ones(2), np.zeros(2)))))
        assert has_exponential_kernel(stage)
        with pytest.raises(InputError, match="exponential kernel without stages parallel to it"):
            relative_kernels(stage)


def test_parallel_stages_before_the_exponential_kernel_are_allowed():
    stage = Chain((Parallel((LINEAR, LINEAR, LINEAR)), RBF))
    assert relative_kernels(stage).stages[1].relative
    assert relative_kernels(stage).stages[0] == stage.stages[0]


def test_the_voter_of_a_classifier_does_not_become_relative():
    result = relative_kernels(Chain((Scaling(np.ones(3), np.zeros(3)), Classifier(RBF, "sign", RBF))))
    assert result.stages[1].scores.relative
    assert not result.stages[1].voter.relative


def test_only_exponential_kernels_can_be_relative():
    stage = KernelExpansion(np.ones((2, 3)), np.ones((1, 2)), np.zeros(1), {}, "linear", relative=True)
    with pytest.raises(InputError, match="needs an exponential kernel, such as rbf; got 'linear'"):
        stage.forward(jnp.ones(3))
