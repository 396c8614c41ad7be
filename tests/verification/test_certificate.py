"""The certificate passes correct formulas, fails formulas that are wrong by 1e-10, and is plain data."""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import case
from support.marks import more

import pcacam_jax
from pcacam_jax import Dense, Flatten, InputError, KernelExpansion, hybrid_head, jacobian, stages
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.stages import ACTIVATIONS, KERNELS
from pcacam_jax.verification.cases import Draw, default_cases, table2_cases
from pcacam_jax.verification.certificate import DTYPES, REFERENCE_METHODS, Certificate, Comparison, first_of
from pcacam_jax.verification.comparisons import without_ties

certify = functools.partial(pcacam_jax.certify, curvature=False)
verify = functools.partial(pcacam_jax.verify, curvature=False)


@pytest.fixture
def draw():
    return Draw(np.random.default_rng(3))


@pytest.fixture
def scaled_slope(monkeypatch):
    """Multiply the sigmoid's closed-form derivative by a factor."""

    def scale(factor):
        wrong = ACTIVATIONS["sigmoid"]._replace(derivative=lambda u: stages.activation.sigmoid_derivative(u) * factor)
        monkeypatch.setitem(ACTIVATIONS, "sigmoid", wrong)

    return scale


def test_a_small_head_is_certified(draw):
    head = draw.head((3, 3, 4), (6, 5, 4), "sigmoid", support=7)
    certificate = verify(head, draw.maps(3, 3, 4), name="head")
    assert certificate.passed
    rows = [(row.name, row.dtype, row.witness) for row in certificate.comparisons]
    outputs = ("cnn", "pca", "svm_linear", "svm_rbf")
    assert sorted(rows) == sorted(
        itertools.product([f"head: {output}" for output in outputs], DTYPES, REFERENCE_METHODS)
    )
    assert 0 < certificate.max_relative_error("float64") < 1e-12 < certificate.max_relative_error("float32") < 1e-5


def test_a_wrong_formula_fails(draw, scaled_slope):
    layer, x = pcacam_jax.Dense(*draw.layers(6, 4)[0], "sigmoid"), draw.normal(6)
    assert verify(layer, x).passed
    scaled_slope(1.001)
    certificate = verify(layer, x)
    assert not any(row.passed for row in certificate.comparisons)
    assert certificate.max_relative_error("float64") == pytest.approx(1e-3, rel=1e-3)


def test_a_factor_of_1e_10_fails_in_float64(draw, scaled_slope):
    scaled_slope(1 + 1e-10)
    certificate = verify(pcacam_jax.Dense(*draw.layers(6, 4)[0], "sigmoid"), draw.normal(6))
    failed = {(row.dtype, row.witness) for row in certificate.comparisons if not row.passed}
    assert failed == {("float64", "reverse"), ("float64", "forward")}


def test_a_wrong_kernel_gradient_fails(draw, monkeypatch):
    linear = KERNELS["linear"]
    monkeypatch.setitem(KERNELS, "linear", linear._replace(gradient=lambda s, v: s.at[0].multiply(-1)))
    assert not verify(draw.expansion(3, 1, 5, "linear"), draw.normal(3)).passed


def test_a_jacobian_of_another_shape_fails(draw, monkeypatch):
    monkeypatch.setattr(pcacam_jax.Affine, "jacobian", lambda self, saved: self.matrix[:1])
    one = draw.pca(4, 1)
    assert verify(one, draw.normal(4)).passed
    equal_rows = pcacam_jax.Affine(np.ones((3, 4)), np.zeros(4), np.zeros(3))
    assert not verify(equal_rows, draw.normal(4)).passed


def test_relative_error_of_incomparable_arrays():
    assert relative_error(np.ones(2), np.ones((2, 2))) == np.inf
    assert np.isnan(relative_error(np.array([np.inf]), np.array([np.inf])))
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.ones(1), np.zeros(1)) > 1e300


def test_nan_and_empty_certificates_do_not_pass(draw):
    broken = verify(pcacam_jax.Scaling(np.full(3, np.nan), np.zeros(3)), draw.normal(3))
    assert not any(row.passed for row in broken.comparisons)
    assert np.isnan(broken.max_relative_error("float32"))
    assert not Certificate(()).passed
    assert np.isnan(Certificate(()).max_relative_error("float32"))
    assert not certify([]).passed
    assert Comparison("a", "float32", "reverse", 1e-5, 1e-5).passed


def test_a_certificate_is_plain_data(draw):
    certificate = verify(pcacam_jax.Elementwise("tanh", 3), draw.normal(3), name="tanh")
    result = json.loads(json.dumps(certificate.as_dict(), allow_nan=False))
    assert result["passed"] is True
    assert set(result) == {"passed", "float32", "float64", "failures", "comparisons"}
    assert result["float64"]["max_relative_error"] == certificate.max_relative_error("float64")
    assert len(result["comparisons"]) == len(DTYPES) * len(REFERENCE_METHODS)
    fields = {"name", "dtype", "witness", "error", "tolerance", "directions", "left_out", "passed"}
    assert set(result["comparisons"][0]) == fields


def test_dtypes_and_reference_methods_can_be_chosen(draw):
    certificate = verify(pcacam_jax.Elementwise("relu", 3), draw.normal(3), dtypes=["float32"], witnesses=["forward"])
    assert [(row.dtype, row.witness) for row in certificate.comparisons] == [("float32", "forward")]
    assert set(certificate.as_dict()) == {"passed", "float32", "failures", "comparisons"}


@pytest.mark.parametrize("outside", [False, True])
def test_precision_is_restored(draw, outside):
    with jax.enable_x64(outside):
        verify(pcacam_jax.Elementwise("relu", 3), draw.normal(3))
        assert jnp.zeros(1, float).dtype == ("float64" if outside else "float32")
        with pytest.raises(pcacam_jax.InputError, match="x must have shape"):
            verify(pcacam_jax.Elementwise("relu", 3), draw.normal(4))
        assert jnp.zeros(1, float).dtype == ("float64" if outside else "float32")


def test_progress_names_every_case():
    seen = []
    some = [(name, *case(name, "float32")) for name in ("flatten", "PCA")]
    assert certify(some, dtypes=["float32"], progress=seen.append).passed
    assert seen == ["flatten", "PCA"]


def test_default_cases_are_complete():
    stages_by_name = {name: (stage, x) for name, stage, x in default_cases()}
    for activation in ACTIVATIONS:
        assert {f"activation {activation}", f"dense, {activation}"} <= set(stages_by_name)
    for kernel in KERNELS:
        assert {f"SVM {kernel}, {form}" for form in ("binary", "pairs", "margins", "ovr", "one-vs-one")} <= set(
            stages_by_name
        )
    assert {"flatten, channels first", "activation leaky_relu:0.2", "activation elu:0.5"} <= set(stages_by_name)
    table2 = [name for name in stages_by_name if name.startswith("Table 2")]
    assert sorted(table2) == sorted(
        f"Table 2: {target}, {activation}"
        for target in ("PCA", "SVM linear", "SVM rbf")
        for activation in ("sigmoid", "relu")
    )
    for activation in ("sigmoid", "relu"):
        head, maps = stages_by_name[f"full-size head, {activation}"]
        assert head.in_shape == maps.shape == (7, 7, 512)
        assert [len(names) for names in head.outputs.values()] == [10, 3, 10, 10]
        assert {stage.activation for stage in head.dense.stages} == {activation}


def test_the_six_closed_forms_are_certified(draw):
    certificate = certify(table2_cases(draw), dtypes=["float64"])
    assert certificate.passed
    assert len(certificate.comparisons) == 6 * len(REFERENCE_METHODS)


def test_a_full_size_head_is_certified(draw):
    head = draw.head((7, 7, 512), (40, 30, 20, 10), "sigmoid", support=300)
    certificate = verify(head, draw.maps(7, 7, 512), witnesses=["reverse", "forward"])
    assert certificate.passed
    assert len(certificate.comparisons) == 4 * 2 * 2


@pytest.mark.parametrize("shape", [more((4, 6, 3)), (5, 7, 2)])
def test_without_ties_every_pooled_window_has_one_maximum(shape):
    maps = np.maximum(np.random.default_rng(0).normal(size=shape), 0).astype(np.float32)
    maps[:2, :2] = 0
    sizes = ((shape[0] // 2) * (shape[1] // 2) * shape[2], 4, 3)
    draw = Draw(np.random.default_rng(1))
    head = hybrid_head(draw.layers(*sizes), maps_shape=shape, pool=True, at=1)
    point = np.asarray(without_ties(head, maps))
    for i, j, k in np.ndindex(shape[0] // 2, shape[1] // 2, shape[2]):
        window = np.sort(point[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, k].ravel())
        assert window[-1] - window[-2] > 0.9e-3 * max(1, maps.max())
    assert np.abs(point - maps).max() < 1.1e-3 * max(1, maps.max())
    assert verify(head, maps).passed


def test_a_tiny_jacobian_with_a_large_value_passes(x64):
    far = KernelExpansion(np.zeros((1, 2)), np.ones((1, 1)), np.full(1, 3.0), {"gamma": np.float64(1)}, "rbf")
    assert verify(far, np.array([4.9, 0.0]), dtypes=["float64"]).passed
    assert np.abs(jacobian(far, np.array([4.9, 0.0]))).max() > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda stage, x: verify(np.sin, x), "expected a stage or a head to verify"),
        (lambda stage, x: verify(type(stage), x), "expected a stage or a head to verify"),
        (lambda stage, x: verify(stage, x, dtypes=["float16"]), "must be one of float32, float64; got 'float16'"),
        (lambda stage, x: verify(stage, x, witnesses=["jvp"]), "must be one of reverse, forward, finite_difference"),
        (lambda stage, x: verify(stage, x[:1]), r"x must have shape \(2,\); got \(1,\)"),
        (lambda stage, x: verify(stage, x * np.nan), "x must be finite"),
        (lambda stage, x: verify(stage, x * 1e300), "x in float32 must be finite"),
        (lambda stage, x: verify(stage, x, dtypes=None), "dtypes must be some of float32, float64; got None"),
        (
            lambda stage, x: verify(Dense(1j * np.eye(2), np.zeros(2)), x),
            "arrays of real numbers; got ndarray of complex",
        ),
        (lambda stage, x: verify(Dense(np.full((2, 2), "a"), np.zeros(2)), x), "arrays of real numbers"),
        (lambda stage, x: jax.jit(lambda x: verify(stage, x).passed)(x), "call this function outside jit"),
        (lambda stage, x: verify(Flatten((0, 2, 2)), np.ones((0, 2, 2))), "at least one entry"),
        (lambda stage, x: certify([("a", stage)]), r"each case must be a tuple \(name, stage, x\)"),
        (lambda stage, x: certify(3), "cases must be tuples"),
    ],
)
def test_invalid_calls_raise(call, message):
    with pytest.raises((InputError, TypeError), match=message):
        call(Dense(np.eye(2), np.zeros(2), "relu"), np.ones(2))


def test_a_wrong_gradient_of_a_constant_fails_against_differences(monkeypatch):
    monkeypatch.setitem(KERNELS, "rbf", KERNELS["rbf"]._replace(gradient=lambda s, v, gamma: 1e-3 * (s - s + 1)))
    constant = KernelExpansion(np.zeros((1, 2)), np.ones((1, 1)), np.full(1, 3.0), {"gamma": np.float64(1)}, "rbf")
    rows = verify(constant, np.array([100.0, 0.0])).comparisons
    assert [row.witness for row in rows if row.passed] == []


def test_dtypes_and_reference_methods_may_come_from_generators():
    stage, x = case("PCA", "float32")
    both = verify(stage, x, dtypes=(name for name in ("float32", "float64")), witnesses=(w for w in ("reverse",)))
    assert [(row.dtype, row.witness) for row in both.comparisons] == [("float32", "reverse"), ("float64", "reverse")]
    several = certify([("first", stage, x), ("second", stage, x)], dtypes=(name for name in ("float32",)))
    assert {row.name for row in several.comparisons} == {"first", "second"}


def test_a_failure_names_output_dtype_reference_error_and_tolerance():
    whole = Comparison("head: pca", "float32", "reverse", 3e-4, 2e-5)
    assert whole.sentence() == (
        "head: pca in float32 against reverse mode: relative error 3.0e-04 exceeds the tolerance 2.0e-05"
    )
    along = Comparison("layer", "float64", "finite_difference", 1e-9, 1e-6, 192)
    assert along.sentence().endswith(
        "central differences along 192 directions: relative error 1.0e-09 is within the tolerance 1.0e-06"
    )
    kinks = Comparison("layer", "float64", "finite_difference", np.nan, 1e-6, 0, 5)
    assert kinks.sentence().endswith("none of 5 directions is free of kinks; choose another point")
    assert Comparison("layer", "float64", "forward", np.nan, 1e-6).sentence().endswith("a derivative is not finite")
    certificate = Certificate((whole, along, kinks))
    assert certificate.failures() == certificate.as_dict()["failures"] == [whole.sentence(), kinks.sentence()]
    assert first_of(["a"]) == "a"
    assert first_of(["a", "b", "c"]) == "a, and 2 others"


@jax.tree_util.register_static
class Doubling:
    """A user's stage whose closed form is given."""

    in_shape = (2,)

    def __init__(self, result):
        self.result = result

    def __call__(self, x):
        return 2 * x

    def forward(self, x):
        return 2 * x, None

    def pull_back(self, saved, rows):
        return 2 * rows

    def jacobian(self, saved):
        return self.result


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (2,), (), (0, 2), (2, 2, 2)])
def test_a_closed_form_of_any_wrong_shape_fails(shape):
    certificate = verify(Doubling(jnp.full(shape, 2.0)), np.ones(2), dtypes=["float64"])
    assert not any(row.passed for row in certificate.comparisons)


def test_closed_forms_that_are_no_arrays_are_rejected():
    assert verify(Doubling(2 * np.eye(2)), np.ones(2)).passed
    with pytest.raises(TypeError, match="must return an array; got NoneType"):
        verify(Doubling(None), np.ones(2))


def test_other_settings_of_jax_change_nothing(draw):
    layer, x = Dense(*draw.layers(3, 2)[0], "relu"), draw.normal(3)
    expected = verify(layer, x).as_dict()
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.enable_x64(True):
        assert verify(layer, x).as_dict() == expected
    with jax.debug_nans(True), jax.checking_leaks():
        assert verify(layer, x).as_dict() == expected
    big_endian = Dense(np.asarray(layer.kernel, ">f4"), np.asarray(layer.bias, ">f8"), "relu")
    assert verify(big_endian, x.astype(">f8")).as_dict() == expected
