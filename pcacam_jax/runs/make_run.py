"""Complete runs from the dataset to the report, and the demo on the embedded sample of Fashion-MNIST."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pcacam_jax.core.files import atomic_folder, write_json
from pcacam_jax.core.paths import user_path
from pcacam_jax.core.progress import Progress
from pcacam_jax.data import EMBEDDED_SAMPLE, Dataset, read_dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.fit import fit
from pcacam_jax.reports.figures import draw_figures
from pcacam_jax.runs.replaceable import REPORT, RUN_FILES, check_run_folder
from pcacam_jax.runs.run import CONFIG, save
from pcacam_jax.runs.source import recorded

DEMO_CONFIG = FitConfig(size=96)
__all__ = ["DEMO_CONFIG", "RUN_FILES", "make_demo", "make_run"]


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
        out: the run folder to write. An earlier run in it is replaced, unless the folder contains other files, too.
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
    with atomic_folder(user_path(out), marker=CONFIG, check=check_run_folder) as folder:
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
