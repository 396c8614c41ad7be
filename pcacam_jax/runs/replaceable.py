"""Which folders a new run may replace: an empty folder, or an earlier run that contains nothing else."""

from collections.abc import Iterator, Set
from pathlib import Path

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import read_json
from pcacam_jax.core.paths import printable
from pcacam_jax.core.written import is_replaceable
from pcacam_jax.reports.figures import FIGURES
from pcacam_jax.runs.run import CONFIG, EXPLANATIONS, RUN_PARTS, is_run_configuration

REPORT = "report.json"
RUN_FILES = {*RUN_PARTS, FIGURES, EXPLANATIONS, REPORT}
"""The names of all files and folders that a run folder can contain."""
FIGURES_OF_SCHEMA_1 = {
    f"{FIGURES}/{name}.png"
    for name in ("grid", "learning_curve", "contribution_ratios", "feature_space", "influence", "component_cards")
}
"""The figures of runs of schema 1, which have no digest."""


def check_run_folder(folder: Path) -> None:
    """Check that a folder that is to be replaced is empty, or is a run without any other files.

    Raises:
        InputError: the folder contains files that no run has written, or figures or explanations that were changed.
    """
    others = sorted(_others(folder, RUN_FILES)) if folder.is_dir() else []
    if others:
        raise InputError(
            f"the folder {printable(folder)} would be replaced, but contains files that no run has written "
            f"({', '.join(others[:3])}); choose a new or empty folder."
        )


def _others(folder: Path, names: Set[str]) -> Iterator[str]:
    """Yield the relative paths of all files in ``folder`` that are not part of a run."""
    entries = list(folder.iterdir())
    is_run = is_run_configuration(folder / CONFIG)
    yield from (printable(path.name) for path in entries if not is_run or path.name not in names or path.is_symlink())
    figures = _figures_of(folder)
    for path in (file for name in (FIGURES, EXPLANATIONS) for file in (folder / name).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or name in figures or is_replaceable(path)):
            yield printable(name)


def _figures_of(folder: Path) -> set[str]:
    """Return the figures of a run of schema 1, which have no digest."""
    try:
        return FIGURES_OF_SCHEMA_1 if read_json(folder / CONFIG)["schema"] == 1 else set()
    except (InputError, KeyError, TypeError):
        return set()
