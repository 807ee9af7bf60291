"""The benchmark keeps its records straight, and its page says what they say."""

import json
import re
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import ablation, accuracy, development, pages, peers, speed, summary, tables
from benchmarks import records as kept
from benchmarks.accuracy import keep, load, scores
from benchmarks.machine import anonymous_growth
from benchmarks.methods import METHODS, LikelihoodMixture
from benchmarks.pages import of_benchmarks as page
from benchmarks.shelf import Shelf
from benchmarks.tables import rank_correlation, read
from skvade import VaDEClustering
from skvade.metrics import clustering_accuracy
from skvade.training.schedules import WarmUp, constant


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    """Methods train in the same precision on every machine."""
    monkeypatch.setattr("skvade.training.runtime._multiplies_bfloat16", lambda device: False)


def record(seed, acc, method="vade", data="usps", split="all"):
    return {
        **{"data": data, "split": split, "method": method, "seed": seed},
        **{"acc": acc, "nmi": acc, "ari": acc, "n_samples": 9298, "n_clusters": 10},
        **{"used_clusters": 10, "mutual_information": acc, "restart_agreement": -acc},
        **{"lower_bound": 0.0, "seconds": 60.0, "threads": 2, "test_acc": acc, "test_nmi": acc},
    }


def test_a_new_record_replaces_the_old_one_only(tmp_path):
    for acc in (0.5, 0.9):
        keep(record(0, acc), tmp_path)
        keep(record(0, 0.3, method="kmeans"), tmp_path)
    assert {(r["method"], r["acc"]) for r in read(tmp_path)} == {("vade", 0.9), ("kmeans", 0.3)}
    lines = (tmp_path / "usps.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["kmeans", "vade"]


def test_page_has_median_spread_and_rank_correlations():
    values = [0.91, 0.95, 0.92, 0.97, 0.93]
    runs = [record(seed, acc) for seed, acc in enumerate(values)]
    runs += [record(seed, 0.5, method="without-hold") for seed in range(5)]
    runs += [record(seed, 0.1, method="vade-published") for seed in range(5)]
    text = page([*runs, record(0, 0.94, split="train")])
    spread = np.std(values, ddof=1)
    assert f"| **vade** | 0.930 | 0.936 | {spread:.3f} | 0.910 | 0.970 |" in text
    assert "| usps | without-hold | 0.500" in text
    assert "| usps | 1.00 | -1.00 | all equal | 5 |" in text
    assert "| usps, ablations too | 1.00 | -1.00 | all equal | 10 |" in text
    assert "quoted: McConville" in text
    assert "| usps | vade | 0.940 | 0.940 | 0.940 |" in text


def test_runs_without_a_diagnostic_do_not_count_in_its_rank_correlation():
    assert rank_correlation([0.1, float("nan"), 0.3], [1.0, 9.0, 2.0]) == "1.00"
    assert rank_correlation([float("nan")], [1.0]) == ""


def test_page_says_where_another_method_does_better():
    runs = [record(0, 0.9), record(0, 0.8, method="kmeans")]
    assert "compared so far: usps." in page(runs)
    assert "Nowhere." in page(runs)
    assert "Nowhere." not in page(runs[:1])
    text = page([*runs, record(0, 0.95, method="ae+gmm")])
    assert "| usps | ACC | 0.900 | ae+gmm | 0.950 |" in text
    assert "| usps | ACC | 0.900 | kmeans" not in text


def test_rows_and_scores():
    X, y = load("digits", "all", "kmeans")
    assert X.shape == (1797, 64)
    assert scores(y, y) == {"acc": 1.0, "nmi": 1.0, "ari": 1.0}


def test_likelihood_mixture_predicts_its_own_labels():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(c, 0.1, (50, 2)) for c in (0, 1, 2)])
    mixture = LikelihoodMixture(3, random_state=0).fit(X)
    np.testing.assert_array_equal(mixture.predict(X), mixture.labels_)
    assert clustering_accuracy(np.repeat([0, 1, 2], 50), mixture.labels_) == pytest.approx(1)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_labels_rows_as_it_predicts_them(name):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 30)
    X = (np.eye(3)[y] + rng.normal(0, 0.05, (90, 3))).astype(np.float32)
    model = METHODS[name](X, 3, 0, "gaussian", Shelf())
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    if name != "vade-published":  # nothing keeps its clusters alive
        assert clustering_accuracy(y, model.labels_) > 0.9


def test_phases_from_the_shelf_are_those_that_were_trained(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.random((60, 5)).astype(np.float32)
    fit = lambda name, shelf: METHODS[name](X, 2, 0, "bernoulli", shelf)  # noqa: E731
    alone = fit("without-hold", Shelf())
    first, second = Shelf(tmp_path), Shelf(tmp_path)
    fit("vade", first)
    n_files = len(list(tmp_path.iterdir()))
    other = fit("without-hold", second)
    assert len(list(tmp_path.iterdir())) == n_files == 3  # autoencoder, graph, neighbours
    assert first.spared_seconds == 0 < second.spared_seconds
    np.testing.assert_array_equal(other.predict_proba(X), alone.predict_proba(X))
    assert other.history_ == alone.history_


def test_the_shelf_tells_rows_steps_and_seeds_apart(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.random((60, 5)).astype(np.float32)
    shelf = Shelf(tmp_path)
    for seed in (0, 1):
        METHODS["ae+kmeans"](X, 2, seed, "bernoulli", shelf)
    METHODS["ae+kmeans"](X[:30], 2, 0, "bernoulli", shelf)
    METHODS["vae+gmm"](X, 2, 0, "bernoulli", shelf)
    assert shelf.spared_seconds == 0
    assert len(list(tmp_path.iterdir())) == 4
    for method in ("vade", "without-push"):  # they have the autoencoder and the graph in common
        METHODS[method](X, 2, 0, "bernoulli", shelf)
    assert len(list(tmp_path.iterdir())) == 8  # the paper's networks are others


def test_the_shelf_tells_schedules_apart(tmp_path):
    class Constant(VaDEClustering):
        def _make_phases(self, facts):
            first = super()._make_phases(facts)[0]
            schedules = (first.schedule, WarmUp(constant), WarmUp(constant, share=0.1))
            return shelf.share([replace(first, schedule=schedule) for schedule in schedules])

    shelf = Shelf(tmp_path)
    X = np.random.default_rng(0).random((40, 5)).astype(np.float32)
    for _ in range(2):
        Constant(1, hidden_layer_sizes=(8,), pretrain_iter=1, random_state=0).fit(X)
        assert len(list(tmp_path.iterdir())) == 3
    assert shelf.spared_seconds > 0


def test_seeds_side_by_side_give_a_record_of_every_method_and_seed(monkeypatch, capsys):
    seen = []

    def measured(arguments, method, seed):
        seen.append((seed, method))
        return {**record(seed, 0.1 * seed, method), "peak_memory_mb": 1.0}

    monkeypatch.setattr(accuracy, "in_own_process", measured)
    accuracy.main(["--method", "vade,kmeans", "--seeds", "1:4", "--jobs", "2", "--dry"])
    assert sorted(seen) == [(s, m) for s in (1, 2, 3) for m in ("kmeans", "vade")]
    for seed in (1, 2, 3):
        assert seen.index((seed, "vade")) < seen.index((seed, "kmeans"))
    printed = capsys.readouterr().out
    assert "kmeans acc: median 0.200, min 0.100, max 0.300, 3 seeds" in printed


def test_records_of_the_same_code_are_not_measured_again(tmp_path, monkeypatch):
    seen = []

    def fits(arguments, method, seed):
        seen.append((method, seed))
        return {**record(seed, 0.9, method), "code": accuracy.code_digest()}

    known = {**record(1, 0.8), "code": accuracy.code_digest()}
    others = [record(0, 0.8), {**record(2, 0.8), "code": "older"}, {**known, "split": "train"}]
    for one in (known, *others):
        keep(one, tmp_path)
    measured = partial(accuracy.measured, folder=tmp_path)
    monkeypatch.setattr(accuracy, "measured", measured)
    monkeypatch.setattr(accuracy, "keep", partial(keep, folder=tmp_path))
    monkeypatch.setattr(accuracy, "in_own_process", fits)
    given = Namespace(data="usps", split="all", method="vade", seeds="0:3", jobs=1, dry=False)
    for _ in range(2):
        accuracy.measure_all(given)
    assert seen == [("vade", 0), ("vade", 2)]


def test_a_failed_seed_ends_the_measurement(monkeypatch):
    def fails(arguments, method, seed):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(accuracy, "in_own_process", fails)
    with pytest.raises(RuntimeError, match="no such luck"):
        accuracy.main(["--jobs", "2", "--dry"])


def test_steps_of_every_kind_are_set_against_their_products(monkeypatch):
    X = np.random.default_rng(0).random((64, 12), dtype=np.float32)
    monkeypatch.setattr(speed, "fetch_benchmark", lambda data: (X, None))
    monkeypatch.setattr(speed, "ROWS_TIMED", 32)
    found = list(speed.measure_step(32, "float32"))
    assert [record["what"].split()[1] for record in found] == [
        *("pretrain", "bound", "neighbours", "train")
    ]
    assert all(record["ms"] > 0 and record["limit_ms"] > 0 for record in found)


def test_shares_are_those_of_pairs_that_were_taken_in_turn(monkeypatch):
    times = iter([2.0, 1.0, 4.0, 1.0, 1.0, 0.9])  # of the work and its limit
    monkeypatch.setattr(speed, "seconds", lambda function: next(times))
    monkeypatch.setattr(speed, "N_PAIRS", 3)
    found = speed.compare(lambda: None, lambda: None)
    assert found == {
        **{"ms": 2000.0, "limit_ms": 1000.0, "n_pairs": 3},
        **{"share": 0.5, "share_min": 0.25, "share_max": 0.9},
    }


def test_products_are_those_of_torch():
    """As many multiplications as torch does, forward and back, in a network of the same sizes."""
    layers = [torch.nn.Linear(6, 5, bias=False), torch.nn.Linear(5, 3, bias=False)]
    with FlopCounterMode(display=False) as theirs:
        torch.nn.Sequential(*layers)(torch.randn(4, 6)).sum().backward()
    with FlopCounterMode(display=False) as ours:
        speed.Products((6, 5, 3), n_rows=4).prepare(torch.float32)()
    assert ours.get_total_flops() == theirs.get_total_flops()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_growth_is_that_of_the_block():
    before = np.ones(40 * 2**17)
    with anonymous_growth() as growth:
        inside = before[: 20 * 2**17] + 1
    assert inside.nbytes == 20 * 2**20
    assert 15 < growth.mb < 35


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_not_that_of_the_process_that_started_this_one():
    large = np.ones(300 * 2**17)
    code = "from benchmarks.usage import peak_memory_mb; print(peak_memory_mb())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert float(done.stdout) < 100 < large.nbytes / 2**20


def test_development_sets_have_a_name_each_and_scaled_columns():
    assert len(set(development.ALL)) == len(development.ALL)
    X, y = development.load("wine")
    assert X.dtype == np.float32
    np.testing.assert_allclose(X.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(X.std(0), 1, atol=1e-5)
    assert sorted(set(y)) == [0, 1, 2]
    for name in ("nothing", "fcps"):
        with pytest.raises(ValueError, match="the sets are iris"):
            development.load(name)


def peer_record(method, seed, seconds, code="new", isa="native"):
    return {
        **{"processor": {"name": "a processor", "bfloat16": []}, "isa": isa, "data": "iris"},
        **{"method": method, "seed": seed, "code": code, "cpu_seconds": {"fit": seconds}},
        **{"acc": 0.5 + 0.1 * seed, "nmi": 0.5, "found_clusters": 3, "peak_memory_mb": 100},
        **{"versions": {"skvade": "0"}},
    }


def test_peers_are_set_against_the_reference_of_the_same_seed(tmp_path):
    path = tmp_path / "peers.jsonl"
    for seed in (0, 1, 2):
        peers.keep(peer_record("umap+gmm", seed, 100.0, code="old"), path)
        for method, seconds in (("umap+gmm", 1.0 + seed), ("skvade", 2.0 + 2 * seed)):
            peers.keep(peer_record(method, seed, seconds), path)
    peers.keep(peer_record("kmeans", 0, 0.1, code="old"), path)
    peers.keep(peer_record("umap+gmm", 0, 0.1, isa="avx2"), path)
    assert len(peers.read(path)) == 8
    text = peers.table(peers.read(path))
    assert (
        "| iris | skvade | 3 | 4.00 | 2.00 | 0.0 | 0.0 | 0.600 | 0.500 | 0.500 |  |  | 3 | 100 |"
        in text
    )
    assert "| iris | kmeans | 1 | 0.10 | 0.10 |" in text
    peers.keep(peer_record("kmeans", 3, 0.1), path)  # the reference has no such seed
    assert "| iris | kmeans | 2 | 0.10 | 0.10 |" in peers.table(peers.read(path))
    assert text.count("a processor (bfloat16 units: none)") == 2


def test_many_sets_have_a_table_with_means_of_those_that_every_method_has(tmp_path):
    path = tmp_path / "peers.jsonl"
    fits = [("glass", "skvade", (0.2, 0.4, 0.9)), ("glass", "kmeans", (0.3,))]
    fits += [("zoo", "skvade", (0.8,)), ("zoo", "kmeans", (0.7,)), ("yeast", "skvade", (0.1,))]
    for data, method, values in fits:
        for seed, ari in enumerate(values):
            labels = "bcd"[:2] * 2 if seed < 2 else "bbcc"
            found = {"data": data, "ari": ari, "labels": labels}
            peers.keep({**peer_record(method, seed, 1.0 + seed), **found}, path)
    lines = peers.table(peers.read(path)).splitlines()
    assert "| tables | skvade (3) | kmeans (1) |" in lines
    assert "| glass | **0.400** | 0.300 |" in lines
    assert "| yeast | **0.100** | nan |" in lines
    assert "| *mean ARI* | 0.600 | 0.500 |" in lines
    assert "| *mean CPU s* | 1.50 | 1.00 |" in lines


def test_labels_of_two_seeds_are_compared():
    same = [{"labels": "bbcc"}, {"labels": "ccbb"}]
    assert peers._agreement(same) == 1
    assert peers._agreement([*same, {"labels": "bcbc"}]) == pytest.approx((1 - 0.5 - 0.5) / 3)
    assert np.isnan(peers._agreement(same[:1]))


def test_the_library_is_code_of_our_own_fits_only(tmp_path, monkeypatch):
    ours, theirs = peers.code("skvade"), peers.code("kmeans")
    peers.code.cache_clear()
    (tmp_path / "changed.py").write_text("")
    monkeypatch.setattr(peers.skvade, "__file__", str(tmp_path / "__init__.py"))
    assert peers.code("skvade") != ours
    assert peers.code("kmeans") == theirs
    peers.code.cache_clear()


def test_fits_that_are_recorded_are_not_repeated(tmp_path, monkeypatch):
    seen = []

    def fits(python, file, data, method, seed, isa):
        seen.append((method, seed))
        return {"acc": 1.0, "versions": {}}

    monkeypatch.setattr(peers, "environment", lambda folder, packages: None)
    monkeypatch.setattr(peers, "fit", fits)
    methods = ["skvade", "kmeans", "svd+kmeans"]
    first = list(peers.measure("iris", methods, range(2), "native", set()))
    assert seen == [("skvade", 0), ("kmeans", 0), ("skvade", 1), ("kmeans", 1)]
    have = {(*peers.key(record), record["code"]) for record in first[:3]}
    again = list(peers.measure("iris", methods, range(2), "native", have))
    assert [(r["method"], r["seed"]) for r in again] == [("kmeans", 1)]


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_no_figure_of_a_page_differs_from_the_records(path):
    text = path.read_text()
    assert pages.filled(text) == text


def test_the_page_is_that_of_the_records():
    text = page(read(), kept.read(tables.EARLIER), pages.others())
    assert text == pages.BENCHMARKS.read_text()


def test_every_table_has_a_place():
    places = {name for p in pages.pages() for _, name, _ in pages.PLACE.findall(p.read_text())}
    assert places == set(pages.TABLES)


def test_a_place_without_a_table_is_named():
    with pytest.raises(ValueError, match="the table 'of contents'; there are demo, peers"):
        pages.filled("<!-- begin: figures of contents -->\n<!-- end: figures -->")


# A score (.98, 0.98), a share in percent or seconds, but no whole number and no version.
FIGURE = re.compile(r"(?<![\w.])0?\.\d{2,}|\d\.\d+ ?(?:%|s\b)")
DIARY = "measurements.md"


@pytest.mark.parametrize("path", pages.pages(), ids=lambda path: path.name)
def test_no_figure_stands_beside_the_tables(path):
    """Sentences that quote figures would be right until the next measurement."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4}.*$|`[^`]*`", "", pages.PLACE.sub("", text), flags=re.MULTILINE)
    assert path.name == DIARY or FIGURE.findall(text) == []


@pytest.mark.parametrize(
    ("options", "cases"),
    [
        ([], [("a", 0.5, 0), ("a", 0.5, 1), ("b", 0.5, 0), ("b", 0.5, 1)]),
        (
            ["--sets", "b,c", "--rates", "0.1"],
            [("b", 0.1, 0), ("b", 0.1, 1), ("c", 0.1, 0), ("c", 0.1, 1)],
        ),
        (["--seeds", "3", "--sets", "a"], [("a", 0.5, 3)]),
        (["--table"], []),
    ],
)
def test_a_benchmark_measures_what_is_asked_for(options, cases, tmp_path, monkeypatch, capsys):
    measured = []

    def measure(name, rate, seed):
        measured.append((name, rate, seed))
        return [{"set": name, "rate": rate, "seed": seed}]

    monkeypatch.setattr(sys, "argv", ["benchmark", *options])
    axes = {"set": ("a", "b"), "rate": (0.5,), "seed": range(2)}
    for _ in range(2):  # the second time there is nothing to do
        kept.measure_and_print(
            "What it is.", tmp_path / "r", axes, measure, lambda rs: f"{len(rs)} in all"
        )
        assert measured == cases
        assert capsys.readouterr().out.splitlines()[-1] == f"{len(cases)} in all"


def test_cases_may_be_others_than_those_of_the_axes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark"])

    def measure(name, part):
        return [{"set": name, "left out": part}]

    kept.measure_and_print(
        "What it is.",
        tmp_path / "r",
        {"set": ("a", "b")},
        measure,
        str,
        names=("set", "left out"),
        cases=lambda sets: [(name, "first") for name in sets],
    )
    assert kept.read(tmp_path / "r") == [measure("a", "first")[0], measure("b", "first")[0]]
    assert capsys.readouterr().out.startswith("a first")


def test_an_ablation_compares_means_of_seeds_by_set():
    def fits(name, method, *found, seconds):
        shared = {"set": name, "method": method, "cpu_seconds": seconds, "agreement": 0.5}
        return [shared | {"seed": seed, "ari": ari} for seed, ari in enumerate(found)]

    default = [*fits("iris", "vade", 0.5, 0.7, seconds=1), *fits("a/b", "vade", 1, 1, seconds=1)]
    without = fits("iris", "without-hold", 0.5, 0.5, seconds=2)
    without += fits("a/b", "without-hold", 1, 0.99, seconds=8)
    assert ablation.table(default + without).splitlines()[2:] == [
        "| vade | 0.600 | 1.000 | 0 | 0 | 0.50 | 1.00 |",
        "| without-hold | 0.500 | 0.995 | 1 | 0 | 0.50 | 4.00 |",
    ]


def test_an_ablation_compares_fits_of_the_same_code():
    old, new = ({"versions": {"commit": commit}} for commit in ("old", "new"))
    runs = [record(0, 0.9) | new, record(0, 0.5, method="without-hold") | old]
    assert "vade" not in "\n".join(tables.ablation(runs))
    lines = tables.ablation([*runs, record(0, 0.6) | old, record(1, 0.7) | old])
    assert [line.split(" | ")[1:3] for line in lines[2:4]] == [
        ["vade", "0.600"],
        ["without-hold", "0.500"],
    ]
    again = [*runs, record(0, 0.6) | old, record(0, 0.7, method="without-hold") | new]
    assert len(tables.ablation(again)) == 2 + 4 + 1  # header, four rows, a blank line


def test_the_summary_has_medians_worst_and_the_best_in_bold():
    fit = {"isa": "native", "data": "iris", "n_rows": 150, "n_features": 4, "seed": 0}
    fit |= {"processor": {"name": "a processor", "bfloat16": []}}
    runs = [
        {**fit, "method": method, "acc": acc, "nmi": 0.0, "cpu_seconds": {"fit": 2.0}}
        for method, acc in [("skvade", 0.9), ("skvade", 0.8), ("skvade", 0.7), ("kmeans", 0.85)]
    ]
    text = summary.figures(runs)
    assert "| iris | 150 x 4 | ACC | .800 (.700) | 2.0 |  |  |  |  | **.850** | 3, 1 |" in text
    assert text.endswith("One thread of a processor, without bfloat16 units.")
    other = {**runs[0], "processor": {"name": "another", "bfloat16": []}, "acc": 0.1}
    assert summary.figures([*runs, other]) == text
    beside = {**fit, "method": "umap+gmm", "acc": 0.5, "nmi": 0.0, "cpu_seconds": {"fit": 3.0}}
    later = {**runs[0], "seed": 7, "cpu_seconds": {"fit": 90.0}}  # of another day
    in_turn = summary.figures([*runs, later, later, later, beside])
    assert "| iris | 150 x 4 | ACC | **.900** (.700) | 2.0 | .500 | 3.0 |" in in_turn


def test_means_of_many_sets_are_of_medians_and_only_of_who_has_all():
    made = {"isa": "native", "processor": {"name": "a processor", "bfloat16": []}}
    found = [("yeast", "skvade", ari) for ari in (0.1, 0.2, 0.9)]
    found += [("zoo", "skvade", 0.6), ("yeast", "gmm", 0.5), ("zoo", "gmm", 0.5)]
    found += [("yeast", "kmeans", 1.0)]
    runs = [{**made, "data": d, "method": m, "ari": ari} for d, m, ari in found]
    assert "| 2 tables | 0.400 | **0.500** |  |  |" in summary.means(runs)
