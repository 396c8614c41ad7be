"""The parts of `cam_benchmark.py` that compute the features of changed images: stability, and removal of pixels."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cam_benchmark_parts import POSITION_VALUES, Case, heatmaps_of

from pcacam_jax.cam import resize
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.progress import Progress
from pcacam_jax.head.targets import parse_targets
from pcacam_jax.metrics import max_sensitivity, road
from pcacam_jax.nets.backbone import vgg16_backbone
from pcacam_jax.runs.loaded_run import Run

RADIUS, NOISE_SAMPLES = 0.02, 5
"""Largest noise of the part "stability" as a fraction of the range, and the number of samples."""
ROAD_MAPS = ("gradcam", "hirescam", "shapcam", POSITION_VALUES, "random", "centre")
ROAD_TARGETS = ("pca:0", "pca:1", "svm_rbf:predicted")
ROAD_FRACTIONS = (0.2,)
"""Fractions of the pixels that are removed."""


def stability_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure how much the maps of fixed targets change if noise is added to the preprocessed images."""
    names = [name for name, method in METHODS.items() if method.needs != "images"]
    inputs = np.asarray(case.backbone.preprocess(case.images))
    low, high = case.backbone.value_range
    radius, random = RADIUS * (high - low), np.random.default_rng(case.seed)
    noisy = []
    with progress.bar("noisy images", NOISE_SAMPLES) as advance:
        for _ in range(NOISE_SAMPLES):
            noise = random.uniform(-radius, radius, inputs.shape).astype(np.float32)
            noisy.append(np.asarray(case.backbone.maps(jnp.asarray(inputs + noise))))
            advance(1)
    maps = np.concatenate([case.maps, *noisy])
    targets = case.explain("gradcam")
    every = list(case.run.head.outputs)
    places = _places(case.run, targets)
    result: dict[str, Any] = {"targets": list(targets.targets), "skipped": {}, "sensitivity": {}}
    with progress.bar("methods", len(names)) as advance:
        for name in names:
            advance(0, name)
            try:
                signed = np.asarray(case.explain(name, maps, every).signed)
            except (InputError, ImportError) as error:
                result["skipped"][name] = str(error)
                continue
            signed = signed.reshape(NOISE_SAMPLES + 1, len(case.maps), *signed.shape[1:])
            chosen = np.take_along_axis(signed, places[None, :, :, None, None], axis=2)
            result["sensitivity"][name] = np.asarray(_sensitivity(jnp.asarray(chosen)))
            advance(1)
    return result


def _places(run: Run, explanation: Explanation) -> np.ndarray:
    """Return the index of every target among all entries of all outputs, ``(B, T)``."""
    starts, start = {}, 0
    for output, names in run.head.outputs.items():
        starts[output], start = start, start + len(names)
    outputs = [target.output for target in parse_targets(run.head, list(explanation.targets))]
    return np.array([starts[output] for output in outputs]) + np.asarray(explanation.columns)


@jax.jit
def _sensitivity(maps):
    """Return the largest relative change of maps ``(1 + n, B, T, h, w)``, of which the first are without noise."""

    def one(each):
        return max_sensitivity(lambda change: each[0] + change, each[1:] - each[0])

    return jax.vmap(jax.vmap(one, in_axes=1), in_axes=1)(maps)


def road_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure ROAD with few fractions: half the difference between removing the least and the most relevant pixels."""
    methods = {name: cam_method(name) for name in ROAD_MAPS if name in METHODS}
    first, outputs, signs, _, _ = heatmaps_of(case, methods, progress)
    places = [first.targets.index(target) for target in ROAD_TARGETS]
    columns, spreads, size = np.asarray(first.columns), case.spreads(first), case.images.shape[1:3]
    maps = {name: signs[name][0] - signs[name][1] for name in ROAD_MAPS}
    network = vgg16_backbone(case.run.params, tap=case.run.config.tap, scaling=case.run.config.scaling)
    inputs = network.preprocess(case.images)
    result = {name: np.zeros((len(inputs), len(places))) for name in maps}

    @functools.partial(jax.jit, static_argnames="output")
    def score(head, image, heatmap, column, key, *, output):
        value = lambda changed: head(network.maps(changed[None])[0])[output][column]  # noqa: E731
        return road(value, image, heatmap, key, fractions=ROAD_FRACTIONS).score

    with progress.bar("road", len(inputs) * len(maps) * len(places)) as advance:
        for i, image in enumerate(inputs):
            key = jax.random.fold_in(jax.random.key(case.seed), i)
            for name, each in maps.items():
                for place, t in enumerate(places):
                    heatmap = resize(jnp.asarray(each[i, t]), size)
                    value = score(case.run.head, image, heatmap, columns[i, t], key, output=outputs[t])
                    result[name][i, place] = float(value) / spreads[i, t]
                    advance(1, name)
    return {"targets": ROAD_TARGETS, "fractions": ROAD_FRACTIONS, "road": result}
