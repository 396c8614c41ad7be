"""Flags with which XLA compiles the tests faster."""

import os
import subprocess
import sys

FAST_COMPILATION = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
"""XLA compiles faster with these flags. The exhaustive tests, except notebooks, compile without them."""


def fast_compilation():
    """Return these flags, or none if the installed XLA does not know one of them and would end the process."""
    flags = " ".join(FAST_COMPILATION)
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return "" if subprocess.run(command, env=environment, capture_output=True).returncode else flags
