"""Start the command line and turn every error into one sentence and an exit code."""

import io
import logging
import os
import signal
import sys
import warnings

from pcacam_jax.cli.commands import app
from pcacam_jax.cli.parsing import parse
from pcacam_jax.core.checks import InputError


def main() -> None:
    """Run the command line."""
    # Clean up after a plain kill as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the encoding of a pipe may lack characters of a file name
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: print(f"pcacam: warning: {message}", file=sys.stderr)
    # Matplotlib logs where it caches its fonts if the home folder is read-only, which does not concern the figures.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        parse(app, sys.argv[1:])()
    except InputError as error:
        _end(str(error), 2)
    except KeyboardInterrupt as interrupt:
        _end(str(interrupt) or "interrupted; no incomplete files were left behind.", 130)
    except BrokenPipeError:
        # The reader closed the pipe: exit quietly, without the traceback that Python would print while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(f"{error}; no incomplete files were left behind.", 2)


def _end(sentence: str, code: int) -> None:
    print(f"pcacam: {sentence}", file=sys.stderr)
    sys.exit(code)
