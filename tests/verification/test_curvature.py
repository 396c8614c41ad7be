"""The rows of a certificate about second derivatives pass correct formulas and fail wrong ones."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import case

import pcacam_jax
from pcacam_jax import Dense, Elementwise, certify, verify
from pcacam_jax.cli.tables import certificate_tables
from pcacam_jax.stages import ACTIVATIONS, KERNELS, relative_kernels
from pcacam_jax.stages.activation_curves import tanh_curves
from pcacam_jax.stages.kernel import rbf_curvature
from pcacam_jax.verification.cases import Draw
from pcacam_jax.verification.comparisons import CURVATURE_METHODS, DTYPES

X = np.array([0.3, -0.8, 1.1])


@pytest.fixture
def draw():
    return Draw(np.random.default_rng(3))


def failed(certificate):
    return {(row.dtype, row.witness) for row in certificate.curvature if not row.passed}


def test_rows_of_a_stage():
    certificate = verify(Elementwise("tanh", 3), X, name="tanh")
    assert certificate.passed
    rows = [(row.name, row.dtype, row.witness) for row in certificate.curvature]
    assert rows == [("tanh: second derivative", dtype, method) for dtype in DTYPES for method in CURVATURE_METHODS]
    assert certificate.rows == certificate.comparisons + certificate.curvature
    against = "against central differences of the Jacobian along 3 directions: relative error"
    assert certificate.curvature[3].sentence().startswith(f"tanh: second derivative in float64 {against}")
    content = json.loads(json.dumps(certificate.as_dict(), allow_nan=False))
    assert len(content["comparisons"]) == 6
    assert [row["passed"] for row in content["curvature"]] == [True] * 4
    assert set(content["curvature"][0]) == set(content["comparisons"][0])
    titles = [table.title for table in certificate_tables(certificate)]
    assert titles == ["relative error of the closed form against", "relative error of second derivatives against"]


def test_a_wrong_second_derivative_fails_against_both_references(monkeypatch):
    def scale(factor):
        curves = lambda u: tuple(factor * value for value in tanh_curves(u))  # noqa: E731
        monkeypatch.setitem(ACTIVATIONS, "tanh", ACTIVATIONS["tanh"]._replace(curves=curves))
        return verify(Elementwise("tanh", 3), X, witnesses=["reverse"])

    certificate = scale(1.001)
    assert failed(certificate) == {(dtype, method) for dtype in DTYPES for method in CURVATURE_METHODS}
    assert all(row.passed for row in certificate.comparisons)
    assert not certificate.passed
    assert len(certificate.failures()) == 4
    assert certificate.max_relative_error("float64") < 1e-12
    assert failed(scale(1 + 1e-8)) == {("float64", "forward_over_reverse")}


def test_a_head_is_compared_in_u(draw, monkeypatch):
    head, maps = draw.head((3, 3, 4), (6, 5, 4), "sigmoid", support=7, pool=True), draw.maps(3, 3, 4)
    certificate = verify(head, maps, name="head", witnesses=["reverse"])
    assert certificate.passed, certificate.failures()
    names = [f"head: {output}: second derivative in u" for output in ("cnn", "pca", "svm_linear", "svm_rbf")]
    assert [row.name for row in certificate.curvature] == [name for _ in DTYPES for name in names for _ in range(2)]
    assert {row.directions for row in certificate.curvature} == {6}
    wrong = KERNELS["rbf"]._replace(curvature=lambda s, v, tangent, gamma: -rbf_curvature(s, v, tangent, gamma))
    monkeypatch.setitem(KERNELS, "rbf", wrong)
    certificate = verify(head, maps, name="head", witnesses=["reverse"], dtypes=["float64"])
    assert {row.name for row in certificate.curvature if not row.passed} == {names[-1]}


@jax.tree_util.register_static
class Squares:
    """A user's stage, whose second derivative is given."""

    in_shape = (2,)

    def __init__(self, curvature):
        self.result = curvature

    def __call__(self, x):
        return x * x

    def forward(self, x):
        return x * x, 2 * x

    def pull_back(self, saved, rows):
        return rows * saved[None]

    def jacobian(self, saved):
        return jnp.diag(saved)

    def curvature(self, x, tangent, rows):
        return self.result(rows * tangent[None])

    def taylor(self, x, series):
        first, second, third = series
        return jnp.stack([2 * x * first, 2 * first * first + 2 * x * second, 6 * first * second + 2 * x * third])


@pytest.mark.parametrize("factor", [2, 0, -2])
def test_the_second_derivative_of_a_user_is_compared(factor):
    certificate = verify(Squares(lambda rows: factor * rows), np.ones(2), witnesses=["reverse"])
    assert len(failed(certificate)) == (0 if factor == 2 else 4)


@pytest.mark.parametrize("wrong", [lambda rows: rows[0], lambda rows: 2 * rows[:, :1], lambda rows: None])
def test_second_derivatives_of_any_wrong_shape_fail(wrong):
    certificate = verify(Squares(wrong), np.ones(2), dtypes=["float64"], witnesses=["reverse"])
    assert len(failed(certificate)) == 2


def test_stages_without_second_derivatives_have_no_rows(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "tanh", ACTIVATIONS["tanh"]._replace(curves=None))
    certificate = verify(Dense(np.eye(2), np.zeros(2), "tanh"), np.ones(2), witnesses=["reverse"])
    assert certificate.passed
    assert certificate.curvature == ()
    assert "curvature" not in certificate.as_dict()
    relative = relative_kernels(case("SVM rbf, binary", "float32")[0])
    assert verify(relative, np.ones(3), witnesses=["reverse"]).curvature == ()


def test_second_derivatives_may_be_left_out():
    one = [("relu", Elementwise("relu", 2), np.array([0.5, -1.0]))]
    assert certify(one, dtypes=["float32"], curvature=False).curvature == ()
    (first, second) = certify(one, dtypes=["float32"]).curvature
    assert first.error == second.error == 0
    with pytest.raises(TypeError, match="curvature must be True or False; got 1"):
        pcacam_jax.verify(one[0][1], one[0][2], curvature=1)  # pyright: ignore[reportArgumentType]
