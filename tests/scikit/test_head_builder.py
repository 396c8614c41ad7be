"""Heads from dense layers, reducers and SVMs, and the errors about parts that do not fit together."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import cases
from support.blobs import NAMES, blobs

from pcacam_jax import (
    Chain,
    InputError,
    Scaling,
    check_outputs,
    decompose,
    evidence,
    explain,
    hybrid_head,
    verify,
)
from pcacam_jax.scikit import pair_values
from pcacam_jax.stages import PairwiseMargins

X, WHICH = blobs(3)
FITTED = {"pca": PCA(2).fit(X), "svc": SVC().fit(X, WHICH), "scaler": StandardScaler().fit(X)}


@pytest.mark.usefixtures("x64")
def test_pipelines_in_a_head():
    network = cases.network()
    x_m, labels = cases.trunk(network.dense[:2], network.maps), NAMES[np.arange(7) % 4]
    pca = make_pipeline("passthrough", StandardScaler(), PCA(2)).fit(x_m)
    svm = make_pipeline("passthrough", SVC()).fit(pca.transform(x_m), labels)
    head = hybrid_head(network.dense, pca=pca, svms={"svm": svm}, **network.options)
    values = jax.vmap(head)(jnp.asarray(network.maps))
    np.testing.assert_allclose(values["pca"], pca.transform(x_m), rtol=1e-9, atol=1e-12)
    pairs = pair_values(svm[-1], pca.transform(x_m))
    margins = np.asarray(jax.vmap(PairwiseMargins(4))(jnp.asarray(pairs)))
    np.testing.assert_allclose(values["svm"], margins, rtol=1e-9, atol=1e-12)


def layer(*shape):
    return np.ones(shape), np.ones(shape[1])


def head(dense=((12, 5), (5, 4), (4, 3)), **changes):
    """Return a head on (1, 3, 4) maps whose second layer has as many outputs as X has columns."""
    return hybrid_head([layer(*shape) for shape in dense], **{"maps_shape": (1, 3, 4), **changes})


def head_without_layers(**changes):
    """Return a head without dense layers, on maps that have as many values as X has columns."""
    return hybrid_head([], **{"maps_shape": (1, 1, 4), **changes})


def head32(layers):
    """Return a head whose first kernel has dtype float32."""
    (kernel, bias), *later = layers
    return hybrid_head([(np.float32(kernel), bias), *later], maps_shape=(1, 3, 4))


NAN = np.full((12, 3), np.nan)
TINY_SCALE = StandardScaler().fit(X)
TINY_SCALE.scale_[1] = 1e-40
ON_TWO_FEATURES = SVC().fit(X[:, :2], WHICH)
HEADS = {
    "first kernel": (lambda: head([(20, 3)], at=1), r"reads maps of shape \(1, 3, 4\).*\(12, out\).*got \(20, 3\)"),
    "later kernel": (
        lambda: head([(12, 5), (6, 3)]),
        r"layer 2 reads the 5 outputs of layer 1.*\(5, out\).*got \(6, 3\)",
    ),
    "bias": (
        lambda: hybrid_head([(np.ones((12, 3)), np.ones(2))], maps_shape=(1, 3, 4), at=1),
        r"got \(12, 3\) and \(2,\)",
    ),
    "flat kernel": (lambda: hybrid_head([(np.ones(12), np.ones(1))], maps_shape=(1, 3, 4)), r"got \(12,\) and \(1,\)"),
    "pooled": (
        lambda: hybrid_head([layer(32, 3)], maps_shape=(4, 4, 2), at=1, pool=True),
        r"after a 2 x 2 max-pool, so its kernel must have shape \(8, out\).*got \(32, 3\)",
    ),
    "too small to pool": (lambda: head(pool=True), r"h and w at least 2; got \(1, 3, 4\)"),
    "maps shape": (lambda: head(maps_shape=(3,)), r"maps_shape must be \(h, w, K\).*got \(3,\)"),
    "no layer": (lambda: head([]), "dense, pca and svms are all empty, so there is nothing to explain"),
    "NaN kernel": (
        lambda: hybrid_head([(NAN, np.ones(3))], maps_shape=(1, 3, 4)),
        "the kernel of dense layer 1 must be fin",
    ),
    "infinite bias": (
        lambda: hybrid_head([layer(12, 3), (np.ones((3, 1)), [np.inf])], maps_shape=(1, 3, 4)),
        "the bias of dense layer 2 must be finite, but 1 of 1",
    ),
    "at -1": (lambda: head(at=-1), "at must be the number of a dense layer, 1 to 3, or 0 for the vector.*; got -1"),
    "at 4": (lambda: head(at=4), "at must be the number of a dense layer, 1 to 3, .*; got 4"),
    "activation": (lambda: head(activation="swoosh"), "activation must be one of identity, sigmoid.*got 'swoosh'"),
    "PCA features": (
        lambda: head(pca=FITTED["pca"], at=1),
        "pca was fitted on 4 features, but the output of dense layer 1 has 5; fit it on these 5 features",
    ),
    "unfitted PCA": (lambda: head(pca=PCA()), "PCA is not fitted"),
    "SVC as PCA": (
        lambda: head(pca=FITTED["svc"]),
        "output of SVC must be one of decision, pairs, margin; got 'transform'",
    ),
    "SVM features": (
        lambda: head(pca=FITTED["pca"], svms={"svm": FITTED["svc"]}),
        "svm was fitted on 4 features, but the output of pca has 2",
    ),
    "SVM on a layer": (
        lambda: head(svms={"svm": ON_TWO_FEATURES}),
        "svm was fitted on 2 features, but the output of dense layer 2 has 4",
    ),
    "unfitted SVM": (lambda: head(svms={"svm": SVC()}), "SVC is not fitted"),
    "not an estimator": (lambda: head(svms={"svm": "SVC"}), "expected a fitted scikit-learn estimator; got str"),
    "named cnn": (lambda: head(svms={"cnn": FITTED["svc"]}), "not empty, 'cnn' or 'pca'; got 'cnn'"),
    "named pca": (lambda: head(svms={"pca": FITTED["svc"]}), "got 'pca'"),
    "with a colon": (lambda: head(svms={"svm:a": FITTED["svc"]}), "without a colon.*got 'svm:a'"),
    "without a name": (lambda: head(svms={"": FITTED["svc"]}), "got ''"),
    "few class names": (
        lambda: head(class_names=["a", "b"]),
        r"class_names must be 3 different names.*got \('a', 'b'\)",
    ),
    "no bias": (lambda: hybrid_head([(np.ones((12, 3)), None)], maps_shape=(1, 3, 4)), "must be a pair .*pass zeros"),
    "no maps shape": (lambda: head(maps_shape=96), r"maps_shape must be three integers \(h, w, K\); got 96"),
    "True for a layer": (lambda: head(at=True), "at must be the number of a dense layer, 1 to 3, .*; got True"),
    "no component": (
        lambda: head_without_layers(pca=PCA(0).fit(X)),
        "pca must have at least one component; got none, so fit it",
    ),
    "dead unit": (
        lambda: head_without_layers(pca=make_pipeline(TINY_SCALE, PCA(2).fit(X))),
        "the fitted parameters of Pipeline overflow in float32",
    ),
    "kernel beyond the first one's dtype": (
        lambda: head32([(np.ones((12, 5)), np.ones(5)), (np.full((5, 3), 1e39), np.ones(3))]),
        r"the numbers of dense layer 2 overflow in float32, whose largest number is 3.4e\+38",
    ),
    "half a layer": (lambda: head(at=1.5), "at must be the number of a dense layer, 1 to 3, .*; got 1.5"),
    "one name": (lambda: head(class_names="abc"), "class_names must be a list of names; got str 'abc'"),
    "SVM named 3": (lambda: head(svms={3: FITTED["svc"]}), "the name of an SVM must be a string .*; got 3"),
    "unfitted step": (
        lambda: head(svms={"svm": make_pipeline(StandardScaler(), FITTED["svc"])}),
        "is not fitted; call its fit",
    ),
    "pair of text": (
        lambda: hybrid_head([("a", "b")], maps_shape=(1, 3, 4)),
        "the kernel of dense layer 1 must be an array of real numbers; got str",
    ),
    "ragged kernel": (
        lambda: hybrid_head([([[1.0, 2.0], [3.0]], [1.0])], maps_shape=(1, 3, 4)),
        "the kernel of dense layer 1 cannot be read as an array .*; give an array",
    ),
    "complex bias": (
        lambda: hybrid_head([(np.ones((12, 3)), 1j * np.ones(3))], maps_shape=(1, 3, 4)),
        "the bias of dense layer 1 must be an array of real numbers; got ndarray of complex128",
    ),
    "no list of layers": (
        lambda: hybrid_head(None, maps_shape=(1, 3, 4)),
        r"dense must be a list of pairs \(kernel, bias\); got NoneType, so pass \[\] for no layers",
    ),
    "one pair": (lambda: hybrid_head(layer(12, 3), maps_shape=(1, 3, 4)), "dense layer 1 must be a pair"),
    "layers by name": (
        lambda: hybrid_head([{"kernel": np.ones((12, 3)), "bias": np.ones(3)}], maps_shape=(1, 3, 4)),
        "dense layer 1 must be a pair",
    ),
    "a number of classes": (lambda: head(class_names=3), "class_names must be a list of names; got int 3"),
    "names for a PCA": (
        lambda: head_without_layers(pca=FITTED["pca"], class_names=["a", "b"]),
        "class_names has 2 names, .*none of svms is a classifier whose classes are integers from 0 to 1; leave",
    ),
    "fewer names than classes": (
        lambda: head_without_layers(svms={"svm": FITTED["svc"]}, class_names=["a", "b"]),
        "from 0 to 1;",
    ),
    "equal names without layers": (
        lambda: head_without_layers(svms={"svm": FITTED["svc"]}, class_names=list("aab")),
        "class_names must be 3 different names",
    ),
    "equal class names": (lambda: head(class_names=list("aab")), "class_names must be 3 different names"),
}


@pytest.mark.parametrize("name", HEADS)
def test_parts_that_do_not_fit_together_raise(name):
    build, sentence = HEADS[name]
    with pytest.raises(InputError, match=sentence):
        build()


def test_names_and_shapes_of_a_head():
    built = head(svms={"svm": FITTED["svc"]}, class_names=["a", "b", "c"])
    assert built.outputs == {"cnn": ("a", "b", "c"), "svm": ("a", "b", "c")}
    assert built.in_shape == (1, 3, 4)
    assert built.pca is None
    assert head(at=3)(jnp.ones((1, 3, 4)))["cnn"].shape == (3,)
    assert jax.tree.structure(head(at=np.int64(1))) == jax.tree.structure(head(at=1))
    assert jax.tree.structure(head(maps_shape=np.array([1, 3, 4]))) == jax.tree.structure(head())
    assert head(svms={"svm": SVC().fit(X, WHICH + 5)}).outputs["svm"] == ("5", "6", "7")
    assert head(svms={"svm": SVC().fit(X, NAMES[WHICH])}, class_names=list("abc")).outputs["svm"] == (
        "ant",
        "bear",
        "wolf",
    )


def numpy_logits(dense, x):
    """Return the logits of dense layers with ReLU between them, in NumPy."""
    for n, (kernel, bias) in enumerate(dense):
        x = x @ kernel + bias
        x = np.maximum(x, 0) if n < len(dense) - 1 else x
    return x


POOLED = {
    False: lambda maps: maps.reshape(len(maps), -1),
    True: lambda maps: maps.reshape(len(maps), 2, 2, 2, 2, 3).max(axis=(2, 4)).reshape(len(maps), -1),
    "average": lambda maps: maps.mean(axis=(1, 2)),
}


FAST = (("average", ()), (False, (5,)))
BEHIND_POOLED_MAPS = [
    pytest.param(pool, hidden, marks=[] if (pool, hidden) in FAST else [pytest.mark.exhaustive])
    for pool in POOLED
    for hidden in ((), (5,))
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("pool", "hidden"), BEHIND_POOLED_MAPS)
def test_the_pca_reads_the_maps_behind_which_dense_layers_give_the_logits(pool, hidden):
    random = np.random.default_rng(0)
    maps = np.abs(random.normal(size=(40, 4, 4, 3)))
    x = POOLED[pool](maps)
    sizes = [x.shape[1], *hidden, 2]
    dense = [(random.normal(size=pair), random.normal(size=pair[1])) for pair in itertools.pairwise(sizes)]
    pca = PCA(2).fit(x)
    svm = SVC().fit(pca.transform(x), x[:, 0] > np.median(x[:, 0]))
    options = {"at": 0} if hidden else {}
    built = hybrid_head(dense, maps_shape=(4, 4, 3), pca=pca, svms={"svm": svm}, pool=pool, **options)
    assert len(built.dense.stages) == 0
    errors = check_outputs(built, maps, {"cnn": numpy_logits(dense, x), "pca": pca.transform(x)})
    assert max(errors.values()) < 1e-12
    targets = ["cnn", "pca", "svm:predicted"]
    explanation, reverse = (explain(built, maps[:2], targets, backend=name) for name in ("closed_form", "reverse"))
    np.testing.assert_allclose(explanation.signed, reverse.signed, atol=1e-12)
    assert not explanation.vanished.any()
    for parts in (decompose(built, maps[:2], "svm:predicted"), evidence(built, maps[:2], "svm:predicted", count=3)):
        np.testing.assert_allclose(parts.signed, explanation.signed[:, -1], atol=1e-12)


def test_at_is_two_by_default_or_zero_behind_a_single_layer():
    assert [len(head(layers).dense.stages) for layers in ([(12, 3)], [(12, 5), (5, 3)])] == [0, 2]
    assert len(head().dense.stages) == 2
    assert len(head([(12, 3)], at=1).dense.stages) == 1
    with pytest.raises(InputError, match="before_activation needs the number of a dense layer in at; got 0"):
        head(at=0, before_activation=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("pool", POOLED)
def test_a_head_that_explains_pooled_maps_is_verified(pool):
    maps = np.random.default_rng(0).normal(size=(4, 4, 3))
    x = POOLED[pool](maps[None])
    built = hybrid_head([(np.ones((x.shape[1], 2)), np.zeros(2))], maps_shape=(4, 4, 3), pool=pool)
    assert verify(built, jnp.asarray(maps)).passed


def test_pull_back_pooled_needs_a_dense_layer_first():
    built = head()
    scaled = dataclasses.replace(built, dense=Chain((Scaling(jnp.ones(12), jnp.zeros(12)), *built.dense.stages)))
    saved = scaled.forward(jnp.ones((1, 3, 4)))[1]
    with pytest.raises(
        InputError, match=r"first of a head's dense layers must be a Dense.*got Scaling behind Flatten, .* pull_back"
    ):
        scaled.pull_back_pooled(saved, {"cnn": jnp.eye(3)})
    assert scaled.pull_back(saved, {"cnn": jnp.eye(3)}).shape == (3, 1, 3, 4)


def test_class_names_without_dense_layers_name_the_classes_of_classifiers():
    named = {"svc": FITTED["svc"], "other": SVC().fit(X, NAMES[WHICH])}
    built = head_without_layers(svms=named, class_names=np.array(["a", "b", "c", "d"]))
    assert built.outputs == {"svc": ("a", "b", "c"), "other": ("ant", "bear", "wolf")}
    assert head_without_layers(svms=named).outputs["svc"] == ("0", "1", "2")


def test_the_first_kernel_determines_the_dtype(x64):
    dense = [layer(12, 4), layer(4, 3)]
    single = hybrid_head(
        [(np.float32(dense[0][0]), dense[0][1]), dense[1]], maps_shape=(1, 3, 4), svms={"a": FITTED["svc"]}, at=1
    )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(single)} == {"float32"}
    integer = hybrid_head([(dense[0][0].astype(int), dense[0][1]), dense[1]], maps_shape=(1, 3, 4))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(integer)} == {"float64"}


def test_a_head_that_was_built_in_a_transformation_can_be_built_in_float64():
    dense = [(np.ones((8, 4)), np.zeros(4)), (np.ones((4, 2)), np.zeros(2))]
    pca = PCA(2).fit(np.random.default_rng(0).normal(size=(9, 4)))
    build = functools.partial(hybrid_head, dense, maps_shape=(2, 2, 2), pca=pca, at=1)
    jax.eval_shape(lambda maps: build()(maps)["pca"], np.zeros((2, 2, 2), np.float32))
    with jax.enable_x64(True):
        assert build().shares.dtype == np.float64
