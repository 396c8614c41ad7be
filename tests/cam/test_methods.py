"""Every CAM method against NumPy loops, and the identities between methods, in float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import cam_oracle, cases
from support.marks import more
from support.oracle import Oracle
from support.small_head import SMALL, small_dense, small_head

from pcacam_jax import InputError, explain, hybrid_head
from pcacam_jax.cam import example as example_module
from pcacam_jax.cam.compute import signed_map
from pcacam_jax.cam.eigen import first_projection
from pcacam_jax.cam.example import Example
from pcacam_jax.cam.lift import lift_contributions
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.cam.relevance import relevance
from pcacam_jax.core.numerics import relative_error
from pcacam_jax.head.targets import Selection

TARGETS = ["pca:1", "svm_rbf:cat", "svm_linear:ant", "cnn:predicted"]
TOLERANCE = 1e-10


@pytest.fixture(autouse=True)
def _in_float64(x64):
    return x64


@functools.cache
def head():
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), cases.network().head)


MAPS = cases.network().maps[:2]


@functools.cache
def oracle():
    network = cases.network()
    return Oracle(network.dense, network.pca, network.svms, 2, "sigmoid")


@functools.cache
def explained(name):
    with jax.enable_x64(True):
        return jax.tree.map(lambda x: x, explain(head(), MAPS, TARGETS, method=name))


@functools.cache
def gradient(b, t):
    return oracle().gradient(_name(b, t), MAPS[b])


def _name(b, t):
    """The target with a fixed class, also at other maps."""
    name, index = oracle().resolve(TARGETS[t], MAPS[b])
    return f"{name}:{index}" if TARGETS[t].endswith("predicted") else TARGETS[t]


def value(b, t):
    return lambda maps: oracle().value(_name(b, t), maps)


GRADIENT = {
    "gradcam": cam_oracle.grad_cam,
    "xgradcam": cam_oracle.xgrad_cam,
    "hirescam": cam_oracle.hires_cam,
    "layercam": cam_oracle.layer_cam,
    "gradcam++": cam_oracle.grad_cam_plus_plus,
    "gradcam++authors": cam_oracle.grad_cam_plus_plus_authors,
    "eigengradcam": cam_oracle.eigen_grad_cam,
}
PAIRS = [(b, t) for b in range(len(MAPS)) for t in range(len(TARGETS))]


def check(name, expected):
    """Compare both signs with the loops; ``expected(b, t, sign)`` is L of ``sign * y``."""
    result = explained(name)
    for b, t in PAIRS:
        raises, lowers = (np.maximum(expected(b, t, sign), 0) for sign in (1, -1))
        size = max(np.linalg.norm(raises), np.linalg.norm(lowers))
        assert size > 1e-4, "the compared maps must not be small"
        assert np.linalg.norm(result.positive[b, t] - raises) <= TOLERANCE * size
        assert np.linalg.norm(result.negative[b, t] - lowers) <= TOLERANCE * size


@pytest.mark.parametrize("name", GRADIENT)
def test_methods_of_the_gradient_equal_loops(name):
    check(name, lambda b, t, sign: GRADIENT[name](sign * gradient(b, t), MAPS[b]))


@pytest.mark.parametrize(("name", "weight"), [("gradcam++", 1.0), ("gradcam++authors", 1.8)])
def test_grad_cam_plus_plus_where_its_denominator_is_zero(name, weight):
    """With S = -1, alpha is 1 where g = 1. Where g = 2 it is 0 in the usual form, and g^2 before the division."""
    g = np.array([[[2.0], [1.0]]])
    plain = hybrid_head([(g.reshape(2, 1), np.zeros(1))], maps_shape=(1, 2, 1))
    maps = np.array([[[[-0.75], [-0.25]]]])
    assert explain(plain, maps, "cnn:0", method=name).weights[0, 0].tolist() == [pytest.approx(weight, rel=1e-12)]
    assert GRADIENT[name](g, maps[0])[0, 0] == pytest.approx(weight * -0.75, rel=1e-12)


def test_a_scaled_target_is_the_target_divided_by_the_scale():
    """The map is multiplied by the scale again, so that it stays in the unit of the target."""
    dense = small_dense()
    divided = [*dense[:-1], tuple(each / 100 for each in dense[-1])]
    small = hybrid_head(divided, maps_shape=(2, 3, 4), at=1, activation="tanh")
    result = explain(small_head(), SMALL, "cnn", method=cam_method("gradcam++", target_scale=100))
    expected = explain(small, SMALL, "cnn", method="gradcam++")
    assert relative_error(result.signed, 100 * expected.signed) < 1e-12
    assert relative_error(result.signed, explain(small_head(), SMALL, "cnn", method="gradcam++").signed) > 1e-3


@pytest.mark.parametrize("name", ["hirescam", "layercam"])
def test_the_signed_map_of_one_example_is_that_of_explain(name):
    result, outputs = explained(name), tuple(target.partition(":")[0] for target in TARGETS)
    example = Example(head(), jnp.asarray(MAPS[1]), Selection(result.columns[1], outputs))
    assert relative_error(signed_map(example, METHODS[name], jax.random.key(0)), result.signed[1]) < 1e-12


def test_ablation_cam_equals_loops():
    check("ablationcam", lambda b, t, sign: sign * cam_oracle.ablation_cam(value(b, t), MAPS[b]))


def test_eigen_cam_is_the_projection_on_the_first_right_singular_vector():
    result = explained("eigencam")
    for b, t in PAIRS:
        assert relative_error(result.signed[b, t], cam_oracle.eigen_cam(MAPS[b])) < TOLERANCE
    assert not METHODS["eigencam"].evidence


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 7)])
def test_the_first_projection_of_many_and_of_few_cells(shape):
    maps = np.random.default_rng(0).normal(size=shape)
    assert relative_error(first_projection(jnp.asarray(maps), maps.sum(-1)), cam_oracle.eigen_cam(maps)) < TOLERANCE


# --- CAM and a head with a global average -----------------------------------------------------------------------------


@functools.cache
def averaged_head():
    rng = np.random.default_rng(6)
    layers = [(rng.normal(size=(4, 3)), rng.normal(size=3))]
    with jax.enable_x64(True):
        return hybrid_head(layers, maps_shape=(2, 3, 4), at=0, pool="average"), layers[0][0]


def test_cam_is_the_sum_of_maps_with_the_weights_of_the_last_layer():
    head, kernel = averaged_head()
    result = explain(head, SMALL, "cnn", method="cam")
    grad = explain(head, SMALL, "cnn", method="gradcam")
    exact = explain(head, SMALL, "cnn", method="hirescam")
    for b, t in np.ndindex(2, 3):
        assert relative_error(result.signed[b, t], cam_oracle.weighted(kernel[:, t], SMALL[b])) < TOLERANCE
    assert relative_error(result.signed, 6 * grad.signed) < 1e-12, "CAM = h w Grad-CAM"
    assert relative_error(grad.signed, exact.signed) < 1e-12, "Grad-CAM = HiResCAM behind a global average"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (small_head, "needs a head that begins with a global average"),
        (
            lambda: hybrid_head(
                [(np.ones((4, 3)), np.zeros(3)), (np.ones((3, 2)), np.zeros(2))],
                maps_shape=(2, 3, 4),
                pool="average",
                at=1,
            ),
            "needs a target that is an affine function of the means of the maps; cnn:0 is not",
        ),
    ],
)
def test_cam_is_rejected_where_it_is_undefined(make, sentence):
    with pytest.raises(InputError, match=sentence):
        explain(make(), SMALL, "cnn", method="cam")


# --- identities -------------------------------------------------------------------------------------------------------


@functools.cache
def affine_head():
    rng = np.random.default_rng(7)
    with jax.enable_x64(True):
        return hybrid_head([(rng.normal(size=(24, 3)), rng.normal(size=3))], maps_shape=(2, 3, 4), at=0)


def test_identities_of_an_affine_head():
    head = affine_head()
    bias = np.asarray(head(jnp.zeros((2, 3, 4)))["cnn"])
    exact = explain(head, SMALL, "cnn", method="hirescam")
    dropped = explain(head, SMALL, "cnn", method="ablationcam")
    shap = explain(head, SMALL, "cnn", method="shapcam")
    assert relative_error(exact.signed.sum(axis=(2, 3)), exact.values - bias) < TOLERANCE
    assert relative_error(dropped.weights.sum(axis=2), exact.values - bias) < TOLERANCE
    assert relative_error(shap.position_values, exact.signed) < TOLERANCE, "a position adds the same in every order"


LINEAR = {"gradcam", "cam", "xgradcam", "hirescam"}, {"scorecam", "ablationcam", "shapleycam", "liftcam"}


@pytest.mark.parametrize("name", ["hirescam", "ablationcam", *map(more, ["xgradcam", "shapleycam", "liftcam"])])
def test_the_map_of_an_svm_is_a_mixture_of_those_of_the_components(name):
    names = ["pca", "svm_rbf:cat", "svm_linear:ant"]
    result = explain(head(), MAPS, names, method=name)
    assert set(result.mixture) == (set(names[1:]) if name in LINEAR[0] else {"svm_linear:ant"})
    for target, weights in result.mixture.items():
        mixed = np.einsum("br,brij->bij", weights, result.signed[:, :3])
        assert relative_error(mixed, result.signed[:, result.targets.index(target)]) < TOLERANCE


def test_only_linear_methods_have_a_mixture():
    for kind, names in zip(("gradient", "target"), LINEAR, strict=True):
        assert {name for name, method in METHODS.items() if method.linear == kind} == names


def test_layer_cam_divides_hires_cam_into_two_parts_for_maps_that_are_not_negative():
    parts, whole = explained("layercam"), explained("hirescam")
    assert (MAPS >= 0).all()
    assert relative_error(parts.positive - parts.negative, whole.signed) < TOLERANCE


SWAPPING = ["hirescam", "ablationcam", "liftcam", "shapleycam", "gradcam++"]
SWAPPING += map(more, sorted({*GRADIENT, "shapcam"} - set(SWAPPING)))


@pytest.mark.parametrize("name", SWAPPING)
def test_flipping_a_component_swaps_the_evidence(name):
    network, result = cases.network(), explained(name)
    pca = head().pca
    flipped = dataclasses.replace(head(), pca=dataclasses.replace(pca, matrix=-pca.matrix))
    other = explain(
        dataclasses.replace(flipped, svms={}, names=head().names[:2]), network.maps[:2], "pca:1", method=name
    )
    for b in range(2):
        assert relative_error(other.positive[b, 0], result.negative[b, 0]) < TOLERANCE
        assert relative_error(other.negative[b, 0], result.positive[b, 0]) < TOLERANCE


def test_permuting_channels_changes_nothing():
    head, order = small_head(), np.array([2, 0, 3, 1])
    first, *rest = head.dense.stages
    kernel = first.kernel.reshape(6, 4, -1)[:, order].reshape(first.kernel.shape)
    permuted = dataclasses.replace(
        head, dense=dataclasses.replace(head.dense, stages=(dataclasses.replace(first, kernel=kernel), *rest))
    )
    for name in ("gradcam++", "xgradcam", "ablationcam", "shapcam", "eigengradcam", "layercam"):
        one, other = (explain(h, m, "cnn:0", method=name) for h, m in ((head, SMALL), (permuted, SMALL[..., order])))
        assert relative_error(other.positive, one.positive) < TOLERANCE
        assert relative_error(other.negative, one.negative) < TOLERANCE


# --- methods of second and third derivatives --------------------------------------------------------------------------


@functools.cache
def curved(b, t):
    """Hessian times the maps, and second and third derivative along every cell, by nested autodiff of the values."""
    output, column = _name(b, t).partition(":")[0], int(explained("gradcam").columns[b, t])
    product, y2, y3 = (np.asarray(values)[column] for values in _curved_outputs()(jnp.asarray(MAPS[b]))[output])
    return product, y2.reshape(MAPS[b].shape), y3.reshape(MAPS[b].shape)


@functools.cache
def _curved_outputs():
    """For every entry of every output: the Hessian times the maps, second and third derivatives along the cells."""

    def derivatives(maps):
        def along(cell):
            path = lambda t: head()(maps + t * cell.reshape(maps.shape))  # noqa: E731
            second = jax.jacfwd(jax.jacfwd(path))
            return second(0.0), jax.jacfwd(second)(0.0)

        products = jax.jvp(jax.jacrev(head()), (maps,), (maps,))[1]
        y2, y3 = jax.vmap(along, out_axes=-1)(jnp.eye(maps.size))
        return {output: (products[output], y2[output], y3[output]) for output in products}

    return jax.jit(derivatives)


def test_shapley_cam_equals_loops_with_the_exact_hessian():
    check("shapleycam", lambda b, t, sign: sign * cam_oracle.shapley_cam(gradient(b, t), MAPS[b], curved(b, t)[0]))


def test_exact_grad_cam_plus_plus_equals_loops_with_true_derivatives():
    def expected(b, t, sign):
        return cam_oracle.grad_cam_plus_plus_exact(sign * gradient(b, t), MAPS[b], *curved(b, t)[1:])[0]

    check("gradcam++exact", expected)
    for b, t in PAIRS:
        share = cam_oracle.grad_cam_plus_plus_exact(gradient(b, t), MAPS[b], *curved(b, t)[1:])[1]
        assert abs(float(explained("gradcam++exact").fallback[b, t]) - share) < 1e-12


def test_piecewise_linear_targets_fall_back_and_have_no_curvature():
    rng = np.random.default_rng(8)
    dense = [(rng.normal(size=(24, 5)), rng.normal(size=5)), (rng.normal(size=(5, 3)), rng.normal(size=3))]
    relu = hybrid_head(dense, maps_shape=(2, 3, 4), at=1, activation="relu")
    exact, grad = (explain(relu, SMALL, "cnn", method=name) for name in ("gradcam++exact", "gradcam"))
    assert (np.asarray(exact.fallback) == 1).all()
    for b, t in np.ndindex(2, 3):
        g = np.asarray(jax.grad(lambda m, t=t: relu(m)["cnn"][t])(jnp.asarray(SMALL[b])))
        weights = np.maximum(g, 0).mean(axis=(0, 1))
        assert relative_error(exact.weights[b, t], weights) < TOLERANCE
    shapley = explain(relu, SMALL, "cnn", method="shapleycam")
    assert relative_error(shapley.signed, grad.signed) < 1e-12, "Shapley-CAM = Grad-CAM for a piecewise linear target"
    assert relative_error(explained("shapleycam").signed, explained("gradcam").signed) > 1e-3, "but not for sigmoids"


def test_the_weights_of_lift_cam_and_relevance_cam_are_sums_and_means_over_the_cells():
    lift, relevant = explained("liftcam"), explained("relevancecam")
    outputs = tuple(target.partition(":")[0] for target in TARGETS)
    b = 1
    selection, maps = Selection(lift.columns[b], outputs), jnp.asarray(MAPS[b])
    contributions = lift_contributions(head(), maps, selection)
    parts = [relevance(head(), maps, selection, sign) for sign in (1, -1)]
    for t in range(len(TARGETS)):
        expected = cam_oracle.weighted(np.asarray(contributions[t]).sum(axis=(0, 1)), MAPS[b])
        assert relative_error(lift.signed[b, t], expected) < TOLERANCE
        raises, lowers = (cam_oracle.weighted(np.asarray(part[t]).mean(axis=(0, 1)), MAPS[b]) for part in parts)
        assert relative_error(relevant.positive[b, t], np.maximum(raises, 0)) < TOLERANCE
        assert relative_error(relevant.negative[b, t], np.maximum(lowers, 0)) < TOLERANCE


def test_lift_cam_of_an_affine_head_is_that_of_ablations():
    lift, ablation = (explain(affine_head(), SMALL, "cnn", method=name) for name in ("liftcam", "ablationcam"))
    assert relative_error(lift.weights, ablation.weights) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("hirescam", "reverse"),
        ("shapleycam", "reverse"),
        ("shapleycam", "finite_difference"),
        ("gradcam++exact", "reverse"),
        more("gradcam++exact", "forward"),
        *(more(name, "forward") for name in ("hirescam", "shapleycam", "gradcam++", "layercam")),
        *(more(name, "finite_difference") for name in ("hirescam", "gradcam++", "layercam")),
        *(more(name, "reverse") for name in ("gradcam++", "layercam")),
    ],
)
def test_other_backends_give_the_same_maps(name, backend):
    result = explain(small_head(), SMALL, "cnn", method=name, backend=backend)
    closed = explain(small_head(), SMALL, "cnn", method=name)
    tolerance = 1e-6 if backend == "finite_difference" else TOLERANCE
    assert relative_error(result.positive, closed.positive) < tolerance
    assert relative_error(result.negative, closed.negative) < tolerance


def test_only_the_closed_form_uses_the_closed_form_of_second_derivatives(monkeypatch):
    def used(*arguments):
        raise AssertionError("the closed form is used")

    monkeypatch.setattr(example_module, "hessian_product", used)
    selection, direction = Selection(np.array([0, 1]), ("cnn", "cnn")), jnp.ones(SMALL[0].shape)
    for backend in ("reverse", "forward", "finite_difference"):
        assert Example(small_head(), jnp.asarray(SMALL[0]), selection, backend).hessian_product(direction).any()
    with pytest.raises(AssertionError, match="the closed form is used"):
        Example(small_head(), jnp.asarray(SMALL[0]), selection, "closed_form").hessian_product(direction)


# --- maps of other ranks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("gradcam", (6,)),
        ("shapcam", (6,)),
        ("gradcam++exact", (1, 3, 2)),
        *(more(name, (6,) if number % 2 else (1, 3, 2)) for number, name in enumerate(METHODS)),
    ],
)
def test_signals_and_volumes_give_the_maps_of_images(name, space):
    """A reshaped example of a flattened head is the same example."""
    method = METHODS[name]
    if method.needs == "images" or name == "cam":
        return
    volume = hybrid_head(small_dense(), maps_shape=(*space, 4), at=1, activation="tanh")
    result = explain(volume, SMALL.reshape(2, *space, 4), "cnn:1", method=name)
    image = explain(small_head(), SMALL, "cnn:1", method=name)
    assert result.positive.shape == (2, 1, *space)
    for part in ("positive", "negative"):
        assert relative_error(getattr(result, part).reshape(2, 1, 2, 3), getattr(image, part)) < TOLERANCE


def test_every_method_has_a_test():
    tested = {
        *GRADIENT,
        "ablationcam",
        "eigencam",
        "shapcam",
        "cam",
        "shapleycam",
        "gradcam++exact",
        "liftcam",
        "relevancecam",
    }
    assert tested | {"scorecam", "smooth_gradcam++"} == set(METHODS)
