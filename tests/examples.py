"""What a process does that runs an example by a budget of a few steps."""

import contextlib
import io
import os
import runpy
import sys

import joblib
import matplotlib
import matplotlib.pyplot as plt

from skvade.estimators.base import BaseDeepModel
from skvade.training import runtime

fit = BaseDeepModel._fit_whole


def run(script, folder, budget):
    """Run a script in a folder, and return what it printed and how many figures it has drawn.

    Budgets are parameters that its estimators have while they are fitted. Call it in a process of
    its own: it changes this one.
    """
    os.chdir(folder)
    matplotlib.use("Agg")
    joblib.parallel_config(backend="sequential")  # other processes would not know of what follows
    runtime._multiplies_bfloat16 = lambda device: False  # the same precision on every machine

    def fit_a_little(self, *args, **kwargs):
        given = {name: value for name, value in vars(self).items() if name in budget}
        vars(self).update({name: budget[name] for name in given})
        try:
            return fit(self, *args, **kwargs)
        finally:
            vars(self).update(given)

    BaseDeepModel._fit_whole = fit_a_little
    sys.argv = [str(script)]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        runpy.run_path(str(script), run_name="__main__")
    return text.getvalue(), len(plt.get_fignums())
