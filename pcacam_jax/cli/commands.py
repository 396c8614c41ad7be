"""The commands. Each imports what it needs when it runs, so that ``--help`` answers at once."""

import dataclasses
import json as json_format
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from pcacam_jax.cli.parsing import UNSTATED, deferred
from pcacam_jax.cli.tables import certificate_tables, report_tables, values_table
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import writable_folder, write_json
from pcacam_jax.core.paths import identities, printable
from pcacam_jax.core.progress import Progress
from pcacam_jax.core.written import FORCE, check_output, sealed
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.verification.certificate import Certificate, certify, default_cases, first_of

app = tyro.extras.SubcommandApp()


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncheckedConfig(FitConfig):
    """Settings of the run."""

    def __post_init__(self):
        """Accept all values: the parser would print its usage around an error; ``fit`` validates them afterwards."""


DEFAULTS = UncheckedConfig()
Flag = Annotated[bool, UNSTATED]


@app.command
@deferred
def demo(*, out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("pcacam_demo"), json: Flag = False) -> None:
    """Fit, verify and explain a run on the embedded sample of Fashion-MNIST; the first time takes a minute or two.

    Args:
        out: Folder to write: the run, its figures and report.json. An earlier run in this folder is replaced.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.runs.make_run import make_demo

    report = make_demo(out, Progress())
    _print_report(report, out, as_json=json)


@app.command
@deferred
def fit(
    *,
    data: Annotated[str, tyro.conf.arg(metavar="DATA")],
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")],
    config: tyro.conf.OmitArgPrefixes[UncheckedConfig] = DEFAULTS,
    class_names: Annotated[str | None, tyro.conf.arg(metavar="NAMES", help_behavior_hint="")] = None,
    data_root: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    limit_per_class: Annotated[int | None, UNSTATED] = None,
    thumbnails: Flag = False,
    json: Flag = False,
) -> None:
    """Train the head, fit a PCA and two SVMs, verify the result, draw figures and write a run folder.

    Args:
        data: The dataset: fashion_mnist_sample (in the package), tfds:NAME, or the path of
            an .npz file with images and labels,
            a folder with image files in train/CLASS/ and test/CLASS/, or in CLASS/,
            a folder with train.npz and test.npz, or a folder with idx .gz files.
            Datasets of the paper: mnist, fashion_mnist, blood_mnist, cifar10, chest_xray, dog_cat.
        out: Run folder to write. An earlier run in this folder is replaced.
        config: Settings of the run.
        class_names: Names of the classes in the order of the labels, separated by commas.
        data_root: Folder that is searched first for a dataset given by name.
        limit_per_class: Use at most this many training images and test images of a class, drawn with the seed.
        thumbnails: Save small copies of all training images in the run, for figures after the images have been moved.
        json: Print the report as JSON instead of tables.
    """
    from pcacam_jax.data import read_dataset
    from pcacam_jax.runs.make_run import make_run
    from pcacam_jax.runs.source import recorded

    checked = FitConfig(**dataclasses.asdict(config))
    names = None if class_names is None else [name.strip() for name in class_names.split(",")]
    options = {"class_names": names, "seed": checked.seed, "limit_per_class": limit_per_class, "data_dir": data_root}
    source = recorded(data, **options)
    report = make_run(
        lambda: read_dataset(data, **options), checked, out, Progress(), source=source, thumbnails=thumbnails
    )
    _print_report(report, out, as_json=json)


@app.command
@deferred
def explain(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    images: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE ...", help_behavior_hint="")
    ],
    *,
    targets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TARGET ...", help_behavior_hint="")] = (),
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    method: str = "hirescam",
    backend: str = "closed_form",
    scale_free: Flag = False,
    samples: Annotated[int | None, UNSTATED] = None,
    noise: float = 0.15,
    seed: int = 0,
    trust: Flag = False,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Explain image files; write a picture, an .npz file of maps and a .json file of values for each image.

    Results that the same command has written before are not computed again. Images in folders that cannot be read are
    skipped with a warning, and the exit code is 1 then.

    Args:
        run: Run folder from fit or demo.
        images: Image files, and folders with images. The results of a folder have its structure.
        targets: Outputs to explain, such as pca, pca:0, cnn:3 or svm_rbf:predicted.
            By default, the prediction of every classifier and all principal components.
        out: Folder to write to; by default RUN/explanations.
        method: CAM method: hirescam, gradcam, cam, gradcam++, gradcam++authors, gradcam++exact, smooth_gradcam++,
            xgradcam, layercam, relevancecam, scorecam, ablationcam, shapcam, shapleycam, liftcam, eigencam,
            eigengradcam, or smooth(...) with one of them, such as "smooth(hirescam)".
        backend: How derivatives are computed: closed_form, reverse, forward or finite_difference.
        scale_free: Divide the gradients of RBF SVMs by their largest kernel value, so that they do not underflow.
            The maps are then correct up to a positive factor.
        samples: Number of noisy images (25 by default) or of permutations of shapcam (64 by default).
        noise: Standard deviation of the noise, as a fraction of the range of the images.
        seed: Seed of noise and permutations.
        trust: Say of each map whether it can be trusted: whether it is faithful, stable and like those of other
            methods, and whether the image is like the training images.
        force: Compute all results again, and replace files of the same names that pcacam did not write.
        json: Print the values as JSON.
    """
    from pcacam_jax.runs.explain_files import explain_files

    if not images:
        raise InputError("give at least one image file to explain.")
    out = run / "explanations" if out is None else out
    options: Any = {"method": method, "backend": backend, "scale_free": scale_free, "force": force}
    options |= {"samples": samples, "noise": noise, "seed": seed, "trust": trust}
    explained = explain_files(run, images, targets, out, **options, progress=Progress())
    _print(json, explained.reports, *map(values_table, explained.reports))
    count = len(explained.reports)
    reused = f"; {explained.reused} of {count} were there already" if explained.reused else ""
    Progress(quiet=json).say(f"wrote {count - explained.reused} x (.png, .npz, .json) to {printable(out)}{reused}")
    if explained.unreadable:
        sys.exit(1)


@app.command
@deferred
def verify(
    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN]", help_behavior_hint="")] = None,
    *,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None,
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Compare the closed forms with reverse mode, forward mode and central differences; exit code 1 if one fails.

    Without a run, this covers every stage, the six closed forms of the paper's Table 2, and a full-size head. Second
    derivatives are compared with autodiff and with central differences of the closed-form Jacobians.

    Args:
        run: Run folder whose head is verified at the feature maps of its first test image.
        out: File to write the certificate to; by default RUN/verification.json, or verification.json without a run.
        force: Replace the file OUT even if it is not a certificate that pcacam wrote.
        json: Print the certificate as JSON instead of a table.
    """
    part_of_run = None if run is None else run / "verification.json"
    out = out or part_of_run or Path("verification.json")
    reads = identities([] if run is None else (path for path in run.glob("*") if path != part_of_run))
    is_part_of_run = part_of_run is not None and not identities([out]).isdisjoint(identities([part_of_run]))
    check_output(out, "certificate", reads=reads, overwrite=force or is_part_of_run, remedy=FORCE)
    certificate = _certificate(run, out)
    content = sealed(certificate.as_dict())
    write_json(out, content)
    _print(json, content, *certificate_tables(certificate))
    Progress(quiet=json).say(f"wrote {printable(out)}")
    if failures := certificate.failures():
        _fail(f"{len(failures)} of {len(certificate.rows)} comparisons fail ({first_of(failures)})", out)


@app.command
@deferred
def reproduce(
    claims: Annotated[
        tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="CLAIM ...", help_behavior_hint="")
    ] = (),
    *,
    data_root: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None,
    scale: Annotated[str | None, UNSTATED] = None,
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("reproduction"),
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    sets: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET ...", help_behavior_hint="")] = (),
    force: Flag = False,
    json: Flag = False,
) -> None:
    """Measure the paper's claims, tables and figures, and write one page, OUT/reproduction.md, with its .json.

    Finished results are saved in OUT, so that an interrupted run continues where it stopped. The page of a selection of
    claims is named after them, such as OUT/reproduction_table3_figure6.md, and leaves the complete page unchanged.

    Args:
        claims: Claims to measure, such as table3 figure6; all by default.
        data_root: Folder that contains the datasets, each in a folder of its name:
            mnist, fashion_mnist, blood_mnist, cifar10, chest_xray, dog_cat.
        scale: embedded (the sample of Fashion-MNIST), sample (at most 400 images of a class) or full.
            By default, sample if a data root is given, and embedded otherwise.
        out: Folder for the page, its figures, one run of each dataset and the measurements.
        seeds: Seeds of the fits; the scores are averaged over them.
        sets: Datasets to use; all by default.
        force: Replace pages and figures of the same names that pcacam did not write.
        json: Print the page's JSON instead of tables.
    """
    from pcacam_jax.reproduce.gather import ReproductionRequest
    from pcacam_jax.reproduce.reproduce import page_name
    from pcacam_jax.reproduce.reproduce import reproduce as make
    from pcacam_jax.reproduce.terminal import section_tables, unmeasured

    scale = scale or ("sample" if data_root else "embedded")
    request = ReproductionRequest(out=out, scale=scale, data_root=data_root, seeds=seeds, sets=sets, force=force)
    try:
        report, sections = make(claims, request, Progress())
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            f"interrupted; finished results are saved in {printable(out)}, and the same command continues from there."
        ) from interrupt
    _print(json, report, *(table for section in sections for table in section_tables(section)))
    if sentence := unmeasured(sections):
        Progress(quiet=json).say(sentence)
    runs = f"; explain images with the runs in {printable(out / 'runs')}" if report["sets"] else ""
    page = page_name([section.claim for section in sections])
    Progress(quiet=json).say(f"wrote {printable(out / page)}.md{runs}")


def _certificate(run: Path | None, out: Path) -> Certificate:
    if run is None:
        writable_folder(out.parent)
        cases = list(default_cases())
        with Progress().bar("certificate", len(cases)) as advance:
            return certify(cases, progress=lambda name: advance(1, name))
    from pcacam_jax.runs.run import verify_run

    return verify_run(run, progress=Progress())


def _print_report(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    _print(as_json, report, *report_tables(report))
    Progress(quiet=as_json).say(
        f"wrote {printable(out)} in {report['timings']['total']:.0f} s; see {printable(out / report['figures'][0])}"
    )
    if not report["verification"]["passed"]:
        failure = first_of(report["verification"]["failures"])
        _fail(f"the closed forms of this run fail their verification ({failure})", out / "verification.json")


def _fail(problem: str, certificate: Path) -> None:
    print(f"pcacam: {problem}; see {printable(certificate)}.", file=sys.stderr)
    sys.exit(1)


def _print(as_json: bool, value: Any, *tables: Table) -> None:
    if as_json:
        print(json_format.dumps(value, indent=2))
        return
    console = Console()
    # A file has no width that the tables must fit in.
    console = console if console.is_terminal else Console(width=200)
    for table in tables:
        console.print(table)
