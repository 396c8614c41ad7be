"""The command line, run in this process."""

import signal
import sys

import pytest

from pcacam_jax import cli


@pytest.fixture
def pcacam(monkeypatch, capsys):
    """Run the command line in this process and return (exit code, standard output, standard error)."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("warnings.showwarning", lambda *_: None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["pcacam", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call
