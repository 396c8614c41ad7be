"""Run a reproduction: collect the outcomes, measure and draw every claim, and write the page."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import writable_folder
from pcacam_jax.core.progress import Progress
from pcacam_jax.core.written import FORCE, check_output, sealed, write_sealed_json, write_sealed_text
from pcacam_jax.reproduce.claim import Claim, Finding
from pcacam_jax.reproduce.claims import NAMES, find_claims
from pcacam_jax.reproduce.gather import GatheredOutcomes, ReproductionRequest, gather
from pcacam_jax.reproduce.page import Section, page, report

PAGE, FIGURES, LOCK = "reproduction", "figures", ".pcacam_reproduce.lock"


def page_name(claims: Sequence[Claim]) -> str:
    """Return the file name of the page of these claims, without suffix."""
    return _with_claims(PAGE, claims)


def _with_claims(name: str, claims: Sequence[Claim]) -> str:
    """Append the names of the claims to a file name, unless they are all claims.

    A page of some claims therefore never replaces the page of all claims.
    """
    return "_".join([name, *(claim.name for claim in claims if len(claims) < len(NAMES))])


def reproduce(
    names: Sequence[str], request: ReproductionRequest, progress: Progress
) -> tuple[dict[str, Any], list[Section]]:
    """Measure the named claims, or all if no name is given, and write the page to ``request.out``.

    Args:
        names: names of claims, such as "table3".
        request: the datasets, scale and seeds, and the folder to write to.
        progress: where progress is reported.

    Returns:
        The content of the page's JSON file, and the sections of the page.

    Raises:
        InputError: an unknown claim, an output folder that cannot be written to or that another reproduction is using,
            a page or figure that this library did not write and that would be replaced,
            outcomes that :func:`~pcacam_jax.reproduce.gather.gather` cannot return, or no claim that can be measured.
    """
    claims = find_claims(names)
    _check_outputs(claims, request)
    with _locked(writable_folder(request.out)):
        gathered = gather(request, {name for claim in claims for name in claim.sets}, progress)
        sections = []
        with progress.bar("claims", len(claims)) as advance:
            for claim in claims:
                sections.append(_section(claim, gathered, _figures_of(claims, request), overwrite=request.force))
                advance(1, claim.name)
        if not any(section.finding for section in sections):
            reasons = " ".join(dict.fromkeys([*gathered.missing.values(), *gathered.excluded.values()]))
            claim_names = ", ".join(claim.name for claim in claims)
            raise InputError(f"none of the claims could be measured ({claim_names}): {reasons}")
        content = sealed(report(request, gathered, sections))
        _write(request.out / page_name(claims), content, sections)
    return content, sections


def _write(path: Path, content: dict[str, Any], sections: list[Section]) -> None:
    write_sealed_text(path.with_suffix(".md"), page(content, sections))
    write_sealed_json(path.with_suffix(".json"), content)


def _figures_of(claims: Sequence[Claim], request: ReproductionRequest) -> Path:
    return request.out / _with_claims(FIGURES, claims)


def _check_outputs(claims: Sequence[Claim], request: ReproductionRequest) -> None:
    """Check before the long computation that the page and its figures replace nothing that is not a page of ours."""
    path, figures = request.out / page_name(claims), _figures_of(claims, request)
    names = (*(claim.name for claim in claims), "cards_")
    drawn = [(figure, "figure") for figure in figures.glob("*.png") if figure.name.startswith(names)]
    for output, kind in ((path.with_suffix(".md"), "page"), (path.with_suffix(".json"), "reproduction"), *drawn):
        check_output(output, kind, overwrite=request.force, remedy=FORCE)


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Lock a folder against other reproductions; the operating system releases the lock if the process dies."""
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"another reproduction is running in {out}; wait until it has finished, or choose another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _section(claim: Claim, gathered: GatheredOutcomes, figures: Path, *, overwrite: bool) -> Section:
    """Measure and draw one claim, if it needs no data or at least one of its datasets is available."""
    outcomes = claim.select(gathered.outcomes)
    if claim.sets and not outcomes:
        return Section(claim, None, [])
    finding: Finding = claim.measure(outcomes)
    return Section(claim, finding, _draw(claim, outcomes, writable_folder(figures), overwrite=overwrite))


def _draw(claim: Claim, outcomes: Any, folder: Path, *, overwrite: bool) -> list[str]:
    from pcacam_jax import plots

    figures = claim.draw(outcomes)
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png", dpi=110, overwrite=overwrite)
    return [f"{folder.name}/{name}.png" for name in figures]
