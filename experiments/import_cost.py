"""Question: how long does `import pcacam_jax` take beyond `import jax`, and which large libraries does it import?

Command: python experiments/import_cost.py
Goal:    at most 0.3 s, and neither flax, sklearn, tensorflow_datasets nor matplotlib.
Answer:  0.06 s and none of these libraries, on two CPU cores.
"""

import statistics
import subprocess
import sys

CODE = """
import sys, time
start = time.perf_counter(); import jax
middle = time.perf_counter(); import pcacam_jax
end = time.perf_counter()
loaded = [name for name in ("flax", "sklearn", "tensorflow_datasets", "matplotlib") if name in sys.modules]
print(middle - start, end - middle, *loaded)
"""


def main() -> None:
    runs = [subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True) for _ in range(7)]
    rows = [run.stdout.split() for run in runs]
    jax, package = (statistics.median(float(row[column]) for row in rows) for column in (0, 1))
    print(f"import jax         {jax:.3f} s (median of {len(rows)})")
    print(f"import pcacam_jax  {package:.3f} s more")
    print(f"large libraries    {', '.join(rows[0][2:]) or 'none'}")


if __name__ == "__main__":
    main()
