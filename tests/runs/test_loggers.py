"""Rows of a resumed run, services that fail, what is told of a result, and how a run's end is told."""

import csv
import time
from pathlib import Path

import pytest

from tests.runs.wandb_files import read
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.runs.loggers import safe_logger as door
from tlplug.runs.loggers.csv_logger import CsvRows
from tlplug.runs.loggers.mlflow_logger import Mlflow, legal
from tlplug.runs.loggers.open import opened
from tlplug.runs.loggers.run_ids import Kept
from tlplug.runs.loggers.safe_logger import Door
from tlplug.runs.loggers.service import About, Ended, Ending, figures, flat
from tlplug.runs.loggers.wandb_logger import has_key, tables, unsent
from tlplug.settings import CsvSettings, MlflowSettings, NoSettings, TensorboardSettings, WandbSettings

RESULT = {
    "strategy": "lora",
    "scores": {"accuracy": 0.8, "mcc": 0.6},
    "baselines": {"scratch": {"accuracy": 0.5}},
    "comparisons": {},
    "metrics": {
        "cka": {"mean": 0.9, "layer/1": {"not_measured": "constant"}},
        "nll": {"not_measured": "no text"},
    },
    "verdict": {"label": "positive", "text": "it was of use", "low": float("nan")},
    "cost": None,
}


def about(folder, **named):
    return About(folder, "sentiment", "lora", 1, {"head": {"api_key": "***"}, "seed": 1}, **named)


def test_values_are_flat_by_the_path_of_their_keys():
    assert flat({"a": {"b": 1, "c/d": {"e": 2}}, "f": None}) == {"a/b": 1, "a/c/d/e": 2, "f": None}


def test_figures_are_the_numbers_of_the_summary():
    expected = {"scores/accuracy": 0.8, "scores/mcc": 0.6, "baselines/scratch/accuracy": 0.5}
    assert figures(RESULT) == {**expected, "metrics/cka/mean": 0.9}


def test_tables_have_every_score_and_every_value_or_its_reason():
    found = tables(RESULT)
    assert found["scores"].data == [["lora", 0.8, 0.6], ["scratch", 0.5, None]]
    assert found["metrics"].data == [
        ["cka/mean", 0.9, ""],
        ["cka/layer/1", None, "constant"],
        ["nll", None, "no text"],
    ]


def rows_of(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]


def train(*steps, loss=1.0):
    return [({"train/loss": loss, "epoch": 0}, step) for step in steps]


def write(folder, *rows):
    rows_file = CsvRows(folder)
    for values, step in rows:
        rows_file.row(values, step)


def test_each_row_is_on_disk_when_it_is_logged(tmp_path: Path):
    rows_file = CsvRows(tmp_path)
    for number, (values, step) in enumerate([*train(0, 1), ({"validation/f1": 0.5}, 1)], 1):
        rows_file.row(values, step)
        assert len(rows_of(tmp_path)) == number
    assert rows_of(tmp_path)[-1] == {"step": "1", "validation/f1": "0.5"}


def test_a_resumed_run_keeps_earlier_rows_and_has_none_twice(tmp_path: Path):
    validated = ({"validation/f1": 0.5}, 2)
    write(tmp_path, *train(0, 1, 2), validated, *train(3, 4))
    write(tmp_path, *train(2, 3, loss=2.0))
    assert [(row["step"], row.get("train/loss")) for row in rows_of(tmp_path)] == [
        *(("0", "1.0"), ("1", "1.0"), ("2", None), ("2", "2.0"), ("3", "2.0"))
    ], "a validation at the first step may have been before the checkpoint: it stays until it is logged again"


def test_a_validation_that_is_logged_again_stands_once(tmp_path: Path):
    write(tmp_path, *train(0, 1), ({"validation/f1": 0.5}, 1), ({"test/f1": 0.1}, 1))
    write(tmp_path, ({"validation/f1": 0.6}, 1), ({"test/f1": 0.2}, 1))
    expected = [
        {"step": "0"},
        {"step": "1"},
        {"step": "1", "validation/f1": "0.6"},
        {"step": "1", "test/f1": "0.2"},
    ]
    assert [
        {k: v for k, v in row.items() if k not in ("train/loss", "epoch")} for row in rows_of(tmp_path)
    ] == expected


def test_one_process_may_log_the_same_columns_twice_at_a_step(tmp_path: Path):
    write(tmp_path, ({"validation/f1": 0.5}, 1), ({"validation/f1": 0.6}, 1))
    assert [row["validation/f1"] for row in rows_of(tmp_path)] == ["0.5", "0.6"]


@pytest.mark.parametrize("damage", ["2,1.", "x,1.0,0\n", "\n,,\n"])
def test_a_row_that_was_cut_off_is_left_out(tmp_path: Path, damage):
    write(tmp_path, *train(0, 1))
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(damage)
    write(tmp_path, *train(2))
    assert [row["step"] for row in rows_of(tmp_path)] == ["0", "1", "2"]


class Failing:
    """A service that fails at what it is told to fail at."""

    name = "failing"

    def __init__(self, *at, error=None):
        self.at, self.calls = set(at), []
        self.error = ConnectionError("no route") if error is None else error

    def _do(self, what):
        self.calls.append(what)
        if what in self.at:
            raise self.error

    def start(self):
        self._do("start")

    def row(self, values, step):
        self._do("row")

    def ended(self, ended):
        self._do("ended")

    def finish(self, ending):
        self._do(ending)
        return "send it"


def test_a_service_that_fails_is_told_of_once_and_left_alone_for_a_while(caplog):
    said = []
    service = Failing("row", "ended", Ending.FINISHED)
    logger = Door(service, "run", said.append)
    logger.start()
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.tell(Ended(RESULT, dict, Path(), Path()))
    assert logger.close(Ending.FINISHED) is None
    assert service.calls == ["start", "row", "ended", Ending.FINISHED], "it is tried again at the end"
    assert said == ["logger failing failed (ConnectionError: no route); the run goes on without it"]
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_a_service_that_is_back_is_started_and_told_again(monkeypatch):
    monkeypatch.setattr(door, "PAUSE", 0.0)
    service = Failing("start")
    logger = Door(service, "run", lambda text: None)
    logger.start()
    service.at.clear()
    logger.log_metrics({"loss": 1.0}, 1)
    assert service.calls == ["start", "start", "row"]


def test_an_interrupt_passes_through():
    logger = Door(Failing("row", error=KeyboardInterrupt()), "run", print)
    with pytest.raises(KeyboardInterrupt):
        logger.log_metrics({"loss": 1.0}, 1)


def test_what_lightning_calls_the_end_of_a_fit_does_not_close_a_service():
    service = Failing()
    logger = Door(service, "run", print)
    logger.start()
    logger.finalize("success")
    logger.save()
    assert service.calls == ["start"]


@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (ValueError("broken"), 1), (KeyboardInterrupt(), 1)], ids=str
)
def test_wandb_is_told_how_the_run_ended(tmp_path: Path, monkeypatch, error, code):
    said = []
    monkeypatch.delenv("WANDB_API_KEY", raising=False)

    def go():
        with opened(
            [CsvSettings(), WandbSettings(offline=True)], about(tmp_path, sweep="nightly"), said.append
        ) as found:
            for logger in found.loggers:
                logger.log_metrics({"train/loss": 1.0}, 3)
            if error is not None:
                raise error
        return found.commands

    if error is None:
        commands = go()
    else:
        with pytest.raises(type(error)):
            go()
        commands = [text.removeprefix("To send what was logged: ") for text in said]
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert commands == [f"wandb sync {folder}"]
    run = read(folder)
    assert (run["exit"], run["group"], set(run["tags"])) == (code, "nightly", {"lora", "sentiment"})
    assert run["config"]["head"] == {"api_key": "***"}
    assert [(row["train/loss"], row["trainer/global_step"]) for row in run["rows"]] == [(1.0, 3)]
    assert rows_of(tmp_path) == [{"train/loss": "1.0", "step": "3"}]


def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path: Path):
    for _ in range(2):
        with opened([WandbSettings(offline=True)], about(tmp_path), print) as found:
            found.loggers[0].log_metrics({"train/loss": 1.0}, 3)
        time.sleep(1.1)  # W&B names its folders by the second.
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and len({read(folder)["id"] for folder in folders}) == 1
    assert found.commands == [f"wandb sync {folders[0]} {folders[1]}"]
    next(folders[0].glob("*.wandb")).with_suffix(".wandb.synced").touch()
    assert unsent(folders[1]) == [folders[1]]


def test_no_logger_is_no_logger(tmp_path: Path):
    with opened([NoSettings()], about(tmp_path), print) as found:
        assert found.loggers == []
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_goes_on_without_rows_twice(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps in (range(5), range(3, 8)):
        with opened([TensorboardSettings()], about(tmp_path), print) as found:
            for step in steps:
                found.loggers[0].log_metrics({"train/loss": float(step)}, step)
        found.loggers[0].service.writer = None
    events = EventAccumulator(str(tmp_path / "tensorboard"), purge_orphaned_data=True).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(8))
    assert "api_key" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_same_mlflow_run(tmp_path: Path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/runs.db"
    settings = MlflowSettings(tracking_uri=uri, tags={"team": "a"})
    for ending, step in ((Ending.STOPPED, 1), (Ending.FAILED, 2)):
        service = Mlflow(settings, about(tmp_path, sweep="nightly"), Kept(tmp_path))
        service.start()
        service.row({"train/loss": 1.0, "layer:1(a)": 2.0}, step)
        service.finish(ending)
        client = MlflowClient(uri)
        status = client.get_run(service.run).info.status
        assert status == {Ending.STOPPED: "KILLED", Ending.FAILED: "FAILED"}[ending]
    (run,) = client.search_runs([client.get_experiment_by_name("tlplug").experiment_id])
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2]
    assert run.data.params == {"head.api_key": "***", "seed": "1"} and legal("layer:1(a)") in run.data.metrics
    assert {"team": "a", "sweep": "nightly", "strategy": "lora"}.items() <= run.data.tags.items()


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"version": 2, "ids": {}}',
        '{"version": 1, "ids": {"wandb": "../../x"}}',
        '{"version": 1, "ids": []}',
    ],
)
def test_ids_that_were_tampered_with_are_refused(tmp_path: Path, text):
    (tmp_path / "loggers.json").write_text(text)
    with pytest.raises(UsageError, match="loggers.json is damaged"), opened([], about(tmp_path), print):
        pass


@pytest.mark.parametrize(
    ("host", "base", "found"),
    [
        ("api.wandb.ai", "", True),
        ("wandb.local", "http://wandb.local:8080", True),
        ("api.wandb.ai", "http://other", False),
    ],
)
def test_a_key_is_found_where_wandb_login_puts_it(tmp_path: Path, monkeypatch, host, base, found):
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password {'a' * 40}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", base)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert has_key() is found


@pytest.mark.parametrize("cls", [MlflowSettings, TensorboardSettings])
def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch, cls):
    name = cls.__name__.removesuffix("Settings").lower()
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with Composer() as composer, pytest.raises(UsageError, match=rf"pip install 'tlplug\[{name}\]'"):
        build(composer.compose(["strategy=lora", "task=sentiment", f"logger={name}"]))
