"""Claims by name: one module each."""

import importlib
from collections.abc import Iterable

from pcacam_jax.core.checks import InputError
from pcacam_jax.reproduce.claim import Claim

NAMES = (
    "table2",
    "table3",
    "figure2",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
    "figure8",
    "figure9",
    "maps",
    "gamma_trap",
)
"""Every claim, in the order of the page."""


def find_claims(names: Iterable[str] = ()) -> list[Claim]:
    """Return the claims of these names, by default all, in the order of :data:`NAMES`.

    Raises:
        InputError: an unknown name.
    """
    wanted = tuple(names) or NAMES
    for name in wanted:
        if name not in NAMES:
            raise InputError(f"there is no claim {name!r}; the claims are {', '.join(NAMES)}.")
    return [importlib.import_module(f"{__name__}.{name}").CLAIM for name in NAMES if name in wanted]
