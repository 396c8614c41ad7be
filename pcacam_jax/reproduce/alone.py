"""A claim's file run alone: the command ``pcacam reproduce`` for this one claim."""

import sys

from pcacam_jax.cli import main
from pcacam_jax.reproduce.claim import Claim


def run_alone(claim: Claim) -> None:
    """Reproduce one claim with the options that the script was given."""
    sys.argv = ["pcacam", "reproduce", claim.name, *sys.argv[1:]]
    main()
