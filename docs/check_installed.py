"""What `make dist` asks of an skvade that was installed from an archive.

Run by the environment's own Python, in a folder that is not the source tree, whose path is the
argument. The examples are those of the README that the installed metadata carry.
"""

from __future__ import annotations

import doctest
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import skvade

source = Path(sys.argv[1]).resolve()
package = Path(skvade.__file__).resolve().parent
installed = distribution("skvade")
metadata = installed.metadata
readme = metadata.get_payload() or metadata["Description"]
files = {str(file) for file in installed.files}

demands = {
    "not the source tree": package != source / "skvade" and package.parent.name == "site-packages",
    "one version": installed.version == skvade.__version__,
    "a README in Markdown": metadata["Description-Content-Type"] == "text/markdown",
    "a licence": metadata["License-Expression"] == "BSD-3-Clause"
    and any(file.endswith("licenses/LICENSE") for file in files),
    "types": "skvade/py.typed" in files,
    "no tests": not any(file.startswith(("tests/", "docs/", "benchmarks/")) for file in files),
    "classifiers": len(metadata.get_all("Classifier")) >= 10,
    "a range of Python": metadata["Requires-Python"] == ">=3.10",
    "no invented addresses": metadata.get_all("Project-URL") is None and not metadata["Home-page"],
}
missing = [name for name, met in demands.items() if not met]

start = time.perf_counter()
examples = doctest.DocTestParser().get_doctest(readme, {}, "README", None, 0)
outcome = doctest.DocTestRunner().run(examples)
seconds = time.perf_counter() - start
print(
    f"skvade {installed.version} from {package.parent.name}: {outcome.attempted} lines of the "
    f"README, {outcome.failed} failed, {seconds:.0f} s; missing: {missing or 'nothing'}"
)
sys.exit(bool(missing or outcome.failed or not outcome.attempted))
