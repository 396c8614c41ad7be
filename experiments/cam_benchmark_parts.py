"""The parts of `cam_benchmark.py`, each a function of one dataset with its run."""

import dataclasses
import functools
import hashlib
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from cam_benchmark_measures import one_cell_out, reference_maps, scores

from pcacam_jax import explain
from pcacam_jax.cam.method import Method
from pcacam_jax.cam.methods import METHODS, cam_method
from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.core.progress import Progress
from pcacam_jax.head.targets import parse_targets
from pcacam_jax.nets.backbone import Backbone, vgg16_backbone
from pcacam_jax.runs.loaded_run import Run
from pcacam_jax.stages.chain import Chain

TARGETS = ["cnn:predicted", "pca", "svm_linear:predicted", "svm_rbf:predicted"]
NOISY_IMAGES, NOISE = 25, 0.15
"""Number of noisy images of the averages, and the standard deviation of the noise as a fraction of the range."""
TOP_CHANNELS = 32
"""Number of channels of Score-CAM."""
FEATURES = "features.safetensors"
POSITION_VALUES = "shapcam, position values"
"""The Shapley values of the positions as a map."""
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
        path = self.cache / FEATURES
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
    return measured(case, {name: cam_method(name) for name in names}, progress)


def pool_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure the same methods on the maps behind the max-pool that a head at "block5_conv3" begins with."""
    pool, last = case.run.head.spatial.stages
    run = dataclasses.replace(case.run, head=dataclasses.replace(case.run.head, spatial=Chain((last,))))
    behind = dataclasses.replace(case, run=run, cache=case.cache / "pool")
    write_arrays(behind.cache / FEATURES, {"maps": np.asarray(jax.vmap(pool)(jnp.asarray(case.maps)))})
    return head_part(behind, progress)


def images_part(case: Case, progress: Progress) -> dict[str, Any]:
    """Measure the methods that need further images, and two others on the same images."""
    methods = {
        "gradcam": cam_method("gradcam"),
        "hirescam": cam_method("hirescam"),
        "scorecam": cam_method("scorecam", top=TOP_CHANNELS),
        **{name: cam_method(name) for name in ("smooth_gradcam++", "smooth(gradcam)", "smooth(hirescam)")},
    }
    return measured(case, methods, progress)


class Heatmaps(NamedTuple):
    """The maps of several methods and of the references, on the images of a dataset."""

    first: Explanation
    """The explanation by Grad-CAM, for its targets, columns and values."""
    outputs: tuple[str, ...]
    """The output of each target."""
    signs: dict[str, tuple[np.ndarray, np.ndarray]]
    """For each map, the evidence for and against the targets, ``(B, T, h, w)``."""
    explanations: dict[str, dict[str, np.ndarray]]
    """The arrays of the explanations."""
    skipped: dict[str, str]
    """Why methods are left out."""


def heatmaps_of(case: Case, methods: dict[str, Method], progress: Progress) -> Heatmaps:
    """Return the maps of methods, random maps, a centred Gaussian, and the effect of each cell alone."""
    explanations, skipped = explained(case, methods, progress)
    first = case.explain("gradcam")
    outputs = tuple(target.output for target in parse_targets(case.run.head, list(first.targets)))
    signs = {name: (each["positive"], each["negative"]) for name, each in explanations.items()}
    signed = dict(_references(case.run.head, case.maps, jnp.asarray(first.columns), case.seed, outputs=outputs))
    if "shapcam" in explanations:
        signed = {POSITION_VALUES: explanations["shapcam"]["position_values"], **signed}
    signs |= {name: (np.maximum(each, 0), np.maximum(-each, 0)) for name, each in jax.device_get(signed).items()}
    return Heatmaps(first, outputs, signs, explanations, skipped)


def measured(case: Case, methods: dict[str, Method], progress: Progress) -> dict[str, Any]:
    """Return the measures of methods and of the references."""
    first, outputs, signs, explanations, skipped = heatmaps_of(case, methods, progress)
    positive, negative = (np.stack([pair[i] for pair in signs.values()], axis=1) for i in (0, 1))
    columns, spreads = np.asarray(first.columns), case.spreads(first)
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
