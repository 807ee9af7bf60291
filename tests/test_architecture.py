"""What the import contracts in setup.cfg cannot say."""

import ast
from pathlib import Path

import pytest

import skvade

ROOT = Path(skvade.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_inside_imports_the_package_root(path):
    if path != ROOT / "__init__.py":
        roots = [name for module, name in imports(path) if module == "skvade"]
        assert all(name and (ROOT / f"{name}.py").exists() for name in roots)


def test_private_helpers_of_scikit_learn_are_used_in_one_file():
    users = {
        path.name
        for path in FILES
        for module, _ in imports(path)
        if module and module.startswith("sklearn") and "._" in module
    }
    assert users <= {"_validation.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_asserts_prints_or_global_seeds(path):
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    calls = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    forbidden = {"print", "torch.manual_seed", "np.random.seed", "torch.set_num_threads"}
    assert not forbidden & set(calls)
