"""Files that register application services, as the configuration names them."""

from pathlib import Path

import pytest

from tremula.infra.config import Config, ConfigError, load_config
from tremula.protocol.appservices import Namespace

FILE = """
id: irc
url: http://127.0.0.1:9898
as_token: as-secret
hs_token: hs-secret
rate_limited: false
sender_localpart: heisenbridge
namespaces:
  users:
  - regex: '@irc_.*'
    exclusive: true
  aliases: []
  rooms: []
"""


def load(tmp_path: Path, *texts: str) -> Config:
    files = []
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        files.append(str(file))
    config = tmp_path / "tremula.toml"
    config.write_text(f"appservices.files = {files}", encoding="utf-8")
    return load_config(config, {})


def test_the_file_of_a_bridge_is_read(tmp_path: Path) -> None:
    [registration] = load(tmp_path, FILE).appservices.files

    assert registration.id == "irc"
    assert registration.url == "http://127.0.0.1:9898"
    assert registration.sender_localpart == "heisenbridge"
    assert registration.namespaces.users == (Namespace("@irc_.*", exclusive=True),)
    assert not registration.rate_limited


def test_tokens_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(load(tmp_path, FILE))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id: [", "is not YAML"),
        ("", "Expected 'object', got 'null'"),
        (FILE.replace("as_token: as-secret", ""), "missing key 'as_token'"),
        (FILE.replace("@irc_.*", "@irc_("), "namespaces.users[0].regex: "),
        (FILE.replace("http:", "ftp:"), "url: must be an http(s) URL"),
    ],
)
def test_a_bad_file_is_named_with_the_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, FILE.replace("irc", "b").replace("-s", "-b"), text)

    message = str(refused.value)
    assert message.startswith("appservices.files[1]: ")
    assert "1.yaml: " in message
    assert problem in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("appservices.files = ['none.yaml']")

    with pytest.raises(ConfigError, match=r"files\[0\]: none.yaml: can't be read"):
        load_config(tmp_path / "a.toml", {})


@pytest.mark.parametrize(("old", "new"), [("id: irc", "id: b"), ("-secret", "-b")])
def test_two_files_have_no_id_or_token_in_common(
    tmp_path: Path, old: str, new: str
) -> None:
    with pytest.raises(ConfigError, match=r"files\[1\]: has the (id|as_token) of"):
        load(tmp_path, FILE, FILE.replace(old, new))
