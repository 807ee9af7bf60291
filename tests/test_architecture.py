"""What the import contracts in setup.cfg cannot say."""

import ast
from pathlib import Path

import pytest

import skvade

ROOT = Path(skvade.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def imports(path):
    """Modules and what is imported from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def users(package):
    """Files that import a package, or something of it."""
    return {
        str(path.relative_to(ROOT))
        for path in FILES
        for module, _ in imports(path)
        if module and (module == package or module.startswith(f"{package}."))
    }


def test_only_the_version_lies_at_the_root():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "_version.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_inside_imports_the_package_root(path):
    if path != ROOT / "__init__.py":
        assert not [name for module, name in imports(path) if module == "skvade"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_for_types_only(path):
    """Such an import hides a cycle."""
    assert "TYPE_CHECKING" not in path.read_text()


def test_private_helpers_of_scikit_learn_are_used_in_one_file():
    private = {
        path.name
        for path in FILES
        for module, _ in imports(path)
        if module and module.startswith("sklearn") and "._" in module
    }
    assert private == {"validation.py"}


def test_methods_make_no_torch_calls():
    named = (getattr(skvade, name) for name in skvade.__all__)
    modules = {each.__module__ for each in named if isinstance(each, type)}
    files = {f"{module.removeprefix('skvade.').replace('.', '/')}.py" for module in modules}
    assert len(files) > 5
    assert not files & users("torch")


def test_in_training_few_files_call_scikit_learn():
    """The initialisation, the graph, spreading and dealing; nothing of the loop."""
    starts = {"initialisation", "mixture_start", "parted_start", "spreading"}
    starts.add("latent_classes")
    allowed = starts | {"counting", "neighbours", "cells", "dealing"}
    found = {Path(file).stem for file in users("sklearn") if file.startswith("training/")}
    assert {"mixture_start", "neighbours"} <= found <= allowed


def test_the_loop_knows_nothing_of_methods():
    known = {
        module
        for name in ("trainer", "run", "descent", "events", "handover")
        for module, _ in imports(ROOT / "training" / f"{name}.py")
        if module.startswith(("skvade.nn", "skvade.objectives"))
    }
    assert known <= {
        "skvade.nn.autoencoder",
        "skvade.nn.draws",
        "skvade.nn.networks",
        "skvade.objectives.base",
        "skvade.objectives.stateful",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_asserts_prints_or_global_seeds(path):
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    calls = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    forbidden = {"print", "torch.manual_seed", "np.random.seed", "torch.set_num_threads"}
    assert not forbidden & set(calls)
