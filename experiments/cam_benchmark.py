"""Question: which CAM method tells best which regions raise and lower a component, an SVM decision or a logit?

Command: python experiments/cam_benchmark.py --data-root DIR --runs RUNS --out benchmark
Paper:   uses Grad-CAM for components and SVM decisions, and leaves other methods to future work.
Answer:  HiResCAM among the methods that cost next to nothing. Removing the cells that it marks lowers components by .33
         and RBF SVM decisions by .25 standard deviations (Grad-CAM .12 and .14), means over six datasets. The position
         values of Shap-CAM reach .43 and .36 at 15 % more time (docs/understand/which_method.md).

Each dataset has one run; it is fitted with the settings of ``pcacam reproduce`` if RUNS/SET does not exist. The parts:

- head: all methods that need no further images, on 100 test images. Cells of the maps at the tap are set to zero, and
  only the head is evaluated again. All differences of a target are divided by its standard deviation among the training
  images.
- pool: the same on the maps behind the max-pool, for runs at the tap "block5_conv3".
- images: methods that need further images, on 10 test images, with the same measures.
- stability: how much the maps change if little noise is added to the image, on 10 test images.
- road: removal of pixels by imputation, with the backbone, on 10 test images and four methods.
- cost: processor time of each method over that of the features, for one dataset.

Each part of each dataset is one file in OUT/parts, and the heatmaps of each method are one file in OUT/maps, so that an
interrupted benchmark continues where it stopped. The table and the figure are made from the parts.
"""

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from cam_benchmark_backbone import road_part, stability_part
from cam_benchmark_parts import Case, cost_part, head_part, images_part, pool_part
from cam_benchmark_report import write_report

from pcacam_jax import load
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.core.files import read_json, write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.core.version import __version__
from pcacam_jax.data import read_paper_set
from pcacam_jax.reports.figures import one_of_each
from pcacam_jax.reproduce.measure import environment
from pcacam_jax.reproduce.paper import TABLE3
from pcacam_jax.reproduce.settings import settings_of
from pcacam_jax.runs.loaded_run import Run
from pcacam_jax.runs.make_run import make_run
from pcacam_jax.runs.source import recorded_paper_set

PARTS: dict[str, Callable[[Case, Progress], dict[str, Any]]] = {
    "head": head_part,
    "pool": pool_part,
    "images": images_part,
    "stability": stability_part,
    "road": road_part,
    "cost": cost_part,
}
"""The parts by name, in the order in which they are measured."""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What is measured, and the location of data and results.

    Attributes:
        data_root: Folder with a folder for each dataset.
        runs: Folder with a run folder for each dataset; missing runs are fitted.
        out: Folder to write to.
        sets: Names of the datasets.
        parts: The parts to measure.
        images: Number of test images of the parts "head" and "pool".
        backbone_images: Number of test images of the other parts.
        limit_per_class: Largest number of images of a class in each split.
        cost_set: The dataset of the part "cost".
        seed: Seed of noise, masks, random maps and resamples.
    """

    data_root: Path
    runs: Path = Path("runs")
    out: Path = Path("benchmark")
    sets: tuple[str, ...] = tuple(TABLE3)
    parts: tuple[str, ...] = tuple(PARTS)
    images: int = 100
    backbone_images: int = 10
    limit_per_class: int = 400
    cost_set: str = "dog_cat"
    seed: int = 0


def main(benchmark: Benchmark) -> None:
    """Measure the parts that are not in OUT yet, and write the table and the figure."""
    progress = Progress()
    for part in benchmark.parts:
        for name in benchmark.sets if part != "cost" else (benchmark.cost_set,):
            measure(benchmark, part, name, progress)
    write_report(benchmark.out, benchmark.sets, seed=benchmark.seed)
    progress.say(f"wrote {benchmark.out / 'table.md'} and {benchmark.out / 'which_method.png'}")


def measure(benchmark: Benchmark, part: str, name: str, progress: Progress) -> None:
    """Measure one part of one dataset, unless its file holds the result of the same request."""
    path = benchmark.out / "parts" / f"{name}_{part}.json"
    count = benchmark.images if part in ("head", "pool") else benchmark.backbone_images
    run = run_of(benchmark, name, progress)
    request = {
        "version": __version__,
        "images": count,
        "limit_per_class": benchmark.limit_per_class,
        "seed": benchmark.seed,
        "run": run.fingerprints,
        "settings": dataclasses.asdict(run.config),
    }
    cache = benchmark.out / "maps" / f"{name}_{hashlib.sha256(json.dumps(request).encode()).hexdigest()[:16]}"
    request = plain({**request, "methods": list(METHODS)})
    if path.is_file() and read_json(path)["request"] == request:
        return
    progress.say(f"{name}, {part}")
    dataset = read_paper_set(name, benchmark.data_root, limit_per_class=benchmark.limit_per_class)
    rows = one_of_each(dataset.test.labels, count)
    case = Case(name, run, dataset.test.images(rows, run.config.size), benchmark.seed, cache)
    result = PARTS[part](case, progress)
    write_json(path, {"request": request, "set": name, "part": part, **environment(), **plain(result)})


def run_of(benchmark: Benchmark, name: str, progress: Progress) -> Run:
    """Load the run of a dataset; fit it if it does not exist."""
    folder = benchmark.runs / name
    if not folder.is_dir():
        progress.say(f"{name}: fitting a run")
        source = recorded_paper_set(name, benchmark.data_root, benchmark.limit_per_class)
        make_run(lambda: read_paper_set(**source), settings_of("sample", name), folder, progress, source=source)
    return load(folder)


def plain(value: Any) -> Any:
    """Return lists, numbers and strings for JSON; numbers keep six significant digits, and NaN becomes null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*memorises")
    main(tyro.cli(Benchmark))
