"""Valid arguments of every public function, of which a test replaces one at a time."""

import functools

import numpy as np
from matplotlib.figure import Figure
from support import cases
from support.any_values import MAPS

import pcacam_jax
from pcacam_jax import data, plots

IMAGE = np.zeros((6, 8, 3), np.uint8)


def axes():
    return Figure().add_subplot()


def mappable():
    return axes().imshow(np.eye(2))


def side():
    return plots.Side([IMAGE], ["a"], np.ones(1), np.ones((1, 2, 2)))


def panel_of_arrays(names, positive, negative, values, vanished=None, scale_free=None, comparison=None, typical=None):
    options = {"vanished": vanished, "scale_free": scale_free, "comparison": comparison, "typical": typical}
    return plots.explanation_panel(IMAGE, names, positive, negative, values, **options)


def grid_of_arrays(classifiers, components, truth=None, predictions=None, vanished=None):
    options = {"truth": truth, "predictions": predictions, "vanished": vanished}
    return plots.paper_grid([IMAGE, IMAGE], classifiers, components, **options)


def grid_with_predictions(predictions, vanished):
    table = {"predictions": {"cnn": predictions}, "vanished": {"cnn": vanished}}
    return plots.paper_grid([IMAGE, IMAGE], {"cnn": MAPS[:, 0]}, truth=["a", "b"], **table)


def card_of_arrays(images, names, values, maps, vanished):
    return plots.component_cards([(plots.Side(images, names, values, maps, vanished), side())], [0.6])


def head_of_kernel(kernel, bias):
    return pcacam_jax.hybrid_head([(kernel, bias)], maps_shape=(3, 4, 5), at=1)


def head_of_svm(svm):
    network = cases.network()
    return pcacam_jax.hybrid_head(network.dense, pca=network.pca, svms={"svm": svm}, **network.options)


def head_of_names(cnn):
    return pcacam_jax.hybrid_head([(np.ones((60, 2)), np.zeros(2))], maps_shape=(3, 4, 5), class_names={"cnn": cnn})


def check_of_values(pca):
    return pcacam_jax.check_outputs(cases.network().head, MAPS, {"pca": pca}, tolerance=1e9)


def explain_images(images, samples, noise, seed):
    backbone = pcacam_jax.Backbone(lambda x: np.asarray(x, float), lambda x: MAPS[: len(x)], (0.0, 1.0))
    options = {"images": images, "backbone": backbone, "samples": samples, "noise": noise, "seed": seed}
    return pcacam_jax.explain(cases.network().head, MAPS, "pca:0", method="smooth(gradcam)", **options)


def method_options(target_scale, players, tolerance, top):
    pcacam_jax.cam_method("shapcam", players=players, tolerance=tolerance)
    pcacam_jax.cam_method("scorecam", top=top)
    return pcacam_jax.cam_method("smooth(gradcam++)", target_scale=target_scale)


def torch_layer(kernel, bias):
    return pcacam_jax.dense_from_torch([(kernel, bias)], maps_shape=(3, 4, 5))


def keras_layer(kernel, bias):
    return pcacam_jax.dense_from_keras([(kernel, bias)], maps_shape=(3, 4, 5))


def norm_of(mean, variance, scale, shift, epsilon):
    return pcacam_jax.fold_batch_norm(
        np.ones((2, 8)), None, pcacam_jax.BatchNorm(mean, variance, scale, shift, epsilon)
    )


SUPPORT = {
    "images": [IMAGE],
    "names": ["a"],
    "maps": np.ones((1, 2, 2)),
    "shares": np.ones(1),
    "coefficients": np.ones(1),
    "distances": np.ones(1),
    "influences": np.ones(1),
}


def evidence_of_arrays(images, names, maps, shares, coefficients, distances, influences):
    support = plots.SupportImages(images, names, maps, shares, coefficients, distances, influences)
    return plots.decision_evidence(IMAGE, np.eye(2), support, np.eye(2), title="a", others=3)


@functools.cache
def functions():
    """Return valid arguments by function; an argument ``axes`` is made for each call."""
    network = cases.network()
    head, norm = network.head, pcacam_jax.BatchNorm(np.zeros(8), np.ones(8))
    explanation = pcacam_jax.explain(head, MAPS, ["pca", "cnn:0"])
    return {
        pcacam_jax.hybrid_head: {
            "dense": network.dense,
            "pca": network.pca,
            "svms": network.svms,
            "class_names": None,
            "output": None,
            "pool": False,
            "flattened": "channels_last",
            "before_activation": False,
            **network.options,
        },
        pcacam_jax.explain: {
            "head": head,
            "maps": MAPS,
            "targets": "pca",
            "method": "hirescam",
            "backend": "closed_form",
            "batch_size": None,
            "scale_free": False,
            "images": None,
            "backbone": None,
            "samples": None,
            "noise": 0.1,
            "seed": 0,
        },
        explain_images: {"images": np.ones((2, 6, 8, 3)), "samples": 2, "noise": 0.1, "seed": 0},
        pcacam_jax.cam_method: {"name": "gradcam"},
        method_options: {"target_scale": 1.0, "players": "maps", "tolerance": 0.1, "top": None},
        pcacam_jax.trust: {"explanation": explanation, "head": head, "maps": MAPS, "reference": None},
        pcacam_jax.decompose: {
            "head": head,
            "maps": MAPS,
            "target": "svm_rbf:ant",
            "method": "gradcam",
            "batch_size": None,
        },
        pcacam_jax.evidence: {
            "head": head,
            "maps": MAPS,
            "target": "svm_rbf:ant",
            "method": "hirescam",
            "count": 2,
            "support": None,
            "scale_free": False,
            "batch_size": None,
        },
        pcacam_jax.check_outputs: {"head": head, "maps": MAPS, "expected": {"pca": np.zeros((2, 3))}, "tolerance": 1e9},
        pcacam_jax.verify: {
            "stage": pcacam_jax.Elementwise("tanh", 2),
            "x": np.ones(2),
            "dtypes": ("float32",),
            "witnesses": ("reverse",),
        },
        pcacam_jax.certify: {"cases": [], "dtypes": ("float32",)},
        pcacam_jax.jacobian: {"stage": pcacam_jax.Elementwise("tanh", 2), "x": np.ones(2), "backend": "closed_form"},
        pcacam_jax.from_sklearn: {"estimator": network.pca, "output": None, "dtype": None},
        pcacam_jax.outputs_of: {"estimator": network.pca},
        pcacam_jax.influence: {"distance": 1.0, "gamma": 0.5},
        pcacam_jax.critical_distance: {"gamma": 0.5},
        pcacam_jax.maps_from_torch: {"maps": MAPS},
        pcacam_jax.dense_from_torch: {"layers": [(np.ones((2, 60)), None)], "maps_shape": (3, 4, 5)},
        pcacam_jax.dense_from_keras: {
            "layers": [(np.ones((60, 2)), None)],
            "maps_shape": (3, 4, 5),
            "flattened": "channels_last",
        },
        pcacam_jax.fold_batch_norm: {"kernel": np.ones((2, 8)), "bias": None, "norm": norm},
        pcacam_jax.fold_batch_norm_before: {"kernel": np.ones((8, 2)), "bias": None, "norm": norm, "positions": 1},
        pcacam_jax.batch_norm_of: {"layer": None},
        pcacam_jax.save: {"path": None, "stage": object()},
        pcacam_jax.restore: {"path": "none", "dtype": None},
        pcacam_jax.load: {"folder": "none"},
        data.read_dataset: {"source": "none", "class_names": None, "test_fraction": 0.2, "seed": 0},
        data.load_image: {"path": "none", "size": 32},
        plots.image: {"axes": axes, "image": IMAGE},
        plots.unknown: {"axes": axes, "image": IMAGE},
        plots.colour_bar: {"axes": axes, "mappable": mappable},
        plots.overlay_pair: {
            "positive_axes": axes,
            "negative_axes": axes,
            "image": IMAGE,
            "positive": np.eye(2),
            "negative": np.eye(2),
        },
        plots.overlay: {
            "axes": axes,
            "image": IMAGE,
            "heatmap": np.eye(2),
            "maximum": 1.0,
            "alpha": 0.5,
            "vanished": None,
        },
        plots.signed_overlay: {"axes": axes, "image": IMAGE, "heatmap": np.eye(2), "maximum": 1.0},
        plots.confusion_matrix: {"axes": axes, "matrix": np.eye(2), "class_names": ["a", "b"]},
        plots.contribution_ratios: {"axes": axes, "ratios": [0.5, 0.3]},
        plots.component_weights: {"axes": axes, "mixture": [0.5, -0.3]},
        plots.influence_curve: {"axes": axes, "gamma": 0.5, "distances": None},
        plots.learning_curve: {
            "axes": axes,
            "validation_accuracy": [0.1, 0.2],
            "train_accuracy": None,
            "best_epoch": None,
        },
        plots.feature_space: {
            "axes": axes,
            "features": np.ones((3, 2)),
            "labels": [0, 1, 1],
            "class_names": ["a", "b"],
            "support_vectors": None,
        },
        plots.explanation_panel: {"image": IMAGE, "explanation": explanation, "example": 0},
        panel_of_arrays: {"names": ["a", "b"], "positive": MAPS[:, 0], "negative": MAPS[:, 1], "values": [1, 2]},
        plots.paper_grid: {"images": [IMAGE, IMAGE], "explanation": explanation},
        grid_of_arrays: {"classifiers": {"cnn": MAPS[:, 0]}, "components": MAPS[:, :2]},
        grid_with_predictions: {"predictions": ["a", "b"], "vanished": None},
        plots.component_cards: {"cards": [(side(), side())], "ratios": [0.6]},
        card_of_arrays: side()._asdict(),
        plots.decision_evidence: {
            "image": IMAGE,
            "signed": np.eye(2),
            "support_images": plots.SupportImages(**SUPPORT),
            "rest": np.eye(2),
            "title": "a",
            "others": 3,
        },
        evidence_of_arrays: SUPPORT,
        plots.method_gallery: {
            "image": IMAGE,
            "explanations": [explanation],
            "example": 0,
            "answers": {"gradcam": "a"},
            "two_passes": ["gradcam"],
            "title": "a",
        },
        head_of_kernel: {"kernel": np.ones((60, 2)), "bias": np.zeros(2)},
        head_of_svm: {},
        head_of_names: {},
        check_of_values: {"pca": np.zeros((2, 3))},
        torch_layer: {"kernel": np.ones((2, 60)), "bias": None},
        keras_layer: {"kernel": np.ones((60, 2)), "bias": None},
        norm_of: {"mean": np.ones(8), "variance": np.ones(8), "scale": None, "shift": None, "epsilon": 0.001},
        plots.save: {"figure": None, "path": "none.png", "dpi": 50, "overwrite": False},
    }
