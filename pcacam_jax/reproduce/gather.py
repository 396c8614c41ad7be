"""Collect the outcomes of the requested datasets: read cached ones, and fit and measure the other datasets."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.files import atomic_folder
from pcacam_jax.core.paths import user_path
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import EMBEDDED_SAMPLE, Dataset, read_dataset, read_paper_set, sets_in
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit_seeds
from pcacam_jax.nets import weights
from pcacam_jax.reports.figures import draw_figures
from pcacam_jax.reproduce.measure import measure
from pcacam_jax.reproduce.outcome import (
    OUTCOMES,
    RECORD,
    Outcome,
    check_outcome_folder,
    outcome_key,
    read_outcome,
    read_record,
    write_outcome,
)
from pcacam_jax.reproduce.paper import SETS, TABLE3
from pcacam_jax.reproduce.settings import check_scale, settings_of
from pcacam_jax.runs.replaceable import check_run_folder
from pcacam_jax.runs.run import CONFIG, save
from pcacam_jax.runs.source import recorded, recorded_paper_set

RUNS = "runs"
"""Subfolder of a reproduction with the run of each dataset's first seed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproductionRequest:
    """The datasets, scale and seeds of a reproduction, and the folder to write it to.

    Raises:
        InputError: an unknown scale or dataset, invalid seeds, or a data root without datasets.
    """

    out: Path
    scale: str
    data_root: Path | None = None
    """Folder with one subfolder per dataset; without it, every dataset is loaded from its own source."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    sets: tuple[str, ...] = ()
    """The datasets to use; all if empty."""
    force: bool = False
    """Whether pages and figures of the same names are replaced that this library did not write or that were changed."""

    def __post_init__(self):
        """Validate the fields."""
        object.__setattr__(self, "out", user_path(self.out))
        check_scale(self.scale)
        for name in self.sets:
            check_choice("sets", name, SETS)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or not all(0 <= s < 2**32 for s in self.seeds):
            raise InputError(f"seeds must be different numbers from 0 to 2^32 - 1, at least one; got {self.seeds}.")
        if self.data_root is not None and self.scale != "embedded":
            sets_in(self.data_root)

    def command(self, claims: Iterable[str]) -> str:
        """Return the command that repeats this reproduction, with placeholders for local paths."""
        root = ["--data-root", "DIR"] if self.data_root else []
        sets = ["--sets", *self.sets] if self.sets else []
        seeds = ["--seeds", *map(str, self.seeds)]
        return " ".join(["pcacam reproduce", *claims, *root, "--scale", self.scale, *seeds, *sets])


class GatheredOutcomes(NamedTuple):
    """Outcomes by dataset name, and the reason for every dataset without an outcome."""

    outcomes: dict[str, Outcome]
    missing: dict[str, str]
    """Reasons for the datasets that cannot be loaded."""
    excluded: dict[str, str]
    """Reasons for the datasets that the request leaves out."""


def gather(request: ReproductionRequest, sets: Iterable[str], progress: Progress) -> GatheredOutcomes:
    """Return the outcomes of the named datasets, in the paper's order.

    Datasets that cannot be loaded are reported in ``missing``; an error is raised only if ``request.sets`` names them.
    Those that the request leaves out are reported in ``excluded``.

    Raises:
        InputError: VGG16's weights are not available, a dataset cannot be fitted, its outcome cannot be written, a
            dataset named in ``request.sets`` cannot be loaded, or the output folder contains files that must not be
            replaced.
    """
    names, outcomes, missing, excluded, datasets = set(sets), {}, {}, {}, {}
    check_output_folders(request)
    digest = weights.weights_digest(weights.load()) if names else ""
    for name in (name for name in SETS if name in names):
        if reason := exclusion_reason(request, name):
            excluded[name] = reason
            continue
        try:
            datasets[name] = loaded = load_dataset(request, name, digest)
        except InputError as error:
            if name in request.sets:
                raise
            missing[name] = str(error)
            progress.say(f"{TABLE3[name].title} is not available: {error}")
            continue
        if loaded.cached is None:
            check_outcome_folder(request.out / OUTCOMES / name)
            check_run_folder(request.out / RUNS / name)
    for name, loaded in datasets.items():
        outcomes[name] = cached_or_new_outcome(request, name, loaded, progress)
    return GatheredOutcomes(outcomes, missing, excluded)


def check_output_folders(request: ReproductionRequest) -> None:
    """Check before the long computation that the output folder contains nothing that must not be replaced.

    Raises:
        InputError: it contains outcomes of another scale or of other seeds, or other files in the folder of a dataset.
    """
    for name in SETS:
        for folder, marker in ((request.out / OUTCOMES / name, RECORD), (request.out / RUNS / name, CONFIG)):
            if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
                raise InputError(
                    f"the folder {folder} contains other files (no {marker}); move them, or choose another --out."
                )
        record = read_record(request.out / OUTCOMES / name)
        if record.get("scale", request.scale) != request.scale:
            raise InputError(
                f"{request.out} contains a reproduction at scale {record['scale']}, which would be replaced by one at "
                f"scale {request.scale}; choose another --out."
            )
        if record.get("seeds", list(request.seeds)) != list(request.seeds):
            raise InputError(
                f"{request.out} contains a reproduction with seeds {' '.join(map(str, record['seeds']))}, which would "
                f"be replaced by one with seeds {' '.join(map(str, request.seeds))}; choose another --out."
            )


def exclusion_reason(request: ReproductionRequest, name: str) -> str | None:
    """Return why the request excludes a dataset, or None if it includes it."""
    if request.sets and name not in request.sets:
        return f"{TABLE3[name].title} was excluded by --sets; add it there to include it."
    if name not in check_scale(request.scale).sets:
        return (
            f"the scale {request.scale} does not include {TABLE3[name].title}; "
            "use --scale sample or --scale full with --data-root."
        )
    return None


class LoadedDataset(NamedTuple):
    """A requested dataset with its configuration, the key of its outcome, and that outcome if it is cached."""

    dataset: Dataset
    config: FitConfig
    key: str
    cached: Outcome | None


def load_dataset(request: ReproductionRequest, name: str, weights_digest: str) -> LoadedDataset:
    """Load a requested dataset; unless its outcome is cached, check that its images can be decoded.

    Raises:
        InputError: the dataset cannot be loaded, or an image cannot be decoded.
    """
    dataset, config = _read(request, name), settings_of(request.scale, name)
    key = outcome_key(dataset, config, request.seeds, weights_digest)
    cached = read_outcome(request.out / OUTCOMES / name, key)
    if cached is None:
        dataset.train.check()
        dataset.test.check()
    return LoadedDataset(dataset, config, key, cached)


def cached_or_new_outcome(
    request: ReproductionRequest, name: str, loaded: LoadedDataset, progress: Progress
) -> Outcome:
    """Return the cached outcome of a dataset if data, settings, seeds and weights are unchanged.

    Otherwise fit the dataset with every seed, measure the fits, and save the outcome. The run of the first seed is
    saved too, so that it can explain images.

    Raises:
        InputError: the dataset cannot be fitted, or the results cannot be written.
    """
    title, folder = TABLE3[name].title, request.out / OUTCOMES / name
    dataset, config, key, cached = loaded
    if cached:
        progress.say(f"{title}: using the outcome of an earlier run")
        return cached
    progress.say(
        f"{title}: {len(dataset.train):,} + {len(dataset.test):,} images, {config.size} px, "
        f"{config.epochs} epochs, seeds {', '.join(map(str, request.seeds))}"
        + ("; the stored outcome has other data, settings or weights" if (folder / RECORD).is_file() else "")
    )
    fits = fit_seeds(dataset, config, request.seeds, progress=progress)
    with progress.bar("maps, figures", 2) as advance:
        outcome = measure(fits, key=key, scale=request.scale, name=name)
        advance(1)
        with atomic_folder(request.out / RUNS / name, marker=CONFIG, check=check_run_folder) as run:
            save(fits[0], run, source=_source(request, name))
            draw_figures(fits[0], run, method="gradcam")
        advance(1)
    write_outcome(folder, outcome)
    return outcome


def _source(request: ReproductionRequest, name: str) -> dict[str, Any]:
    """Return where the dataset of a request was read from, as :func:`~pcacam_jax.runs.source.read_again` takes it."""
    if request.scale == "embedded":
        return recorded(EMBEDDED_SAMPLE)
    return recorded_paper_set(name, request.data_root, check_scale(request.scale).limit_per_class)


def _read(request: ReproductionRequest, name: str) -> Dataset:
    if request.scale == "embedded":
        return read_dataset(EMBEDDED_SAMPLE)
    return read_paper_set(name, request.data_root, limit_per_class=check_scale(request.scale).limit_per_class)
