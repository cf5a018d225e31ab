"""Which keys hold secrets, and what is left of a config and of a command line without them."""

import pytest

from tlplug.runtime.secrets import is_secret, list_redacted_keys, redact, redact_overrides

SECRET = (
    "api_key hf_token token key password secret client_secret secret_name credentials AWS_SECRET_ACCESS_KEY apiKey "
    "wandb-api-key"
)
ORDINARY = (
    "num_memory_tokens max_new_tokens num_virtual_tokens tokens tokenizer pad_token eos_token token_type_ids "
    "key_value_heads num_key_value_heads keys monkey keyword early_stopping_key sort_key primary_key secretary seed"
)


@pytest.mark.parametrize("key", SECRET.split())
def test_a_secret_is_known_by_the_words_of_its_key(key):
    assert is_secret(key)


@pytest.mark.parametrize("key", ORDINARY.split())
def test_what_only_sounds_like_one_is_none(key):
    assert not is_secret(key)


def test_no_key_of_the_built_in_config_is_taken_for_a_secret():
    from tlplug.config.compose import Composer
    from tlplug.config.keys import key_paths

    with Composer() as composer:
        keys = set()
        for strategy in composer.choices("strategy"):
            keys |= set(key_paths(composer.compose([f"strategy={strategy}", "task=sentiment"])))
        everything = f"logger=[{','.join(composer.choices('logger'))}]"
        for task in ("sentiment", "qa"):
            keys |= set(key_paths(composer.compose(["strategy=lora", f"task={task}", everything])))
    assert [key for key in keys if is_secret(key.rpartition(".")[2])] == []


def test_a_redacted_config_keeps_all_but_the_secrets():
    config = {
        "head": {
            "api_key": "x",
            "token": None,
            "password": 123,
            "key": "",
            "use_token": True,
            "max_tokens": 5,
        },
        "logger": {"mlflow": {"tracking_uri": "https://me:x@host/a", "tags": ["https://x@h/"]}},
        "data": {"columns": {"token": "word"}},
        "credentials": {"user": "x"},
    }
    found = redact(config)
    assert found["head"] == {**config["head"], "api_key": "***", "password": "***"}
    assert found["logger"]["mlflow"] == {"tracking_uri": "https://***@host/a", "tags": ["https://***@h/"]}
    assert found["data"] == config["data"] and found["credentials"] == "***"
    assert config["head"]["api_key"] == "x", "the config itself stays"
    assert sorted(list_redacted_keys(found)) == [
        *("credentials", "head.api_key", "head.password", "logger.mlflow.tags", "logger.mlflow.tracking_uri")
    ]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("head.api_key=x", "head.api_key=***"),
        ("++head.api_key=x,y", "++head.api_key=***"),
        ("head.api_key=null", "head.api_key=null"),
        ("head={api_key: x, size: 1}", "head={api_key: ***, size: 1}"),
        ("head={'api_key':x}", "head={'api_key': ***}"),
        ("logger.mlflow.tracking_uri=http://me:x@h:5000", "logger.mlflow.tracking_uri=http://***@h:5000"),
        ("data.columns.token=word", "data.columns.token=word"),
        ("data.columns={token: word}", "data.columns={token: word}"),
        ("head.max_new_tokens=5", "head.max_new_tokens=5"),
        ("seed=1", "seed=1"),
        ("-m", "-m"),
    ],
)
def test_words_without_their_secrets(word, expected):
    assert redact_overrides([word]) == [expected]
