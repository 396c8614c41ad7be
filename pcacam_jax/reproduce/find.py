"""Claims by name: one Python file each, in the folder experiments."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

import pcacam_jax
from pcacam_jax.checks import InputError
from pcacam_jax.reproduce.claim import Claim

PACKAGE = Path(pcacam_jax.__file__).parent
PLACES = (PACKAGE / "experiments", PACKAGE.parent / "experiments")
"""Inside an installed package, and beside the package in a clone."""
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
        InputError: an unknown name, or a claim whose file is nowhere.
    """
    wanted = tuple(names) or NAMES
    for name in wanted:
        if name not in NAMES:
            raise InputError(f"there is no claim {name!r}; the claims are {', '.join(NAMES)}.")
    folder = next((place for place in PLACES if (place / f"{NAMES[0]}.py").is_file()), None)
    if folder is None:
        raise InputError(
            "the claims are files of the folder experiments, which is neither in the package nor beside it "
            f"({PACKAGE.parent}); install the package again, or run from a clone."
        )
    return [_load(folder / f"{name}.py") for name in NAMES if name in wanted]


def _load(path: Path) -> Claim:
    if not path.is_file():
        raise InputError(f"the claim's file {path} is missing; install the package again, or restore the file.")
    spec = importlib.util.spec_from_file_location(f"pcacam_claim_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.CLAIM
