"""What happened in a fit, in a dozen lines."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

STYLE = """
.skvade-report { font-family: monospace; line-height: 1.4; color: inherit; }
.skvade-report summary { font-weight: bold; cursor: pointer; padding: .2em .5em;
  border: 1px solid currentColor; border-radius: .3em; width: fit-content; }
.skvade-report th, .skvade-report td { text-align: left; padding: .1em .8em; }
.skvade-report .quiet { border-left: .3em solid #888; padding-left: .6em; }
.skvade-report .warned { border-left: .3em solid #d98a00; padding-left: .6em; }
"""


FEW_ROWS = 1_000
WIDTH = 100  # columns of the printed text


@dataclass(frozen=True)
class Report:
    """A summary of a fit and of what was checked; `print` it, or show it in a notebook.

    Attributes
    ----------
    lines : dict of str to str
        What there is to know, by name.
    findings : tuple of str
        What speaks against the run, each with its cure; empty where no check failed.
    checked : str
        What was checked, and what no look at one run can tell.
    """

    title: str
    lines: dict[str, str]
    findings: tuple[str, ...]
    checked: str

    @property
    def trustworthy(self) -> bool:
        """Whether no check failed. That does not say that the clusters are right."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """One sentence; the findings follow it, if there are any."""
        if self.trustworthy:
            return self.checked
        return "What the checks found:"

    def __str__(self) -> str:
        width = max(map(len, self.lines))
        body = [_wrapped(value, f"  {name:<{width}}  ") for name, value in self.lines.items()]
        findings = [_wrapped(finding, "  - ") for finding in self.findings]
        return "\n".join([self.title, *body, _wrapped(self.verdict), *findings])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self.lines.items()
        )
        findings = "".join(f"<li>{escape(finding)}</li>" for finding in self.findings)
        kind = "quiet" if self.trustworthy else "warned"
        return (
            f'<div class="skvade-report"><style>{STYLE}</style><details open="">'
            f"<summary>{escape(self.title)}</summary><table>{rows}</table>"
            f'<div class="{kind}">{escape(self.verdict)}<ul>{findings}</ul></div></details></div>'
        )


def _wrapped(text: str, begin: str = "") -> str:
    """Lines of at most WIDTH columns, the later ones as far in as the first one's text."""
    inset = " " * len(begin)
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=inset,
        break_long_words=False,
        break_on_hyphens=False,
    )


def describe(estimator: Any, findings: tuple[str, ...], compared: dict[str, Any]) -> Report:
    """The report of a fitted estimator."""
    sizes = estimator.cluster_sizes_
    n_rows = int(sizes.sum())
    most = np.log(len(sizes))
    agreement = estimator.restart_agreement_
    several = estimator._n_runs > 1
    restarts = "fits" if several else "starts"
    reason = estimator._reason
    doubt = estimator._predictor.doubt
    confidence = (1 - doubt) * estimator._confidence + doubt / len(sizes)
    alone = (
        f"; {estimator._confidence:.1%} by the model alone (doubt_={doubt:.3f})" if doubt else ""
    )
    by = "" if estimator._columns_in_use else "auto: "
    return Report(
        title=f"{type(estimator).__name__}, fitted",
        lines={
            "data": f"{n_rows} rows, {estimator.n_features_in_} features",
            "likelihood": estimator.likelihood_ + (f" ({by}{reason})" if reason else ""),
            "networks": _networks(estimator),
            **{f"phase {name}": text for name, text in _phases(estimator.history_).items()},
            **_group(estimator),
            **_count(estimator),
            **_labelled(estimator),
            "clusters used": f"{int((sizes > 0).sum())} of {len(sizes)}",
            "cluster sizes": f"{sizes.max()} to {sizes.min()}, median {np.median(sizes):.0f}",
            "confidence": (
                f"{confidence:.1%}, the mean probability of rows in their clusters{alone}; "
                "not their accuracy"
            ),
            "mutual information": (
                f"{estimator.mutual_information_:.3f} of at most log {len(sizes)} = {most:.3f} nats"
            ),
            "restart agreement": (
                "unknown, one start only"
                if np.isnan(agreement)
                else f"{agreement:.2f} (adjusted Rand index of the two best {restarts})"
            ),
            **_compared(compared),
            **_bound(estimator),
            "labels settled": "yes" if estimator.converged_ else "not before the phase ended",
        },
        findings=findings,
        checked=_checked(n_rows, compared, hasattr(estimator, "classes_")),
    )


def _checked(n_rows: int, compared: dict[str, Any], classes: bool) -> str:
    rivals = "k-means, a Gaussian mixture or the start of a default fit"
    beside = f", and whether {rivals} parts the data better" if compared else ""
    if "mixture and start" in compared:
        beside += " or the last two contradict it alike"
    text = (
        "Checked: the scales of columns, the choice of the likelihood, empty clusters, the "
        f"agreement of restarts, a finite loss, settled labels{beside}"
        f"{', and whether rows with a label are in its class' if classes else ''}. No check "
        f"failed, which does not show that the {'classes' if classes else 'clusters'} are right: "
        "see whether another random_state finds the same."
    )
    if n_rows < FEW_ROWS:
        simple = "LabelSpreading" if classes else "GaussianMixture"
        text += f" {n_rows} rows are few for a network: compare {simple}."
    return text


def _networks(estimator: Any) -> str:
    """The sizes, and what of them is the user's own."""
    own = " and ".join(f"{name} of your own" for name in estimator._supplied)
    sizes = estimator.hidden_layer_sizes_
    layers = ", ".join(map(str, sizes)) if sizes else "none, a linear model"
    parts = [] if len(estimator._supplied) == 2 else [f"hidden layers {layers}"]
    return "; ".join(
        [*parts, *([own] if own else []), f"{estimator.latent_dim_} latent dimensions"]
    )


def _group(estimator: Any) -> dict[str, str]:
    """How many processes trained it, where there were several."""
    group = getattr(estimator, "_group", None)
    if group is None:
        return {}
    elsewhere = group.get("elsewhere", group.get("lost"))  # as earlier pickles have it
    return {
        "processes": f"{group['size']}; {elsewhere:.1%} of the nearest neighbours of rows "
        "are with another"
    }


def _count(estimator: Any) -> dict[str, str]:
    """How the number of clusters was found, where it was."""
    if not hasattr(estimator, "cluster_evidence_"):
        return {}
    most = len(estimator.cluster_evidence_) - 1
    text = f"{estimator.n_clusters_}, found among 2 to {most}"
    others = " and ".join(map(str, estimator._other_counts()))
    clear = "" if estimator._count_is_clear else "; not clear"
    return {"number of clusters": text + clear + (f" (next {others})" if others else "")}


def _labelled(estimator: Any) -> dict[str, str]:
    """How many rows had a label, and how many of these are in its class."""
    if not hasattr(estimator, "_label_counts") or not estimator._label_counts.any():
        return {}
    counts, right = estimator._label_counts
    fewest = int(np.flatnonzero(counts)[counts[counts > 0].argmin()])
    return {
        "rows with a label": f"{counts.sum()}, {right.sum() / counts.sum():.1%} of them in its "
        f"class; fewest of class {estimator.classes_[fewest]}, {counts[fewest]}"
    }


def _compared(comparison: dict[str, Any]) -> dict[str, str]:
    """How the clusters lie in the data, and what simple methods find there."""
    if not comparison:
        return {}
    least, share, to = comparison["leaving"]
    lines = {
        "neighbours together": f"{comparison['kept']:.1%}, by principal components",
        "least separate": f"cluster {least}: {share:.0%} of its neighbours elsewhere, "
        f"most in cluster {to}",
    }
    for name, other in comparison["others"].items():
        lines[f"beside {name}"] = (
            f"agreement {other['agreement']:.2f} (adjusted Rand index); "
            f"{other['kept']:.1%} of neighbours together"
        )
    return lines


def _bound(estimator: Any) -> dict[str, str]:
    bound = getattr(estimator, "lower_bound_", None)
    return {} if bound is None or np.isnan(bound) else {"lower bound": f"{bound:.2f} nats per row"}


def _phases(history: list[dict[str, Any]]) -> dict[str, str]:
    last = {record["phase"]: record for record in history}
    return {
        name: f"{record['steps']} steps, loss {record['loss']:.4g}" for name, record in last.items()
    }
