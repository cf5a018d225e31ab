"""`export RUN OUT --push owner/name`, against a stand-in for the hub."""

import json
import shlex
import socket

import pytest

from tests.cli.fake_hub import Hub
from tests.cli.runs import command_line, main, result_of, tiny_words
from tlplug import UsageError
from tlplug.runs.export import push


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_folder, rows_folder):
    folder = tmp_path_factory.mktemp("pushed") / "run"
    assert main([*tiny_words(tiny_folder, rows_folder), "transfer.baselines=[]", f"run_dir={folder}"]) == 0
    return folder


@pytest.fixture
def hub():
    with Hub() as served:
        yield served


def export(run, out, address, *words, name="owner/name", **env):
    """The command in a process of its own, with nothing of the user's at hand: no token, no cache, no proxy."""
    ours = {
        "HF_ENDPOINT": address,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(out.parent / "home"),
        "HF_TOKEN": "hf_test",
        "HUGGING_FACE_HUB_TOKEN": "",
        "NO_PROXY": "127.0.0.1",
    }
    done = command_line("export", run, out, "--push", name, *words, env={**ours, **env})
    assert "hf_test" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    return done


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
def test_every_file_of_an_export_is_pushed_and_pushed_again(run, tmp_path, hub):
    done = export(run, tmp_path / "out", hub.address)
    assert done.returncode == 0, done.stderr
    assert f"Uploaded  {hub.address}/owner/name" in done.stdout
    there = hub.repositories["owner/name"]
    assert not there.private and there.files == content(tmp_path / "out")
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= there.files.keys()

    assert [content(tmp_path / "out")["adapter_model.safetensors"]] == list(hub.objects.values())
    asked = [request for request in hub.requests if request.method == "POST"]
    assert len(asked) >= 5 and {request.authorization for request in asked} == {"Bearer hf_test"}
    put = [request.authorization for request in hub.requests if request.method == "PUT"]
    assert put == [None], "a large file goes to its storage, which the token is not for"

    hub.refuse("/preupload/", 500, times=1)
    again = export(run, tmp_path / "merged", hub.address, "--merge")
    assert again.returncode == 0, again.stderr
    assert content(tmp_path / "merged").items() <= there.files.items() and len(there.commits) == 2


@pytest.mark.slow
def test_a_private_repository_by_the_client_s_own_way_of_uploading(run, tmp_path):
    with Hub(large=False) as hub:
        done = export(run, tmp_path / "out", hub.address, "--private", HF_HUB_DISABLE_XET="0")
        assert done.returncode == 0, done.stderr
    there = hub.repositories["owner/name"]
    assert there.private and there.files == content(tmp_path / "out")


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


FORBIDDEN = "You don't have the rights to create a model under the namespace 'owner'"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"HF_TOKEN": ""}, ["401 Unauthorized. Invalid username or password", "hf auth login"]),
        ({"HF_TOKEN": "hf_reader"}, [f"403 Forbidden. {FORBIDDEN}", "set HF_TOKEN"]),
        ({"HF_ENDPOINT": "closed"}, ["Connection refused"]),
        ({"HF_HUB_OFFLINE": "1"}, ["offline mode is enabled", "unset the `HF_HUB_OFFLINE`"]),
    ],
    ids=["no token", "forbidden", "unreachable", "offline"],
)
def test_a_refusal_is_told_with_where_the_export_lies(run, tmp_path, hub, env, says):
    if env.get("HF_TOKEN"):
        hub.refuse("/repos/create", 403, {"error": FORBIDDEN})
    if "HF_ENDPOINT" in env:
        env = {"HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    out = tmp_path / "out"
    done = export(run, out, hub.address, "--private", **env)
    assert done.returncode == 2
    assert done.stderr.startswith("tlplug: ") and done.stderr.count("tlplug: ") == 1
    assert f"{out} was exported, but could not be uploaded to " in done.stderr
    assert done.stderr.endswith(f"\nTry again with: hf upload --private owner/name {out}\n")
    assert all(word in done.stderr for word in says)
    assert "README.md" in content(out) and not hub.repositories
    assert not env.get("HF_TOKEN") or env["HF_TOKEN"] not in done.stdout + done.stderr


@pytest.fixture
def here(monkeypatch, hub):
    """The hub's client of this process talks to the stand-in."""
    from huggingface_hub import constants

    for name, value in {"ENDPOINT": hub.address, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return hub


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "an export"
    folder.mkdir()
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n# A card\n")
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 64}))
    return folder


def refused(folder, private=False):
    with pytest.raises(UsageError) as caught:
        push(folder, "owner/name", private)
    told = str(caught.value)
    assert f"hf upload {'--private ' if private else ''}owner/name {shlex.quote(str(folder))}" in told
    return told


def test_why_a_large_file_was_refused_is_told(here, exported):
    here.refuse("^/objects/", 403, "the signature has expired")
    assert "403 Forbidden. the signature has expired" in refused(exported)
    assert here.repositories["owner/name"].files == {}


def test_a_transient_failure_of_the_storage_is_overcome(here, exported):
    here.refuse("^/objects/", 503, times=1)
    assert push(exported, "owner/name") == f"{here.address}/owner/name"
    assert here.repositories["owner/name"].files == content(exported)


def test_what_is_wrong_with_a_card_is_told(here, exported):
    (exported / "README.md").write_text("---\nbase_model: /home/me/model\n---\n# A card\n")
    assert '"base_model" with value "/home/me/model" is not valid' in refused(exported)


def test_the_hub_takes_the_card_of_an_export(run, tmp_path, here):
    from huggingface_hub import ModelCard

    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    card, result = ModelCard.load(tmp_path / "out" / "README.md"), result_of(run)
    card.validate()
    assert card.data.library_name == "peft" and card.data.pipeline_tag == "text-classification"
    assert {one.metric_type: one.metric_value for one in card.data.eval_results} == result["scores"]
    card.data.pipeline_tag = "no-such-task"
    with pytest.raises(ValueError, match="pipeline_tag"):
        card.validate()


def test_a_failure_of_the_hub_itself_is_told(here, exported):
    here.refuse("/repos/create", 500, {"error": "Internal Error - We're working hard to fix this"})
    told = refused(exported)
    assert (
        "500 Internal Server Error. Internal Error - We're working hard" in told
        and "hf auth login" not in told
    )


def test_private_never_goes_into_a_public_repository(here, exported):
    push(exported, "owner/name")
    (exported / "config.json").write_text("{}")
    assert "already and public" in refused(exported, private=True)
    assert here.repositories["owner/name"].files["config.json"] != b"{}"


def test_a_new_repository_is_as_its_organization_keeps_them(here, exported):
    here.usual = "private"
    push(exported, "owner/name")
    assert here.repositories["owner/name"].private


def test_a_token_that_no_header_can_hold_is_not_shown(here, exported, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_te\x0bst")
    told = refused(exported)
    assert "Illegal header value" in told and "hf_te" not in told


def test_a_name_without_an_owner_is_the_user_s_own(here, exported):
    assert push(exported, "name") == f"{here.address}/somebody/name"
    assert here.repositories["somebody/name"].files == content(exported)


@pytest.mark.parametrize("name", ["owner/na me", "a/b/c", "owner/", "owner/a--b", ""])
def test_a_wrong_name_is_refused_before_anything_is_exported(run, tmp_path, name, capsys):
    capsys.readouterr()
    assert main(["export", str(run), str(tmp_path / "out"), "--push", name]) == 2
    told = capsys.readouterr().err
    assert told.startswith("tlplug: Invalid value for '--push': ") and f"'{name}'" in told
    assert not (tmp_path / "out").exists()
