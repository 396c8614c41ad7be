"""The parts of `cam_benchmark.py`, each a function of one dataset with its run."""

import dataclasses
import functools
import hashlib
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cam_benchmark_measures import one_cell_out, reference_maps, scores

from pcacam_jax import explain
from pcacam_jax.cam import resize
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.progress import Progress
from pcacam_jax.head.targets import parse_targets
from pcacam_jax.metrics import max_sensitivity, road
from pcacam_jax.nets.backbone import Backbone, vgg16_backbone
from pcacam_jax.runs.loaded_run import Run

TARGETS = ["cnn:predicted", "pca", "svm_linear:predicted", "svm_rbf:predicted"]
NOISY_IMAGES, NOISE = 25, 0.15
"""Number of noisy images of the averages, and the standard deviation of the noise as a fraction of the range."""
TOP_CHANNELS = 32
"""Number of channels of Score-CAM."""
RADIUS, NOISE_SAMPLES = 0.02, 5
"""Largest noise of the part "stability" as a fraction of the range, and the number of samples."""
ROAD_METHODS = ("gradcam", "hirescam", "ablationcam", "liftcam")
ROAD_TARGETS = ("cnn:predicted", "pca:0", "pca:1", "svm_rbf:predicted")
ROAD_FRACTIONS = (0.1, 0.3)
FIELDS = ("positive", "negative", "vanished", "fallback", "permutations", "position_values")
"""Fields of an explanation that are saved."""
BATCH, REPEATS = 16, 3
"""Images of a batch of the part "cost", and the number of timings."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A dataset with its run and the test images that are explained."""

    name: str
    run: Run
    images: np.ndarray
    seed: int
    cache: Path
    """Folder of the feature maps and heatmaps, which a benchmark with further methods reads again."""

    @functools.cached_property
    def maps(self) -> np.ndarray:
        """The maps at the tap."""
        path = self.cache / "features.safetensors"
        if not path.is_file():
            write_arrays(path, {"maps": np.asarray(self.run.features(self.images))})
        return read_arrays(path)[0]["maps"]

    @functools.cached_property
    def backbone(self) -> Backbone:
        """VGG16 up to the tap, which keeps the maps of images that it has seen."""
        config = self.run.config
        network = vgg16_backbone(self.run.params, tap=config.tap, scaling=config.scaling, dtype=config.compute)
        return dataclasses.replace(network, maps=remembered(network.maps))

    def explain(self, method: str | Method, maps: Any = None, targets: Any = TARGETS, **options: Any) -> Explanation:
        """Explain the images, or other maps."""
        return explain(
            self.run.head, self.maps if maps is None else maps, targets, method=method, seed=self.seed, **options
        )

    def spreads(self, explanation: Explanation) -> np.ndarray:
        """Return the standard deviation of every target among the training images, ``(B, T)``."""
        values, columns = self.run.reference.spreads, np.asarray(explanation.columns)
        outputs = [target.output for target in parse_targets(self.run.head, list(explanation.targets))]
        return np.stack([values[output][columns[:, t]] for t, output in enumerate(outputs)], axis=1)


def remembered(function: Any) -> Any:
    """Return the function with a memory, so that methods with the same noise share the features."""
    memory: dict[str, np.ndarray] = {}

    def maps(inputs: Any) -> np.ndarray:
        key = hashlib.sha256(np.asarray(inputs).tobytes()).hexdigest()
        if key not in memory:
            memory[key] = np.asarray(function(inputs))
        return memory[key]

    return maps


def head_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure all methods that need no further images."""
    names = [name for name, method in METHODS.items() if method.needs != "images"]
    return measured(case, {name: cam_method(name) for name in names}, progress, reference=True)


def images_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure the methods that need further images, and two others on the same images."""
    methods = {
        "gradcam": cam_method("gradcam"),
        "hirescam": cam_method("hirescam"),
        "scorecam": cam_method("scorecam", top=TOP_CHANNELS),
        **{name: cam_method(name) for name in ("smooth_gradcam++", "smooth(gradcam)", "smooth(hirescam)")},
    }
    return measured(case, methods, progress, reference=False)


def measured(case: Case, methods: dict[str, Method], progress: Progress, *, reference: bool) -> dict[str, Any]:
    """Return the measures of methods, of a random map and of a centred Gaussian."""
    explanations, skipped = explained(case, methods, progress)
    first = case.explain("gradcam")
    outputs = tuple(target.output for target in parse_targets(case.run.head, list(first.targets)))
    signs = {name: (each["positive"], each["negative"]) for name, each in explanations.items()}
    if "shapcam" in explanations:
        values = explanations["shapcam"]["position_values"]
        signs["shapcam, position values"] = (np.maximum(values, 0), np.maximum(-values, 0))
    columns = jnp.asarray(first.columns)
    references = _references(case.run.head, case.maps, columns, case.seed, outputs=outputs)
    signs |= {name: (np.maximum(each, 0), np.maximum(-each, 0)) for name, each in references.items()}
    if not reference:
        del signs["one cell out"]
    positive, negative = (jnp.stack([np.asarray(pair[i]) for pair in signs.values()], axis=1) for i in (0, 1))
    spreads = case.spreads(first)
    rows, agreement = [], []
    with progress.bar("measures", len(case.maps)) as advance:
        for i, maps in enumerate(case.maps):
            one = _scores(
                case.run.head, maps, positive[i], negative[i], columns[i], spreads[i], case.seed, i, outputs=outputs
            )
            rows.append(jax.device_get(one[0]))
            agreement.append(np.asarray(one[1]))
            advance(1)
    with np.errstate(invalid="ignore"):
        mean_agreement = np.nanmean(agreement, axis=0)
    return {
        "targets": list(first.targets),
        "methods": list(signs),
        "skipped": skipped,
        "values": np.asarray(first.values) / spreads,
        **{
            field: {name: np.mean(each[field], axis=0) for name, each in explanations.items() if field in each}
            for field in ("vanished", "fallback", "permutations")
        },
        "scores": {
            measure: {name: np.stack([row[measure][m] for row in rows]) for m, name in enumerate(signs)}
            for measure in rows[0]
        },
        "agreement": mean_agreement,
    }


def explained(
    case: Case, methods: dict[str, Method], progress: Progress
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Return the arrays of the explanations of the images, and the reasons for which methods are left out."""
    explanations, skipped = {}, {}
    with progress.bar("methods", len(methods)) as advance:
        for name, method in methods.items():
            path = case.cache / f"{name}.safetensors"
            advance(0, name)
            options: dict[str, Any] = {}
            if method.needs == "images":
                options = {"images": case.images, "backbone": case.backbone, "samples": NOISY_IMAGES, "noise": NOISE}
            try:
                if not path.is_file():
                    explanation = case.explain(method, **options)
                    arrays = {field: getattr(explanation, field) for field in FIELDS}
                    write_arrays(path, {field: each for field, each in arrays.items() if each is not None})
                explanations[name] = read_arrays(path)[0]
            except (InputError, ImportError) as error:
                skipped[name] = str(error)
            advance(1)
    return explanations, skipped


@functools.partial(jax.jit, static_argnames="outputs")
def _scores(head, maps, positive, negative, columns, spreads, seed, image, *, outputs):
    key = jax.random.fold_in(jax.random.key(seed), image)
    targets = tuple((output, columns[t]) for t, output in enumerate(outputs))
    return scores(head, maps, positive, negative, targets=targets, spreads=spreads, key=key)


@functools.partial(jax.jit, static_argnames="outputs")
def _references(head, maps, columns, seed, *, outputs):
    def one(maps, columns, image):
        targets = tuple((output, columns[t]) for t, output in enumerate(outputs))
        key = jax.random.fold_in(jax.random.key(seed + 1), image)
        blind = reference_maps(key, len(outputs), maps.shape[:-1])
        return {**blind, "one cell out": one_cell_out(head, maps, targets)}

    return jax.lax.map(lambda each: one(*each), (jnp.asarray(maps), columns, jnp.arange(len(maps))))


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
        return max_sensitivity(lambda index: each[index], jnp.arange(1, len(each)))

    return jax.vmap(jax.vmap(one, in_axes=1), in_axes=1)(maps)


def road_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure ROAD with few fractions: half the difference between removing the least and the most relevant pixels."""
    targets, size = list(ROAD_TARGETS), case.images.shape[1:3]
    explanations = {name: case.explain(name, targets=targets) for name in ROAD_METHODS}
    first = explanations[ROAD_METHODS[0]]
    outputs = tuple(target.output for target in parse_targets(case.run.head, targets))
    columns, spreads = np.asarray(first.columns), case.spreads(first)
    references = _references(case.run.head, case.maps, jnp.asarray(columns), case.seed, outputs=outputs)
    maps = {name: each.signed for name, each in explanations.items()}
    maps |= {name: references[name] for name in ("random", "centre")}
    network = vgg16_backbone(case.run.params, tap=case.run.config.tap, scaling=case.run.config.scaling)
    inputs = network.preprocess(case.images)
    result = {name: np.zeros((len(inputs), len(targets))) for name in maps}

    @functools.partial(jax.jit, static_argnames="output")
    def score(head, image, heatmap, column, key, *, output):
        value = lambda changed: head(network.maps(changed[None])[0])[output][column]  # noqa: E731
        return road(value, image, heatmap, key, fractions=ROAD_FRACTIONS).score

    with progress.bar("road", len(inputs) * len(maps) * len(targets)) as advance:
        for i, image in enumerate(inputs):
            key = jax.random.fold_in(jax.random.key(case.seed), i)
            for name, each in maps.items():
                for t, output in enumerate(outputs):
                    heatmap = resize(jnp.asarray(each[i, t]), size)
                    value = score(case.run.head, image, heatmap, columns[i, t], key, output=output)
                    result[name][i, t] = float(value) / spreads[i, t]
                    advance(1, name)
    return {"targets": targets, "fractions": ROAD_FRACTIONS, "road": result}


def cost_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure the processor time of features and explanations per image, warm, in batches."""
    images = np.resize(case.images, (BATCH, *case.images.shape[1:]))
    maps = np.asarray(case.run.features(images))
    seconds = {"features": timed(lambda: case.run.features(images))}
    skipped = {}
    for name, method in METHODS.items():
        if method.needs == "images":
            continue
        progress.say(f"cost of {name}")
        try:
            seconds[name] = timed(lambda name=name: jax.block_until_ready(case.explain(name, maps).positive))
        except (InputError, ImportError) as error:
            skipped[name] = str(error)
    return {"batch": BATCH, "targets": TARGETS, "seconds": seconds, "skipped": skipped}


def timed(function: Any) -> float:
    """Return the median processor time of a call per image of the batch, after a first call that compiles."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times) / BATCH


PARTS = {
    "head": head_part,
    "images": images_part,
    "stability": stability_part,
    "road": road_part,
    "cost": cost_part,
}
"""The parts by name, in the order in which they are measured."""
