"""Run a reproduction: collect the outcomes, measure and draw every claim, and write the page."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import atomic_write, writable_folder, write_json
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce.claim import Claim, Finding
from pcacam_jax.reproduce.claims import NAMES, find_claims
from pcacam_jax.reproduce.gather import GatheredOutcomes, ReproductionRequest, gather
from pcacam_jax.reproduce.page import Section, page, report

PAGE, FIGURES, LOCK = "reproduction", "figures", ".lock"


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
            outcomes that :func:`~pcacam_jax.reproduce.gather.gather` cannot return, or no claim that can be measured.
    """
    claims = find_claims(names)
    with _locked(writable_folder(request.out)):
        gathered = gather(request, {name for claim in claims for name in claim.sets}, progress)
        sections = []
        with progress.bar("claims", len(claims)) as advance:
            for claim in claims:
                sections.append(_section(claim, gathered, request.out / _with_claims(FIGURES, claims)))
                advance(1, claim.name)
        if not any(section.finding for section in sections):
            reasons = " ".join(dict.fromkeys([*gathered.missing.values(), *gathered.excluded.values()]))
            claim_names = ", ".join(claim.name for claim in claims)
            raise InputError(f"none of the claims could be measured ({claim_names}): {reasons}")
        content = report(request, gathered, sections)
        _write(request.out / page_name(claims), content, sections)
    return content, sections


def _write(path: Path, content: dict[str, Any], sections: list[Section]) -> None:
    with atomic_write(path.with_suffix(".md")) as temporary:
        temporary.write_text(page(content, sections), encoding="utf-8")
    write_json(path.with_suffix(".json"), content)


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


def _section(claim: Claim, gathered: GatheredOutcomes, figures: Path) -> Section:
    """Measure and draw one claim, if it needs no data or at least one of its datasets is available."""
    outcomes = claim.select(gathered.outcomes)
    if claim.sets and not outcomes:
        return Section(claim, None, [])
    finding: Finding = claim.measure(outcomes)
    return Section(claim, finding, _draw(claim, outcomes, writable_folder(figures)))


def _draw(claim: Claim, outcomes: Any, folder: Path) -> list[str]:
    from pcacam_jax import plots

    figures = claim.draw(outcomes)
    for name, figure in figures.items():
        plots.save(figure, folder / f"{name}.png", dpi=110)
    return [f"{folder.name}/{name}.png" for name in figures]
