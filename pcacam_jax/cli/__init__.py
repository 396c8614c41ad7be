"""The command line: ``pcacam demo | fit | explain | verify | reproduce``.

Bad input prints one sentence and exits with code 2.
"""

from pcacam_jax.cli.start import main

__all__ = ["main"]
