#!/usr/bin/env python3
"""Compares Lathe's text metrics with rouge_score, sacrebleu, torchmetrics, scikit-learn and scipy on drawn texts, to 1e-9.

    python tests/peers/check_metrics.py TEST_METRICS [--seed N] [--count N]
    python tests/peers/check_metrics.py --golden tests/unit/data/metrics/golden.json

TEST_METRICS is the unit tests' program, whose hidden case computes the values of a file. Needs the packages of
scripts/metrics_requirements.txt (`$(scripts/peers_env metrics)` is a Python that has them). Exit code 1 when any differ.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy
import scipy.stats
import torch
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import accuracy_score, f1_score
from torchmetrics.functional.text import squad

PIECES = ["the", "The", "a", "an", "cat", "Cat's", "chat", "sat", "on", "mat.", "don't", "\u00e9t\u00e9", "e\u0301te\u0301", "l\u2019\u0153uvre",
          "Stra\u00dfe", "\u0130stanbul", "\u212a", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u65e5\u672c\u8a9e", "\u0928\u092e\u0938\u094d\u0924\u0947", "\U0001f600", "\U0001f468\u200d\U0001f469",
          "42", "3.14", "1,000", "\u00bd", "\u0663", "x_y", "---", "\u2026", "{}", "\"q\"", "an-a", "the\u0301", "\ufb01n", "\u01c4", "SELECT", "=", "''",
          "(a)", "\u00aba\u00bb", "A.", "\u200b", "\u00ad"]
SPACES = [" ", " ", " ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u2028", ""]


def draw_text(draw):
    return "".join(draw.choice(PIECES) + draw.choice(SPACES) for _ in range(draw.randint(0, 14)))


def draw_pair(draw):
    """A reference and what a model might make of it: itself, edited, cut, or something else."""
    reference = draw_text(draw)
    kind = draw.randrange(5)
    if kind == 0:
        return reference, reference
    if kind == 1:
        return draw_text(draw), reference
    if kind == 2:
        return reference[:draw.randint(0, len(reference))], reference
    prediction = list(reference)
    for _ in range(draw.randint(1, 4)):
        if prediction:
            prediction[draw.randrange(len(prediction))] = draw.choice(["", "x", " ", "\u00e9", "A"])
    return "".join(prediction), reference


def draw_cases(seed, count):
    draw = random.Random(seed)
    labels = ["oui", "non", "peut-\u00eatre", "\u65e5\u672c", "n/a", "other"]
    cases = {"pairs": [], "labels": [], "paired": []}
    cases["pairs"] = [list(draw_pair(draw)) for _ in range(count)] + [["", ""], ["a", ""], ["", "a"], ["the", "a"]]
    for i in range(max(5, count // 10)):
        known = labels[:draw.randint(1, len(labels))]
        n = draw.randint(1, 40)
        cases["labels"].append([[draw.choice(labels) for _ in range(n)], [draw.choice(known) for _ in range(n)]])
    for i in range(max(5, count // 40)):
        n = draw.randint(2, 11)
        kind = (lambda: float(draw.randint(0, 1))) if i % 2 else (lambda: draw.random())
        cases["paired"].append([[kind() for _ in range(n)], [kind() for _ in range(n)]])
    return cases


def squad_scores(prediction, reference):
    """(exact match after SQuAD's normalisation, F1 of the words), by torchmetrics, as shares of 1."""
    scores = squad([{"prediction_text": prediction, "id": "1"}], [{"answers": {"answer_start": [0], "text": [reference]}, "id": "1"}])
    return scores["exact_match"].item() / 100, scores["f1"].item() / 100


def is_json(text):
    def refuse(constant):
        raise ValueError(constant)
    try:
        json.loads(text.strip(" \t\r\n"), parse_constant=refuse)
        return 1.0
    except ValueError:
        return 0.0


def reference_values(cases):
    rouge = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    chrf = CHRF()
    values = {"pairs": [], "labels": [], "paired": []}
    for prediction, reference in cases["pairs"]:
        exact, f1 = squad_scores(prediction, reference)
        values["pairs"].append({
            "exact_match": float(prediction == reference),
            "exact_match_normalised": exact,
            "rouge_l": rouge.score(reference, prediction)["rougeL"].fmeasure,
            "chrf": chrf.sentence_score(prediction, [reference]).score,
            "span_f1": f1,
            "json_valid": is_json(prediction)})
    for found, wanted in cases["labels"]:
        values["labels"].append({"accuracy": accuracy_score(wanted, found),
                                 "macro_f1": f1_score(wanted, found, average="macro", zero_division=0)})
    for ours, theirs in cases["paired"]:
        test = scipy.stats.permutation_test((numpy.array(ours), numpy.array(theirs)), lambda a, b: numpy.mean(a) - numpy.mean(b),
                                            permutation_type="samples", n_resamples=numpy.inf, vectorized=False)
        values["paired"].append({"difference": float(test.statistic), "p_value": float(test.pvalue)})
    return values


def print_chrf(cases, found):
    """Ours is the mean of sacrebleu's sentence scores; its corpus score pools the counts of all texts and is another number."""
    ours = numpy.mean([row["chrf"] for row in found["pairs"]])
    pooled = CHRF().corpus_score([prediction for prediction, _ in cases["pairs"]], [[reference for _, reference in cases["pairs"]]]).score
    print(f"chrf over {len(found['pairs'])} pairs: mean of sentences {ours:.4f} (ours), sacrebleu's corpus_score {pooled:.4f}")


def our_values(program, cases):
    with tempfile.TemporaryDirectory() as folder:
        into, out = pathlib.Path(folder) / "cases.json", pathlib.Path(folder) / "values.json"
        into.write_text(json.dumps(cases), encoding="utf-8")
        subprocess.run([program, "[.file]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "LATHE_METRICS_CASES": str(into), "LATHE_METRICS_VALUES": str(out)})
        return json.loads(out.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--golden")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)   # torchmetrics sums in the default type
    if options.golden:
        cases = draw_cases(7, 80)
        text = json.dumps({"cases": cases, "values": reference_values(cases)}, ensure_ascii=True, indent=0)
        pathlib.Path(options.golden).write_text(text + "\n", encoding="ascii")
        return 0
    cases = draw_cases(options.seed, options.count)
    wanted, found = reference_values(cases), our_values(options.program, cases)
    print_chrf(cases, found)
    worst, compared, bad = collections.Counter(), 0, 0
    for part in wanted:
        for i, row in enumerate(wanted[part]):
            for name, value in row.items():
                error = abs(found[part][i][name] - value)
                compared += 1
                worst[name] = max(worst[name], error)
                if not error <= 1e-9:
                    bad += 1
                    if bad <= 5:
                        print(f"{part} {i} {name}: ours {found[part][i][name]!r}, theirs {value!r}: {cases[part][i]!r}")
    print(f"{compared} values compared, {bad} differ; largest differences: "
          + ", ".join(f"{name} {error:.1e}" for name, error in sorted(worst.items())))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
