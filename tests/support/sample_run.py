"""The embedded sample, fitted once in a session by the command ``pcacam demo`` with the published weights."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from filelock import FileLock


class SampleRun(NamedTuple):
    """What ``pcacam demo --json`` made of an empty cache."""

    out: Path
    """The run folder."""
    cache: Path
    """The cache, with the feature maps and the training of this run."""
    report: dict[str, Any]
    """The report that was printed."""
    progress: str
    """What was printed on the standard error."""


@pytest.fixture(scope="session")
def sample_run():
    """Return the one run of this session; the first worker that asks makes it, the others wait."""
    folder = Path(os.environ["PCACAM_TEST_SESSION"]) / "sample"
    folder.mkdir(exist_ok=True)
    finished, out, cache = folder / "finished.json", folder / "out", folder / "cache"
    with FileLock(folder / "lock"):
        if not finished.exists():
            ended = subprocess.run(
                [Path(sys.executable).with_name("pcacam"), "demo", "--out", out, "--json"],
                env={**os.environ, "PCACAM_CACHE": str(cache)},
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert ended.returncode == 0, ended.stderr
            finished.write_text(json.dumps([ended.stdout, ended.stderr]))
    printed, progress = json.loads(finished.read_text())
    return SampleRun(out, cache, json.loads(printed), progress)
