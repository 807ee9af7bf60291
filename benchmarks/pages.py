"""README and docs with the figures of the records: `python -m benchmarks.pages`.

docs/benchmarks.md is written as a whole. All other pages have places for tables, which a pair of
comments marks:

    <!-- begin: figures NAME -->

    (what TABLES[NAME] makes of the records)

    <!-- end: figures -->

Figures have no other place: a sentence says what follows from them, and names their table. (The
diary of experiments, docs/measurements.md, may quote what was measured at its time.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import (
    ablation,
    confidence,
    counts,
    distributed,
    draws,
    missing,
    mixed,
    peers,
    records,
    searches,
    shapes,
    speed,
    summary,
    tables,
    verdicts,
)
from benchmarks.accuracy import LIKELIHOODS
from benchmarks.development import CLASSICS

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
DEMO = Path(__file__).parent / "results" / "demo.txt"
PLACE = re.compile(r"(<!-- begin: figures (.+?) -->\n).*?(<!-- end: figures -->)", re.DOTALL)

IMPUTED = ("complete", "VaDE", "mean, VaDE", "nearest, mixture", "nearest, VaDE")
COUNTED = ("digits", "usps", "pendigits", "sipu/r15", "sipu/s1", "sipu/s2", *CLASSICS)
METHODS = {"vade": "VaDE", "gmvae": "GMVAE", "m2": "M2", "dec": "DEC", "idec": "IDEC"}
METHODS |= {"depict": "DEPICT", "dcn": "DCN"}
CLASSIFIERS = {
    "vade-classifier": ("vade-classifier", "vade-adversarial"),
    "m2-classifier": ("m2-classifier", "m1+m2", "m1+m2-clusters"),
    "adgm": ("adgm", "sdgm", "m2-classifier"),
    "auxiliary": ("auxiliary", "auxiliary-adversarial", "vade-adversarial"),
}


def _of(module: Any, **parameters: Any) -> str:
    return module.table(records.read(module.RESULTS), **parameters)


def _accuracy(table: Callable[..., list[str]], *parameters: Any) -> str:
    return "\n".join(table(tables.read(), *parameters)).rstrip()


def _earlier(table: Callable[..., list[str]]) -> str:
    return "\n".join(table(records.read(tables.EARLIER))).rstrip()


def _ablation() -> str:
    return "\n".join(tables.ablation([*tables.read(), *records.read(tables.EARLIER)])).rstrip()


def _demo() -> str:
    return "\n".join(f"    {line}".rstrip() for line in DEMO.read_text().splitlines())


def _few_counts() -> str:
    return counts.table(records.read(counts.RESULTS), COUNTED)


TABLES: dict[str, Callable[[], str]] = {
    "demo": _demo,
    "peers": lambda: summary.figures(records.read(peers.RESULTS)),
    "peers on many sets": lambda: summary.means(records.read(peers.RESULTS)),
    "seeds": partial(_accuracy, tables.seeds),
    "earlier seeds": partial(_earlier, tables.seeds),
    "beside": partial(_accuracy, tables.beside),
    "ablation": _ablation,
    "parts": partial(_of, ablation),
    "generalisation": partial(_accuracy, tables.generalisation),
    "mixed": partial(_of, mixed),
    "missing": partial(_of, missing),
    "missing, in short": partial(_of, missing, methods=IMPUTED),
    "counts": _few_counts,
    "verdicts": partial(_of, verdicts),
    "confidence": partial(_of, confidence),
    "searches": partial(_of, searches),
    "shapes": partial(_of, shapes),
    "phases": lambda: speed.table_of_phases(records.read(speed.RESULTS / "phases.jsonl")),
    "memory": lambda: speed.table_of_memory(records.read(speed.RESULTS / "memory.jsonl")),
    "processes": distributed.table_of_accuracy,
    "rows per second": distributed.table_of_speed,
    "memory of processes": distributed.table_of_memory,
    **{
        f"method {name}": partial(_accuracy, tables.of_method, name, quoted)
        for name, quoted in METHODS.items()
    },
    **{
        f"classifier {name}": partial(_accuracy, tables.of_classifiers, methods)
        for name, methods in CLASSIFIERS.items()
    },
}


def filled(text: str) -> str:
    """The text of a page with the tables that it names; a ValueError for one that is none."""

    def table(place: re.Match[str]) -> str:
        begin, name, end = place.groups()
        if name not in TABLES:
            raise ValueError(f"A page names the table {name!r}; there are {', '.join(TABLES)}.")
        return f"{begin}\n{TABLES[name]()}\n\n{end}"

    return PLACE.sub(table, text)


def pages() -> list[Path]:
    """The pages that may have places for tables."""
    return [ROOT / "README.md", *(p for p in (ROOT / "docs").rglob("*.md") if p != BENCHMARKS)]


def others() -> dict[str, str]:
    """The tables of other benchmarks for that page, by their headings."""
    made = {
        "Beside what users take instead": (peers, "CPU seconds of one thread."),
        "With few labels, by ten draws": (draws, "Mean and worst error in percent."),
        "Tables with categories and holes": (mixed, "NMI: the median of five seeds (worst)."),
        "Searches without labels": (searches, "What a score without labels chooses."),
    }
    return {
        heading: f"{note} `python -m {module.__name__} --table`\n\n{_of(module)}"
        for heading, (module, note) in made.items()
    }


def of_benchmarks(
    runs: list[dict[str, Any]],
    earlier: Sequence[dict[str, Any]] = (),
    further: dict[str, str] | None = None,
) -> str:
    """The page of all records of accuracy, with further tables by their headings."""
    lines = [
        "# Benchmarks",
        "",
        "Generated by `python -m benchmarks.pages` from `benchmarks/results/*.jsonl`, which hold",
        "a record per seed. Made by `make benchmark`, or one part of it by",
        "",
        "    SKVADE_DATA=<folder> python -m benchmarks.accuracy --data mnist --seeds 0:10",
        "",
        "Protocol and methods: the docstrings of `benchmarks/accuracy.py` and `methods.py`.",
        "Rows of commits up to 589a17b are of the code before the linear path, with the paper's",
        "networks: skvade's own of those sets and methods that have not been measured anew; those",
        "of Reuters had the Gaussian likelihood.",
        "Defaults, but for the number of clusters and the likelihood, which are set for each data",
        "set; labels are read after the fit, for the scores only. Two",
        "shared CPU cores; one thread means that two fits ran side by side. `code` is the commit",
        "that last changed the library before a run. Seconds of `gmvae`, `m2` and the classifiers",
        "were taken beside other work and say nothing. Lines in italics are quoted, with their own",
        "protocols.",
        "",
        "## All rows, without labels",
        "",
    ]
    for data in LIKELIHOODS:
        if data != "mnist-10k":
            lines += tables.comparison(runs, data)
    lines += ["## Where another method does better", "", *tables.shortfalls(runs)]
    for heading, text in (further or {}).items():
        lines += [f"## {heading}", "", text, ""]
    lines += ["## Fitted on the training rows, judged on the test rows", ""]
    lines += tables.generalisation(runs)
    lines += ["## With few labels", "", *tables.FEW_NOTE, "", *tables.few_labels(runs)]
    lines += ["## One factor removed at a time", "", *tables.ablation([*runs, *earlier])]
    lines += ["## Do the diagnostics know?", "", "Spearman rank correlations with ACC.", ""]
    lines += tables.diagnostics(runs, earlier)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Write them all."""
    earlier = records.read(tables.EARLIER)
    BENCHMARKS.write_text(of_benchmarks(tables.read(), earlier, others()))
    for path in pages():
        path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
