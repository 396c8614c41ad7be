"""The outcomes of the sets that are asked for: kept ones where they still fit, new fits where not."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.files import folder_written_whole
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
    outcome_key,
    read_outcome,
    read_record,
    write_outcome,
)
from pcacam_jax.reproduce.paper import SETS, TABLE3
from pcacam_jax.reproduce.settings import check_scale, settings_of
from pcacam_jax.runs.run import CONFIG, save

RUNS = "runs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be reproduced, on which data, and where to."""

    out: Path
    scale: str
    data_root: Path | None = None
    """Folder with a folder for each set; without it every set is fetched by its own way."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    sets: tuple[str, ...] = ()
    """The sets to take; all if empty."""

    def __post_init__(self):
        """Refuse what cannot be reproduced."""
        check_scale(self.scale)
        for name in self.sets:
            check_choice("sets", name, SETS)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or not all(0 <= s < 2**32 for s in self.seeds):
            raise InputError(f"seeds must be different numbers from 0 to 2^32 - 1, at least one; got {self.seeds}.")
        if self.data_root is not None and self.scale != "embedded":
            sets_in(self.data_root)

    def command(self, claims: Iterable[str]) -> str:
        """Return the command that makes the same again; paths are the reader's own."""
        root = ["--data-root", "DIR"] if self.data_root else []
        sets = ["--sets", *self.sets] if self.sets else []
        seeds = ["--seeds", *map(str, self.seeds)]
        return " ".join(["pcacam reproduce", *claims, *root, "--scale", self.scale, *seeds, *sets])


class Gathered(NamedTuple):
    """Outcomes by set, and for every set without one the reason."""

    outcomes: dict[str, Outcome]
    missing: dict[str, str]


def gather(order: Order, sets: Iterable[str], progress: Progress) -> Gathered:
    """Return the outcomes of these sets, in the paper's order; data that cannot be had are told, not raised.

    Raises:
        InputError: VGG16's weights cannot be had, a fit is refused or cannot be kept, a set named in ``order.sets``
            cannot be had, or the folder holds what must not be replaced.
    """
    wanted, gathered, asked = set(sets), Gathered({}, {}), {}
    check_places(order)
    digest = weights.weights_digest(weights.load()) if wanted else ""
    for name in (name for name in SETS if name in wanted):
        if reason := left_out(order, name):
            gathered.missing[name] = reason
            continue
        try:
            asked[name] = asked_for(order, name, digest)
        except InputError as error:
            if name in order.sets:
                raise
            gathered.missing[name] = str(error)
            progress.say(f"{TABLE3[name].title} cannot be had: {error}")
    for name, own in asked.items():
        gathered.outcomes[name] = outcome_of(order, name, own, progress)
    return gathered


def check_places(order: Order) -> None:
    """Refuse, before the long work, a folder whose content must not be replaced.

    Raises:
        InputError: it holds outcomes of another scale or of other seeds, or other files where a set's folders go.
    """
    for name in SETS:
        for folder, marker in ((order.out / OUTCOMES / name, RECORD), (order.out / RUNS / name, CONFIG)):
            if folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file():
                raise InputError(
                    f"the folder {folder} holds other files (no {marker}); move them, or choose another --out."
                )
        kept = read_record(order.out / OUTCOMES / name)
        if kept.get("scale", order.scale) != order.scale:
            raise InputError(
                f"{order.out} holds a reproduction at the scale {kept['scale']}, which one at the scale {order.scale} "
                "would replace; choose another --out."
            )
        if kept.get("seeds", list(order.seeds)) != list(order.seeds):
            raise InputError(
                f"{order.out} holds a reproduction with the seeds {' '.join(map(str, kept['seeds']))}, which one with "
                f"the seeds {' '.join(map(str, order.seeds))} would replace; choose another --out."
            )


def left_out(order: Order, name: str) -> str | None:
    """Return why the order does not even ask for a set, None if it does."""
    if order.sets and name not in order.sets:
        return f"{TABLE3[name].title} was left out by --sets; name it there, too, to have it."
    if name not in check_scale(order.scale).sets:
        return f"the scale {order.scale} has no {TABLE3[name].title}; take --scale sample or full with --data-root."
    return None


class Asked(NamedTuple):
    """A set that is asked for, and its outcome if one is kept that still fits."""

    dataset: Dataset
    config: FitConfig
    key: str
    kept: Outcome | None


def asked_for(order: Order, name: str, weights_digest: str) -> Asked:
    """Return one set of the order, all of whose images can be decoded if they are yet to be read.

    Raises:
        InputError: the set cannot be had, or an image cannot be decoded.
    """
    dataset, config = _read(order, name), settings_of(order.scale, name)
    key = outcome_key(dataset, config, order.seeds, weights_digest)
    kept = read_outcome(order.out / OUTCOMES / name, key)
    if kept is None:
        dataset.train.check()
        dataset.test.check()
    return Asked(dataset, config, key, kept)


def outcome_of(order: Order, name: str, asked: Asked, progress: Progress) -> Outcome:
    """Return the outcome of one set: the one that is kept, if data, settings, seeds and weights are still the same.

    Otherwise every seed is fitted, and the first seed's run is saved beside, so that it can explain images.

    Raises:
        InputError: the fit is refused, or there is no place for what comes of it.
    """
    title, folder = TABLE3[name].title, order.out / OUTCOMES / name
    dataset, config, key, kept = asked
    if kept:
        progress.say(f"{title}: kept from an earlier run")
        return kept
    progress.say(
        f"{title}: {len(dataset.train):,} + {len(dataset.test):,} images, {config.size} px, "
        f"{config.epochs} epochs, seeds {', '.join(map(str, order.seeds))}"
        + ("; the kept outcome is of other data, settings or weights" if (folder / RECORD).is_file() else "")
    )
    fitted = fit_seeds(dataset, config, order.seeds, progress=progress)
    with progress.bar("maps, figures", 2) as advance:
        outcome = measure(fitted, key=key, scale=order.scale, name=name)
        advance(1)
        with folder_written_whole(order.out / RUNS / name, marker=CONFIG) as run:
            save(fitted[0], run)
            draw_figures(fitted[0], run)
        advance(1)
    write_outcome(folder, outcome)
    return outcome


def _read(order: Order, name: str) -> Dataset:
    """Return the data of a set at the order's scale."""
    if order.scale == "embedded":
        return read_dataset(EMBEDDED_SAMPLE)
    return read_paper_set(name, order.data_root, limit_per_class=check_scale(order.scale).limit_per_class)
