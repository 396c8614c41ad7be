"""The claims of the paper, one module per claim, and the function that finds them by name."""

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
"""All claims in the order of the page."""


def find_claims(names: Iterable[str] = ()) -> list[Claim]:
    """Return the claims with these names in the order of :data:`NAMES`, or all claims if no name is given.

    Raises:
        InputError: an unknown name.

    Example:
        >>> from pcacam_jax.reproduce.claims import find_claims
        >>> [claim.paper for claim in find_claims(["figure4", "table2"])]
        ['Table 2', 'Figure 4']
    """
    selected = tuple(names) or NAMES
    for name in selected:
        if name not in NAMES:
            raise InputError(f"there is no claim {name!r}; the claims are {', '.join(NAMES)}.")
    return [importlib.import_module(f"{__name__}.{name}").CLAIM for name in NAMES if name in selected]
