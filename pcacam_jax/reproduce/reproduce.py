"""Reproduce: gather outcomes, measure every claim, draw, write the page."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import writable_folder, write_json, written_whole
from pcacam_jax.core.progress import Progress
from pcacam_jax.reproduce.claim import Claim, Finding
from pcacam_jax.reproduce.claims import NAMES, find_claims
from pcacam_jax.reproduce.gather import Gathered, Order, gather
from pcacam_jax.reproduce.page import Section, page, report

PAGE, FIGURES, LOCK = "reproduction", "figures", ".lock"


def page_name(claims: Sequence[Claim]) -> str:
    """Return the name of the page of these claims without suffix."""
    return _called(PAGE, claims)


def _called(first: str, claims: Sequence[Claim]) -> str:
    """Return a name to which those of the claims are added unless they are all.

    So a page of some claims, which knows nothing of the others, never takes the place of the whole one.
    """
    return "_".join([first, *(claim.name for claim in claims if len(claims) < len(NAMES))])


def reproduce(names: Sequence[str], order: Order, progress: Progress) -> tuple[dict[str, Any], list[Section]]:
    """Reproduce the claims of these names, all if none is given, and write the page to ``order.out``.

    Returns:
        What the page's JSON file holds, and the sections of the page.

    Raises:
        InputError: an unknown claim, scale or set, a place that cannot be written to or where another reproduction is
            at work, or no claim that can be made.
    """
    claims = find_claims(names)
    with _alone(writable_folder(order.out)):
        gathered = gather(order, {name for claim in claims for name in claim.sets}, progress)
        sections = []
        with progress.bar("claims", len(claims)) as advance:
            for claim in claims:
                sections.append(_section(claim, gathered, order.out / _called(FIGURES, claims)))
                advance(1, claim.name)
        if not any(section.finding for section in sections):
            reasons = "; ".join(dict.fromkeys(gathered.missing.values()))
            wanted = ", ".join(claim.name for claim in claims)
            raise InputError(f"none of the claims could be made ({wanted}): {reasons}")
        content = report(order, gathered, sections)
        _write(order.out / page_name(claims), content, sections)
    return content, sections


def _write(path: Path, content: dict[str, Any], sections: list[Section]) -> None:
    with written_whole(path.with_suffix(".md")) as temporary:
        temporary.write_text(page(content, sections), encoding="utf-8")
    write_json(path.with_suffix(".json"), content)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep every other reproduction out of a folder; the lock of a process that was killed is free."""
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"another reproduction is at work in {out}; wait until it has ended, or choose another --out."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _section(claim: Claim, gathered: Gathered, figures: Path) -> Section:
    """Measure and draw one claim; without any of its sets there is nothing to measure."""
    outcomes = claim.of(gathered.outcomes)
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
