"""What is loaded runs no code, reads nothing that is not its own, and is refused by name. SECURITY.md promises it."""

import json

import pytest
import yaml

from tests.cli.runs import main, tiny_words
from tests.conftest import ROOT
from tests.security import forged
from tests.security.scan import findings
from tlplug.models.base_model import find_base
from tlplug.settings import ModelSettings

LISTS = ROOT / "tests" / "security"

OWN_PICKLES = {
    # What a process answers to the one that has started it, through a pipe that nobody else has.
    "tlplug/testing/isolation.py": ["pickle.loads"],
}


def sources():
    return [
        path
        for room in ("tlplug", "plugins", "bench", "conf")
        for path in sorted((ROOT / room).rglob("*.py"))
    ]


def test_nothing_in_the_source_loads_what_could_run_code():
    found = {}
    for path in sources():
        if told := [line.partition(": ")[2] for line in findings(path.read_text(encoding="utf-8"))]:
            found[str(path.relative_to(ROOT))] = told
    assert found == OWN_PICKLES and len(sources()) > 200


def test_no_config_names_code():
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert "_target_" not in path.read_text(encoding="utf-8"), path


def test_the_scan_finds_every_offence_and_nothing_sound():
    lines = (LISTS / "offences.txt").read_text().splitlines()
    begin = lines.index("pickle.load(file)") + 1
    found = {int(line.partition(":")[0]) for line in findings("\n".join(lines))}
    assert found == set(range(begin, len(lines) + 1))
    assert not list(findings((LISTS / "sound.txt").read_text()))


@pytest.fixture
def ran(tmp_path):
    """What must not be there afterwards."""
    path = tmp_path / "it-ran"
    yield path
    assert not path.exists(), "code ran that came with a file"


@pytest.fixture
def refused(capsys, ran):
    """Run a command line that has to be refused in one message."""

    def run(*words):
        code = main([str(word) for word in words])
        error = capsys.readouterr().err
        assert code == 2 and error.startswith("tlplug: ") and "Traceback" not in error, error
        return error

    return run


@pytest.fixture
def train(refused, tiny_folder, rows_folder, tmp_path):
    """A run that has to be refused, and to leave nothing."""

    def run(*words, source=tiny_folder):
        folder = tmp_path / "refused"
        error = refused(
            *tiny_words(source, rows_folder), "transfer.baselines=[]", f"run_dir={folder}", *words
        )
        assert not folder.exists()
        return error

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_folder, rows_folder):
    folder = tmp_path_factory.mktemp("finished") / "run"
    words = ["transfer.baselines=[]", "metric=[cost]", f"run_dir={folder}"]
    assert main([*tiny_words(tiny_folder, rows_folder), *words]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy that may be spoilt."""
    return forged.copy_of(finished, tmp_path / "run")


@pytest.fixture
def model(tiny_folder, tmp_path):
    return forged.copy_of(tiny_folder, tmp_path / "model")


# Base models


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_a_base_model_of_pickles_is_refused_by_name_with_how_to_convert_it(name, model, ran, train):
    (model / "model.safetensors").unlink()
    forged.bomb(model / name, ran)
    error = train(source=model)
    assert name in error and "save_pretrained" in error


@pytest.mark.parametrize("name", ["weights.bin", "../weights.safetensors", "/tmp/weights.safetensors"])
def test_an_index_of_a_base_model_that_names_other_files_is_refused(name, model, ran, train):
    forged.bomb(model / "weights.bin", ran)
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": name}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "model.safetensors").rename(model / "other.safetensors")
    assert name in train(source=model)


@pytest.mark.parametrize("size", [2**62, 10**6, 3])
def test_a_damaged_base_model_is_refused_by_name(size, model, train):
    forged.safetensors_that_lies(model / "model.safetensors", size)
    assert str(model) in train(source=model)


def test_code_that_comes_with_a_base_model_is_not_run(model, ran, train):
    theirs = forged.code_beside(model, ran)
    config = json.loads((model / "config.json").read_text()) | {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": theirs, "AutoModel": theirs, "AutoModelForSequenceClassification": theirs},
    }
    (model / "config.json").write_text(json.dumps(config))
    assert "model.trust_remote_code=true" in train(source=model)


def test_code_that_comes_with_a_tokenizer_is_not_run(model, ran):
    """transformers has a class that can read its files, and takes that one."""
    theirs = forged.code_beside(model, ran)
    file = model / "tokenizer_config.json"
    forged.changed(file, auto_map={"AutoTokenizer": [theirs, theirs]}, tokenizer_class="Theirs")
    find_base(ModelSettings(source=str(model)))


@pytest.mark.parametrize(("tensors", "pairs"), [(2**62, 0), (0, 2**62), (2**31, 2**31), (1, 1)])
def test_a_gguf_file_whose_header_lies_is_refused(tensors, pairs, tmp_path, train):
    file = forged.gguf_that_lies(tmp_path / "model.gguf", tensors, pairs)
    assert "cannot be read as GGUF" in train(source=file)


# Addresses and archives

ADDRESS = "https://example.org/x"


@pytest.mark.parametrize(
    "words",
    [
        *(
            [f"{key}={ADDRESS}"]
            for key in ("model.source", "data.path", "data.target_domain", "transfer.source_domain")
        ),
        *([f"data.splits.{split}={ADDRESS}.jsonl"] for split in ("train", "validation")),
        ["data.path=http://localhost/a.jsonl"],
        ["data.path=s3://bucket/a.jsonl"],
        ["data.path=file:///etc/passwd"],
        ["data.path=hf://datasets/a/b"],
        [f"model.from_run={ADDRESS}"],
    ],
    ids=" ".join,
)
def test_an_address_is_refused_before_anything_is_fetched(words, train):
    error = train(*words, *(["strategy=coral"] if "data.target_domain" in words[0] else []))
    assert (
        "is an address" in error or "data.target_domain" in words[0] or "transfer.source_domain" in words[0]
    ), error


@pytest.mark.parametrize("command", [["predict", "--text=x"], ["evaluate"], ["export", "out"], ["resume"]])
def test_an_address_is_no_run(command, refused):
    name, *rest = command
    assert "is an address" in refused(name, f"{ADDRESS}/run", *rest)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tgz", ".jsonl.zip"])
def test_archives_are_not_unpacked(suffix, tmp_path, train):
    file, escaped = tmp_path / f"data{suffix}", tmp_path / "escaped.jsonl"
    make = forged.zipped if suffix.endswith("zip") else forged.tarred
    if make is forged.zipped:
        make(file, **{"../escaped.jsonl": '{"text": "a", "label": "b"}\n'})
    else:
        make(file, escaped)
    assert f"data{suffix}" in train(f"data.path={file}")
    assert f"data{suffix}" in train(f"data.splits.train={file}")
    assert not escaped.exists() and not (tmp_path.parent / "escaped.jsonl").exists()


def test_a_saved_data_set_that_names_files_of_others_is_refused(tmp_path, train):
    from datasets import Dataset

    row = {"text": ["a", "b"], "label": ["x", "y"]}
    Dataset.from_dict(row).save_to_disk(tmp_path / "theirs")
    Dataset.from_dict(row).save_to_disk(tmp_path / "data")
    name = f"../theirs/{next((tmp_path / 'theirs').glob('*.arrow')).name}"
    forged.changed(tmp_path / "data" / "state.json", _data_files=[{"filename": name}])
    assert name in train(f"data.path={tmp_path / 'data'}")


# Run directories

USES = [
    ["predict", "--text=x"],
    ["evaluate"],
    ["export", "../out"],
]


def config_of(run, **nodes):
    """The run's config with other values in its nodes; `model_source=...` sets model.source."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    for key, value in nodes.items():
        node, _, name = key.partition("__")
        if name:
            config[node][name] = value
        else:
            config[node] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


FORGED_CONFIGS = {
    "_target_ of a strategy": ({"strategy___target_": "os.system"}, "_target_"),
    "_target_ of the data": ({"data___target_": "os.system"}, "_target_"),
    "_target_ of the root": ({"_target_": "os.system"}, "_target_"),
    "a class as a strategy": ({"strategy__name": "forged_code.Theirs"}, "forged_code.Theirs"),
    "a class as a head": ({"head__name": "forged_code.Theirs"}, "forged_code.Theirs"),
    "what the environment holds": ({"task": "${oc.env:HOME}"}, "interpolation"),
    "code of a base model": ({"model__trust_remote_code": True}, "trust_remote_code"),
    "a field that is not there": ({"strategy__command": "ls"}, "command"),
    "a type that it is not": ({"data": ["a"]}, "config"),
    "a strategy that is a list": ({"strategy": ["lora"]}, "config"),
    "a base model at an address": ({"model__source": ADDRESS}, "is an address"),
}


@pytest.mark.parametrize("case", FORGED_CONFIGS)
@pytest.mark.parametrize("use", [USES[0], ["resume"]], ids=lambda use: use[0])
def test_a_config_of_a_run_names_no_code(case, use, run, ran, refused, tmp_path, monkeypatch):
    forged.code_beside(tmp_path, ran)
    monkeypatch.syspath_prepend(tmp_path)
    values, says = FORGED_CONFIGS[case]
    config_of(run, **values)
    if use[0] == "resume":
        (run / "result.json").unlink()
    assert says in refused(use[0], run, *use[1:])


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['touch x']", "a: &a [*a]", "\x00", "[1"])
def test_a_config_that_is_no_config_is_refused(text, run, refused):
    (run / "config.yaml").write_text(text)
    assert "config.yaml" in refused("predict", run, "--text=x")


@pytest.mark.parametrize("name", ["config.yaml", "head.json", "adapter/adapter_model.safetensors", "adapter"])
@pytest.mark.parametrize("use", USES, ids=lambda use: use[0])
def test_a_link_out_of_a_run_is_not_followed(name, use, run, tmp_path, refused):
    aside = tmp_path / "elsewhere"
    (run / name).rename(aside)
    (run / name).symlink_to(aside)
    error = refused(use[0], run, *use[1:])
    assert str(run / name) in error and "leads out of the run directory" in error


def test_a_run_may_be_reached_by_a_link(run, tmp_path, capsys):
    (tmp_path / "link").symlink_to(run)
    assert main(["predict", str(tmp_path / "link"), "--text=the film"]) == 0


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "deep/x.pkl"])
def test_a_pickle_among_what_a_run_saved_is_refused(name, run, ran, refused):
    forged.bomb(run / "adapter" / name, ran)
    assert name in refused("predict", run, "--text=x")


def test_an_adapter_that_is_a_pickle_alone_is_refused(run, ran, refused):
    (run / "adapter" / "adapter_model.safetensors").unlink()
    forged.bomb(run / "adapter" / "adapter_model.bin", ran)
    assert "adapter_model.bin" in refused("predict", run, "--text=x")


def test_an_adapter_whose_config_makes_peft_import_a_module_is_refused(
    run, ran, refused, tmp_path, monkeypatch
):
    forged.code_beside(tmp_path, ran)
    monkeypatch.syspath_prepend(tmp_path)
    file = run / "adapter" / "adapter_config.json"
    forged.changed(file, megatron_config={"tensor_model_parallel_size": 1}, megatron_core="forged_code")
    error = refused("predict", run, "--text=x")
    assert str(file) in error and "megatron_config" in error


def test_the_class_that_an_adapter_names_is_not_imported(run, ran, tmp_path, monkeypatch):
    forged.code_beside(tmp_path, ran)
    monkeypatch.syspath_prepend(tmp_path)
    named = {"base_model_class": "Theirs", "parent_library": "forged_code"}
    forged.changed(run / "adapter" / "adapter_config.json", auto_mapping=named)
    assert main(["predict", str(run), "--text=the film"]) == 0


@pytest.mark.parametrize("size", [2**62, 10**6, 3])
def test_a_damaged_adapter_is_refused_by_name(size, run, refused):
    forged.safetensors_that_lies(run / "adapter" / "adapter_model.safetensors", size)
    assert str(run / "adapter") in refused("predict", run, "--text=x")


def test_an_adapter_that_names_another_base_model_gets_the_run_s(run, capsys):
    forged.changed(run / "adapter" / "adapter_config.json", base_model_name_or_path="/etc")
    assert main(["predict", str(run), "--text=the film"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 1, "state": {"labels": 3}}',
        '{"version": 1, "state": 3}',
        '{"version": 9}',
    ],
)
def test_a_head_that_cannot_be_read_is_refused(text, run, refused):
    (run / "head.json").write_text(text)
    assert "head.json" in refused("predict", run, "--text=x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 9}',
        '{"version": 1}',
        '{"version": 1, "overrides": ["a", 3]}',
        '{"version": 1, "overrides": "a"}',
    ],
)
def test_what_a_run_was_begun_with_is_checked(text, run, refused):
    (run / "result.json").unlink()
    (run / "run.json").write_text(text)
    assert "run.json" in refused("resume", run)


def test_evidence_names_no_file_outside_of_it(run, tmp_path, refused):
    (tmp_path / "secret.json").write_text('{"predictions/after": []}')
    index = json.loads((run / "evidence" / "index.json").read_text())
    index["entries"]["predictions/after"] = "../../secret.json"
    (run / "evidence" / "index.json").write_text(json.dumps(index))
    assert "secret.json" in refused("metrics", run, "metric=[calibration]")


# Plugins of others


@pytest.fixture
def theirs(tmp_path, monkeypatch, ran):
    """Another distribution with a strategy, which is noticed when it is imported, and presets."""
    forged.code_beside(tmp_path / "site" if (tmp_path / "site").mkdir() is None else tmp_path, ran, "theirs")
    forged.distribution(
        tmp_path / "site",
        "theirs",
        "1.0",
        strategies="theirs = theirs:Theirs",
        configs="theirs = theirs_conf",
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


def test_plugins_of_others_can_be_switched_off(theirs, monkeypatch, train, capsys):
    from tlplug.interfaces.registry import Registry

    assert "theirs" in Registry().names("strategy") and "theirs_conf" in Registry().config_packages()
    monkeypatch.setenv("TLPLUG_DISABLE_PLUGINS", "0")
    assert "theirs" in Registry().names("strategy")
    monkeypatch.setenv("TLPLUG_DISABLE_PLUGINS", "1")
    assert "theirs" not in Registry().names("strategy") and "lora" in Registry().names("strategy")
    assert not Registry().config_packages()
    for name in ("theirs", "theirs.Theirs"):
        assert "TLPLUG_DISABLE_PLUGINS is set" in train(f"strategy={name}")
    assert main(["plugins", "list"]) == 0
    told = capsys.readouterr().out
    assert "TLPLUG_DISABLE_PLUGINS is set" in told and "theirs" not in told and "lora" in told


@pytest.mark.parametrize("use", [*USES, ["resume"]], ids=lambda use: use[0])
def test_a_run_that_was_made_with_another_version_is_used_with_a_warning(use, run, capsys, caplog, tmp_path):
    from tlplug import __version__

    record = json.loads((run / "run.json").read_text())
    for plugin in record["plugins"]:
        plugin["version"] = "0.0.7"
    forged.changed(run / "run.json", plugins=record["plugins"])
    if use[0] == "resume":
        (run / "result.json").unlink()
        use = [*use, "--trust"]
    words = [word.replace("../out", str(tmp_path / "out")) for word in use[1:]]
    main([use[0], str(run), *words])
    told = [line.getMessage() for line in caplog.records if "0.0.7" in line.getMessage()]
    assert (
        len(told) == 1 and f"tlplug 0.0.7 when the run was made and is of tlplug {__version__} now" in told[0]
    )


def test_a_run_used_with_the_versions_it_was_made_with_is_not_warned_of(run, capsys, caplog):
    assert main(["predict", str(run), "--text=the film"]) == 0
    assert "when the run was made" not in caplog.text


# Checkpoints


@pytest.mark.parametrize("make", [forged.bomb, forged.plain_bomb])
def test_a_checkpoint_that_would_run_code_is_not_read(make, tmp_path, ran, caplog):
    from tlplug.training.checkpoint_files import AtomicCheckpointIO, readable_checkpoints

    (tmp_path / "checkpoints").mkdir()
    file = make(tmp_path / "checkpoints" / "step-3.ckpt", ran)
    assert not list(readable_checkpoints(file.parent)) and str(file) in caplog.text
    with pytest.raises(Exception, match="(?i)weights.only|unsupported|pickle"):
        AtomicCheckpointIO().load_checkpoint(file)
