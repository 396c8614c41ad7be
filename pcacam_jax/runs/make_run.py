"""Complete runs from the dataset to the report, and the demo on the embedded sample of Fashion-MNIST."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_folder, write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import EMBEDDED_SAMPLE, Dataset, read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.figures import FIGURES, draw_figures
from pcacam_jax.runs.reference_file import LINEAR_SUPPORT, REFERENCE
from pcacam_jax.runs.run import CERTIFICATE, CONFIG, DIVISION, EXPLANATIONS, METRICS, MODEL, POINT, save
from pcacam_jax.runs.source import recorded

DEMO_CONFIG = FitConfig(size=96)
REPORT = "report.json"
RUN_FILES = {
    CONFIG,
    METRICS,
    MODEL,
    CERTIFICATE,
    POINT,
    REFERENCE,
    LINEAR_SUPPORT,
    DIVISION,
    FIGURES,
    EXPLANATIONS,
    REPORT,
}
"""The names of all files and folders that a run folder can contain."""


def make_demo(out: Path, progress: Progress) -> dict[str, Any]:
    """Fit the embedded sample at 96 px, write the run folder ``out`` and return its report."""
    return make_run(lambda: read_dataset(EMBEDDED_SAMPLE), DEMO_CONFIG, out, progress, source=recorded(EMBEDDED_SAMPLE))


def make_run(
    read: Callable[[], Dataset],
    config: FitConfig,
    out: Path,
    progress: Progress,
    *,
    source: dict[str, Any] | None = None,
    thumbnails: bool = False,
) -> dict[str, Any]:
    """Read a dataset, fit and verify it, and write the run folder with figures and report.json.

    The folder is written completely or not at all.

    Args:
        read: a function that returns the dataset. It is called after ``out`` has been checked.
        config: the settings of the fit.
        out: the run folder to write. An existing run folder is replaced.
        progress: where progress is shown.
        source: the arguments of :func:`pcacam_jax.data.read_dataset` that give the dataset, if there are; see
            :func:`pcacam_jax.runs.source.recorded`. A loaded run reads its images again from there.
        thumbnails: whether small copies of all training images are saved.

    Returns:
        The report with ``metrics``, ``explained_variance_ratio``, ``verification``, ``figures`` and ``timings`` in
        seconds, among others.

    Raises:
        InputError: ``out`` contains other files or cannot be written to, or the data, the weights or the configuration
            are invalid.
    """
    start = time.perf_counter()
    _check_replaceable(out)
    with atomic_folder(out, marker=CONFIG) as folder:
        fitted = fit(read(), config, progress=progress)
        save(fitted, folder, source=source, thumbnails=thumbnails)
        drawing = time.perf_counter()
        with progress.bar("figures", 1) as advance:
            figures = draw_figures(fitted, folder)
            advance(1)
        now = time.perf_counter()
        certificate = fitted.certificate.as_dict()
        report = {
            **fitted.metrics,
            "verification": {key: value for key, value in certificate.items() if key != "comparisons"},
            "figures": figures,
            "timings": {**fitted.timings, "figures": round(now - drawing, 3), "total": round(now - start, 3)},
        }
        write_json(folder / REPORT, report)
    return report


def _check_replaceable(out: Path) -> None:
    """Raise an InputError if ``out`` contains files that are not part of a run, because replacing it deletes them."""
    foreign = sorted({path.name for path in out.iterdir()} - RUN_FILES) if out.is_dir() else []
    if foreign:
        raise InputError(
            f"the folder {out} would be replaced, but contains files that no run has written "
            f"({', '.join(foreign[:3])}); "
            "choose a new or empty folder."
        )
