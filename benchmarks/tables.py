"""Tables from the records of `benchmarks.accuracy`, for `benchmarks.pages`."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.accuracy import FEW, LIKELIHOODS, RESULTS
from benchmarks.methods import METHODS

# Of the code before the linear path, by the paper's networks; what was measured with it compares
# with it only.
EARLIER = RESULTS / "earlier.jsonl"
BY_NMI = ("sc_worm_neuron", "reuters21578")  # classes are too uneven for ACC
BASELINES = {
    "kmeans": "k-means",
    "gmm": "mixture",
    "ae+kmeans": "AE + k-means",
    "ae+gmm": "AE + mixture",
    "vae+gmm": "VAE + mixture",
    "vade-published": "VaDE as published",
}

LITERATURE = [
    # data, method, ACC, NMI, protocol, source
    ("mnist", "VaDE", ".945", "", "best run, shipped pretrained weights", "Jiang et al. 2017"),
    ("mnist", "VaDE", ".716 +- .044", ".748", "20 seeds", "OpenDeepClustering, issues 21 and 23"),
    ("mnist", "DEC", ".843", "", "all rows", "Xie et al. 2016"),
    ("mnist", "DCN", ".83", ".81", "all rows", "Yang et al. 2017"),
    ("mnist", "IDEC", ".881", ".867", "all rows", "Guo et al. 2017"),
    ("mnist", "DEPICT", ".965", ".917", "all rows, convolutional", "Dizaji et al. 2017"),
    ("mnist", "N2D", ".979", ".942", "all rows, no generator", "McConville et al. 2020"),
    ("mnist", "IMSAT", ".984", "", "all rows, no generator", "Hu et al. 2017"),
    ("mnist", "DEC", ".866", ".837", "all rows, as run by others", "Guo et al. 2017"),
    ("mnist", "DEC", ".912 +- .047", "", "ten trials, tuned", "public trials"),
    ("mnist", "GMVAE", ".823 +- .04", "", "all rows", "Dilokthanakul et al. 2016"),
    ("mnist", "GMVAE", ".716 to .933", "", "seven public runs", "R. Shu"),
    ("mnist", "M2", ".858 +- .08", ".821", "all rows", "Arias Figueroa and Rivera 2017"),
    ("usps", "M2", ".726 +- .03", "", "all rows", "Arias Figueroa and Rivera 2017"),
    ("usps", "IDEC", ".761", ".785", "all rows", "Guo et al. 2017"),
    ("usps", "N2D", ".958", ".901", "all rows, no generator", "McConville et al. 2020"),
    ("pendigits", "N2D", ".885", ".863", "all rows, no generator", "McConville et al. 2020"),
    ("har", "N2D", ".801", ".683", "all rows, no generator", "McConville et al. 2020"),
]

FEW_LITERATURE = [
    ("mnist", "auxiliary tasks", "1.65 +- .10", "Arias Figueroa and Rivera 2017"),
    ("mnist", "M1+M2", "3.33", "Kingma et al. 2014"),
    ("mnist", "ADGM", ".96", "Maaloe et al. 2016"),
    ("mnist", "SDGM", "1.32", "Maaloe et al. 2016"),
    ("mnist", "DEPICT", "2.65", "Dizaji et al. 2017"),
    ("mnist", "Ladder network", ".89 to 1.0", "as quoted by the sources"),
]
FEW_NOTE = [
    "Fitted on the 60,000 training rows with ten labels of every class, judged on the test rows.",
    "Every seed draws labels anew.",
]


def read(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """All records of `benchmarks.accuracy` in a folder."""
    files = [file for file in sorted(folder.glob("*.jsonl")) if file.stem in LIKELIHOODS]
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def statistics(values: list[float]) -> str:
    """Median, mean, standard deviation, minimum and maximum, as cells."""
    v = np.array(values)
    spread = f"{v.std(ddof=1):.3f}" if len(v) > 1 else ""
    cells = [np.median(v), v.mean(), spread, v.min(), v.max()]
    return " | ".join(cell if isinstance(cell, str) else f"{cell:.3f}" for cell in cells)


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table and a blank line."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines] + [""]


def on_all_rows(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Runs on all rows by (data, method), without the ablations."""
    groups = defaultdict(list)
    for record in records:
        if record["split"] == "all" and not record["method"].startswith("without"):
            groups[record["data"], record["method"]].append(record)
    return groups


def code_of(runs: list[dict[str, Any]]) -> str:
    """The commits that the runs were made with; a question mark where a record does not say."""
    commits = {run.get("versions", {}).get("commit") or "?" for run in runs}
    return ", ".join(sorted(commits))


def comparison(records: list[dict[str, Any]], data: str) -> list[str]:
    """All methods on all rows of one data set."""
    groups = {method: runs for (d, method), runs in on_all_rows(records).items() if d == data}
    if not groups:
        return []
    rows = []
    for method in METHODS:
        if method in groups:
            runs = groups[method]
            column = lambda name: [run[name] for run in runs]  # noqa: B023, E731
            rows.append(
                [
                    f"**{method}**" if method == "vade" else method,
                    statistics(column("acc")),
                    f"{np.median(column('nmi')):.3f}",
                    f"{np.median(column('ari')):.3f}",
                    f"{min(column('used_clusters'))}",
                    f"{np.median(column('seconds')):.0f} ({max(column('seconds')):.0f})",
                    "/".join(map(str, sorted(set(column("threads"))))),
                    str(len(runs)),
                    code_of(runs),
                ]
            )
    for name, method, acc, nmi, protocol, source in LITERATURE:
        if name == data:
            blank = [acc, "", "", "", "", nmi, "", "", "", "", "", ""]
            rows.append([f"*{method}, quoted: {source}; {protocol}*", *blank])
    n_samples = next(iter(groups.values()))[0]["n_samples"]
    header = ["method", "ACC median", "mean", "std", "min", "max", "NMI", "ARI"]
    header += ["fewest clusters", "seconds (max)", "threads", "runs", "code"]
    return [f"### {data}: {n_samples} rows, {LIKELIHOODS[data]}", "", *table(header, rows)]


def shortfalls(records: list[dict[str, Any]]) -> list[str]:
    """Every data set and score on which the median of another method is above the default's.

    Quoted lines do not count: their protocols differ.
    """
    groups = on_all_rows(records)
    rows = []
    for (data, method), runs in groups.items():
        for score in ("acc", "nmi"):
            ours = np.median([run[score] for run in groups.get((data, "vade"), [])] or np.inf)
            theirs = np.median([run[score] for run in runs])
            if theirs > ours:
                rows.append([data, score.upper(), f"{ours:.3f}", method, f"{theirs:.3f}"])
    compared = sorted({data for data, method in groups if method != "vade"})
    names = ", ".join(compared) or "nothing yet"
    lines = [f"By the medians of our own runs; compared so far: {names}.", ""]
    if not rows:
        return [*lines, "Nowhere." if compared else "", ""]
    return lines + table(["data", "score", "vade", "method", "its median"], rows)


def generalisation(records: list[dict[str, Any]]) -> list[str]:
    """Fitted on train, judged on test."""
    groups = defaultdict(list)
    for record in records:
        if record["split"] == "train":
            groups[record["data"], record["method"]].append(record)
    rows = [
        [
            data,
            method,
            *(f"{np.median([r[n] for r in runs]):.3f}" for n in ("acc", "test_acc", "test_nmi")),
            " / ".join(f"{np.median([r[f'knn{k}_error'] for r in runs]):.2f}" for k in (3, 5, 10))
            if "knn5_error" in runs[0]
            else "",
            str(len(runs)),
            code_of(runs),
        ]
        for (data, method), runs in sorted(groups.items())
    ]
    header = ["data", "method", "ACC train", "ACC test", "NMI test", "kNN error %, k = 3 / 5 / 10"]
    return table([*header, "runs", "code"], rows)


def few_labels(records: list[dict[str, Any]]) -> list[str]:
    """Errors on test rows of classifiers with few labels."""
    groups = defaultdict(list)
    for record in records:
        if record["split"] == FEW:
            groups[record["data"], record["method"]].append(record)
    rows = [
        [
            data,
            method,
            *(f"{f(values):.2f}" for f in (np.mean, np.median, min, max)),
            f"{np.std(values, ddof=1):.2f}" if len(values) > 1 else "",
            f"{np.mean([run['hidden_error'] for run in runs]):.2f}",
            str(len(runs)),
            code_of(runs),
        ]
        for (data, method), runs in sorted(groups.items())
        for values in [[run["error"] for run in runs]]
    ]
    for data, method, error, source in FEW_LITERATURE:
        rows.append([data, f"*{method}, quoted: {source}*", error, *[""] * 7])
    header = ["data", "method", "test error %: mean", "median", "min", "max", "std"]
    return table([*header, "mean error on fitted rows without label", "draws", "code"], rows)


def ablated(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By data and code: fits without one factor, and the default's of the same seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        if record["split"] == "all":
            groups[record["data"], code_of([record])].append(record)
    found = {}
    for group, runs in groups.items():
        impaired = [r for r in runs if r["method"].startswith("without")]
        seeds = {r["seed"] for r in impaired}
        default = [r for r in runs if r["method"] == "vade" and r["seed"] in seeds]
        if impaired:
            found[group] = impaired + default
    return dict(sorted(found.items()))


def ablation(records: list[dict[str, Any]]) -> list[str]:
    """The default with one factor removed at a time, by the same code on the same seeds."""
    rows = []
    for (data, _), group in ablated(records).items():
        for method in METHODS:
            if runs := [r for r in group if r["method"] == method]:
                acc = [r["acc"] for r in runs]
                clusters = str(min(r["used_clusters"] for r in runs))
                nmi = f"{np.median([r['nmi'] for r in runs]):.3f}"
                cells = [statistics(acc), nmi, clusters, str(len(runs)), code_of(runs)]
                rows.append([data, method, *cells])
    header = ["data", "method", "ACC median", "mean", "std", "min", "max", "NMI"]
    return table([*header, "fewest clusters", "runs", "code"], rows)


def seeds(records: list[dict[str, Any]]) -> list[str]:
    """How much seeds of the default differ."""
    groups = on_all_rows(records)
    rows = []
    for data in (name for name in LIKELIHOODS if (name, "vade") in groups):
        runs = groups[data, "vade"]
        score = "nmi" if data in BY_NMI else "acc"
        found, seconds = [r[score] for r in runs], [r["seconds"] for r in runs]
        cells = [f"{f(found):.3f}" for f in (np.median, min, max)]
        spent = f"{np.median(seconds):.0f} ({max(seconds):.0f})"
        rows.append([data, score.upper(), *cells, spent, str(len(runs)), code_of(runs)])
    header = ["data", "score", "median", "worst", "best", "seconds (max)", "seeds", "code"]
    return table(header, rows)


def beside(records: list[dict[str, Any]]) -> list[str]:
    """Medians of the default and of what its parts do without it; the best of a set is bold."""
    groups = on_all_rows(records)
    methods = [*BASELINES, "vade"]
    rows = []
    for data in (name for name in LIKELIHOODS if (name, "kmeans") in groups):
        score = "nmi" if data in BY_NMI else "acc"
        middle = {
            m: round(float(np.median([r[score] for r in groups[data, m]])), 3)
            for m in methods
            if (data, m) in groups
        }
        best = max(middle.values())
        texts = {m: f"**{v:.3f}**" if v == best else f"{v:.3f}" for m, v in middle.items()}
        cells = [texts.get(m, "") for m in methods]
        rows.append([data, score.upper(), *cells])
    return table(["data", "score", *BASELINES.values(), "skvade"], rows)


def of_method(records: list[dict[str, Any]], method: str, quoted: str) -> list[str]:
    """A method by default on every set that it was run on, and what its paper and others report."""
    rows = []
    for (data, name), runs in on_all_rows(records).items():
        if name == method:
            acc = [r["acc"] for r in runs]
            cells = [f"{np.median(acc):.3f}", f"{min(acc):.3f} to {max(acc):.3f}"]
            nmi = f"{np.median([r['nmi'] for r in runs]):.3f}"
            rows.append([data, "skvade", *cells, nmi, str(len(runs)), code_of(runs)])
    rows.sort(key=lambda row: list(LIKELIHOODS).index(row[0]))
    for data, name, acc, nmi, protocol, source in LITERATURE:
        if name == quoted:
            rows.append([data, f"*quoted: {source}; {protocol}*", acc, "", nmi, "", ""])
    return table(["data", "", "ACC", "from, to", "NMI", "seeds", "code"], rows)


def of_classifiers(records: list[dict[str, Any]], methods: tuple[str, ...]) -> list[str]:
    """Errors with 100 labels of MNIST, and all that are quoted."""
    rows = []
    for method in methods:
        runs = [r for r in records if (r["split"], r["method"]) == (FEW, method)]
        if runs:
            errors = [r["error"] for r in runs]
            cells = [f"{np.mean(errors):.2f}", f"{min(errors):.2f} to {max(errors):.2f}"]
            rows.append([method, *cells, str(len(runs)), code_of(runs)])
    for _, name, error, source in FEW_LITERATURE:
        rows.append([f"*{name}, quoted: {source}*", error, "", "", ""])
    return table(["method", "test error, %", "from, to", "draws", "code"], rows)


def diagnostics(records: list[dict[str, Any]], earlier: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Do the label-free diagnostics know a good run? Rank correlations with ACC."""
    default = [r for r in records if r["split"] == "all" and r["method"] == "vade"]
    groups = {data: [r for r in default if r["data"] == data] for data in LIKELIHOODS}
    impaired = ablated([*records, *earlier])
    for (data, _), runs in impaired.items():
        groups.setdefault(f"{data}, ablations too", []).extend(runs)
    rows = [[name, *_rhos(mine)] for name, mine in groups.items() if len(mine) >= 5]
    rows.append(["all sets by default", *_rhos(default)])
    if impaired:
        everything = default + [r for runs in impaired.values() for r in runs if r not in default]
        rows.append(["all sets, ablations too", *_rhos(everything)])
    return table(["data", "MI / log K", "restart agreement", "lower bound", "runs"], rows)


def _rhos(runs: list[dict[str, Any]]) -> list[str]:
    acc = [r["acc"] for r in runs]
    shares = [r["mutual_information"] / np.log(r["n_clusters"]) for r in runs]
    cells = [rank_correlation(shares, acc)]
    cells.append(rank_correlation([r["restart_agreement"] for r in runs], acc))
    comparable = len({r["data"] for r in runs}) == 1  # bounds of different data are not
    bounds = [r["lower_bound"] for r in runs]
    return [*cells, rank_correlation(bounds, acc) if comparable else "", str(len(runs))]


def rank_correlation(values: list[float], others: list[float]) -> str:
    """Spearman's, as a cell, without what is NaN; that of equal values is not defined."""
    pairs = [(a, b) for a, b in zip(values, others, strict=True) if not np.isnan([a, b]).any()]
    if min(len({a for a, _ in pairs}), len({b for _, b in pairs})) < 2:
        return "all equal" if pairs else ""
    return f"{spearmanr(*zip(*pairs, strict=True)).statistic:.2f}"
