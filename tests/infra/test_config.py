"""The configuration: sources, types, bounds and the rules between keys."""

import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from tremula.infra.config import (
    BusUrls,
    Config,
    ConfigError,
    Listener,
    PostgresUrl,
    RegistrationMode,
    SqliteFile,
    load_config,
    read_example,
)
from tremula.infra.config.environment import environment_name, leaf_kinds
from tremula.protocol.email_addresses import EmailAddress, Mailbox

CA_FILE = Path(__file__).parent / "http" / "localhost.pem"


def load(text: str, tmp_path: Path, **environment: str) -> Config:
    """Load *text* as the configuration file."""
    file = tmp_path / "tremula.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environment)


def refusal(text: str, tmp_path: Path, **environment: str) -> str:
    """The message of the error that *text* must cause."""
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path, **environment)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_any_source_the_server_is_local_and_open() -> None:
    config = load_config(None, {})

    assert config.server_name == "localhost"
    assert config.database == SqliteFile(Path("tremula.db"))
    assert [each.url for each in config.listeners] == ["http://localhost:8008"]
    assert config.registration.mode is RegistrationMode.OPEN


def test_the_tree_is_frozen() -> None:
    config = load_config(None, {})

    with pytest.raises(AttributeError, match="immutable"):
        config.data_dir = Path("/")  # type: ignore[misc]  # what is tested


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "tremula.toml"
    file.write_text('server_name = "a.org"\ndata_dir = "/a"\n[presence]\nenabled=true')
    environment = {"TREMULA_DATA_DIR": "/b", "TREMULA_PRESENCE__ENABLED": "false"}

    config = load_config(file, environment, flags={"data_dir": "/c"})

    assert (config.server_name, config.data_dir) == ("a.org", Path("/c"))
    assert config.presence.enabled is False


def test_a_partly_given_table_keeps_the_other_defaults(tmp_path: Path) -> None:
    config = load("rate_limits.message.per_second = 3", tmp_path)

    default = Config().rate_limits
    assert config.rate_limits.message.per_second == 3
    assert config.rate_limits.message.burst == default.message.burst
    assert config.rate_limits.login == default.login


VARIABLES = [
    ("TREMULA_SERVER_NAME", "[::1]:8448", "server_name", "[::1]:8448"),
    ("TREMULA_DATABASE", "sqlite:/x.db", "database", SqliteFile(Path("/x.db"))),
    ("TREMULA_LOGGING__LEVEL", "error", "logging.level", "error"),
    ("TREMULA_REGISTRATION__GUESTS", "true", "registration.guests", True),
    ("TREMULA_TOKENS__ACCESS_LIFETIME_S", "60", "tokens.access_lifetime_s", 60),
    ("TREMULA_RATE_LIMITS__LOGIN__BURST", "3", "rate_limits.login.burst", 3),
    ("TREMULA_LISTENERS", "[{ port = 80 }]", "listeners", (Listener(port=80),)),
    ("TREMULA_LISTEN", "127.0.0.1:81", "listeners", (Listener(port=81),)),
]


@pytest.mark.parametrize(("variable", "text", "key", "expected"), VARIABLES)
def test_a_variable_sets_its_key(
    variable: str, text: str, key: str, expected: object
) -> None:
    value: object = load_config(None, {variable: text})
    for name in key.split("."):
        value = getattr(value, name)

    assert value == expected


@pytest.mark.parametrize(
    "variable",
    ["TREMULA_CONFIG", "TREMULA_SERVICE_HOST", "TREMULA_PORT_8008_TCP", "PATH"],
)
def test_variables_that_are_no_keys_are_left_alone(variable: str) -> None:
    """Kubernetes sets some of these for a service that is called tremula."""
    assert load_config(None, {variable: "tcp://10.0.0.1"}) == load_config(None, {})


BAD_FILES = [
    ("servername = 'a'", "servername: unknown key, did you mean server_name?"),
    ("[presence]\nzzz = 1", "presence.zzz: unknown key"),
    ("presence = 1", "presence: must be a table, not 1"),
    ("server_name = 7", "server_name: must be a server name"),
    ("server_name = 'a b'", "server_name: must be a server name"),
    ("server_name = ''", "server_name: must be a server name"),
    ("data_dir = ''", "data_dir: must be a string that is not empty"),
    ('data_dir = "a\\u0000b"', "data_dir: must be a string that is not empty"),
    ("data_dir = true", "data_dir: must be a string, not true"),
    ("database = 'mysql://x'", 'database: must be "sqlite:FILE" or "postgresql://'),
    ("database = 'sqlite:'", "database: must be"),
    ("database = 'sqlite:///x'", "database: must be"),
    ("default_room_version = '13'", "default_room_version: must be one of 1, 2"),
    ("default_room_version = 12", "default_room_version: must be a string, not 12"),
    ("public_base_url = 'example.org'", "public_base_url: must be an http(s) URL"),
    ("public_base_url = 'https://x/?a'", "public_base_url: must have no query"),
    ("listeners = []", "listeners: must have at least one"),
    ("listeners = 8008", "listeners: must be a list, not 8008"),
    ("listeners = [{ port = -1 }]", "listeners[0].port: must be from 0 to 65535, not"),
    ("listeners = [{}, { prot = 1 }]", "listeners[1].prot: unknown key"),
    ("listeners = [{ port = true }]", "listeners[0].port: must be a whole number"),
    ("listeners = [{ port = '80' }]", "listeners[0].port: must be a whole number"),
    ("listeners = [{ address = 'x.org' }]", "listeners[0].address: must be an IP"),
    ("listeners = [{}, {}]", "listeners[1]: listens on 127.0.0.1 port 8008 like ano"),
    (
        "listeners = [{ unix_socket = '/s' }, { unix_socket = '/s' }]",
        "listeners[1]: listens on /s like another listener",
    ),
    ("listeners = [{ apis = [] }]", "listeners[0].apis: must name at least one"),
    ("listeners = [{ apis = ['x'] }]", 'listeners[0].apis[0]: must be one of "client"'),
    ("listeners = [{ tls = { key = 'k' } }]", "listeners[0].tls.certificate: is missi"),
    ("listeners = [{ trusted_proxies = ['x'] }]", "listeners[0].trusted_proxies[0]: m"),
    ("registration.mode = 'opne'", 'registration.mode: must be one of "open", "token"'),
    ("password_hashing.memory_kib = 7", "password_hashing.memory_kib: must be from 8"),
    (
        "media.upload_bytes_max = -1",
        "media.upload_bytes_max: must be from 1 to 4398046511104, not -1",
    ),
    (
        "password_hashing = { memory_kib = 8, parallelism = 2 }",
        "password_hashing.memory_kib: must be at least 16",
    ),
    (
        "federation = { allowed_servers = ['A.org'], denied_servers = ['a.ORG'] }",
        "federation.allowed_servers[0]: A.org stands in federation.denied_servers",
    ),
    (
        "federation.denied_servers = ['a b']",
        "federation.denied_servers[0]: must be a s",
    ),
    (
        "outbound.trusted_ca_file = '/none'",
        "outbound.trusted_ca_file: /none can't be r",
    ),
    (
        "outbound.trusted_ca_file = '/dev/null'",
        "outbound.trusted_ca_file: /dev/null is not a PEM file of certificates",
    ),
    (
        "outbound.allowed_private_ranges = ['10.0.0.1/8']",
        "outbound.allowed_private_ranges[0]: must be an address or a network",
    ),
    ("mail.host = 'smtp.example.org'", "mail.sender: is missing"),
    ("mail.sender = 'Example'", "mail.sender: must be an address such as"),
    ('mail.sender = "a@b\\r\\nBcc: c@d"', "mail.sender: must be an address such as"),
    ("mail.username = 'tremula'", "mail.password: is missing"),
    ("mail.password = 's3cret'", "mail.username: is missing"),
    ("mail.security = 'ssl'", 'mail.security: must be one of "starttls", "tls"'),
    ("mail.trusted_ca_file = '/none'", "mail.trusted_ca_file: /none can't be read"),
    ("server_notices.localpart = 'A b'", "server_notices.localpart: must be made"),
    ("turn.uris = ['https://turn.test']", "turn.uris[0]: must be turn:…"),
    ("turn.username = 'matrix'", "turn.password: is missing"),
    ("turn.password = 's3cret'", "turn.username: is missing"),
    ("rtc.livekit_service_urls = ['x']", "rtc.livekit_service_urls[0]: must be an"),
    (
        "federation.policy_server_key = 'AAAA'",
        "federation.policy_server_key: must be an Ed25519 key",
    ),
    ("support.page = 'help'", "support.page: must be an http(s) URL"),
    ("support.contacts = [{}]", "support.contacts[0].role: is missing"),
    ("support.contacts = [{ role = 'x' }]", "support.contacts[0]: needs a matrix_id"),
    (
        "support.contacts = [{ role = 'x', matrix_id = 'admin' }]",
        "support.contacts[0].matrix_id: must be a user ID",
    ),
    ("rate_limits.message.per_second = 0", "rate_limits.message.per_second: must be"),
    ("rate_limits.login.burst = 1.5", "rate_limits.login.burst: must be a whole"),
    ("rate_limits.login.per_second = nan", "rate_limits.login.per_second: must be a"),
    ("rate_limits.sends.burst = 1", "rate_limits.sends: unknown key"),
    ("logging.level = 'loud'", "logging.level: must be one of"),
    ("not toml", "tremula.toml: is not TOML"),
]


@pytest.mark.parametrize(("text", "expected"), BAD_FILES)
def test_a_bad_file_is_refused_by_one_line_that_names_the_key(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(text, tmp_path)


BAD_VARIABLES = [
    (
        "TREMULA_SERVERNAME",
        "x",
        "TREMULA_SERVERNAME: no key has this variable, "
        "did you mean TREMULA_SERVER_NAME?",
    ),
    (
        "TREMULA_RATE_LIMITS_ENABLED",
        "false",
        "TREMULA_RATE_LIMITS_ENABLED: no key has this variable, "
        "did you mean TREMULA_RATE_LIMITS__ENABLED?",
    ),
    ("TREMULA_XYZ", "false", "TREMULA_XYZ: no key has this variable"),
    ("TREMULA_PRESENCE__ENABLED", "maybe", "TREMULA_PRESENCE__ENABLED: is not a TOML"),
    ("TREMULA_LISTEN", "8008", "TREMULA_LISTEN: must be ADDRESS:PORT, not '8008'"),
    (
        "TREMULA_LISTEN",
        "127.0.0.1:70000",
        "listeners[0].port (from TREMULA_LISTEN): must be from 0 to 65535",
    ),
    (
        "TREMULA_LOGGING__FORMAT",
        "xml",
        "logging.format (from TREMULA_LOGGING__FORMAT): must be one of",
    ),
]


@pytest.mark.parametrize(("variable", "text", "expected"), BAD_VARIABLES)
def test_a_bad_variable_is_named_in_the_error(
    variable: str, text: str, expected: str, tmp_path: Path
) -> None:
    assert expected in refusal("", tmp_path, **{variable: text})


def test_a_bad_flag_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"server_name \(from --server-name\): must"):
        load_config(None, {}, flags={"server_name": "a b"})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        load_config(tmp_path / "none.toml", {})


def test_an_error_never_shows_a_database_password(tmp_path: Path) -> None:
    assert "hunter2" not in refusal("database = 'mysql://u:hunter2@h/d'", tmp_path)
    config = load("database = 'postgresql://u:hunter2@h/d'", tmp_path)
    assert config.database == PostgresUrl("postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(config)


EXPOSED = [
    "listeners = [{ address = '0.0.0.0' }]",
    "listeners = [{}, { address = '::', port = 8448 }]",
    "listeners = [{ trusted_proxies = ['127.0.0.1'] }]",
    "listeners = [{ unix_socket = '/run/a' }, { unix_socket = '/run/b' }]",
    "public_base_url = 'https://matrix.example.org'",
    "federation.delegate = 'matrix.example.org:443'",
]


@pytest.mark.parametrize("text", EXPOSED)
def test_a_server_that_others_reach_asks_for_a_token(text: str, tmp_path: Path) -> None:
    config = load(f"server_name = 'example.org'\n{text}", tmp_path)

    assert config.registration.mode is RegistrationMode.TOKEN


@pytest.mark.parametrize("text", EXPOSED)
def test_opening_a_server_to_the_world_needs_a_second_key(
    text: str, tmp_path: Path
) -> None:
    opened = f"server_name = 'example.org'\nregistration.mode = 'open'\n{text}\n"
    confirmed = f"{opened}registration.allow_open_to_the_world = true"

    assert "allow_open_to_the_world" in refusal(opened, tmp_path)
    assert load(confirmed, tmp_path).registration.mode is RegistrationMode.OPEN


@pytest.mark.parametrize("text", EXPOSED)
def test_a_server_that_others_reach_must_be_named(text: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path).startswith("server_name: must be set")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_not_exposed(address: str, tmp_path: Path) -> None:
    assert not load(f"listeners = [{{ address = '{address}' }}]", tmp_path).is_exposed


def test_a_whole_listener_is_read(tmp_path: Path) -> None:
    text = """
        [[listeners]]
        address = "::1"
        port = 8448
        apis = ["metrics"]
        trusted_proxies = ["10.0.0.0/8", "::1"]
        tls = { certificate = "c.pem", key = "k.pem" }
    """
    [listener] = load(f"server_name = 'a'\n{text}", tmp_path).listeners

    assert listener.url == "https://[::1]:8448"
    assert listener.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert listener.tls is not None
    assert listener.tls.key == Path("k.pem")


def test_several_listeners_may_take_any_free_port(tmp_path: Path) -> None:
    listeners = load("listeners = [{ port = 0 }, { port = 0 }]", tmp_path).listeners

    assert [listener.port for listener in listeners] == [0, 0]


def test_every_class_of_rate_limits_is_named() -> None:
    by_class = Config().rate_limits.by_class()

    assert by_class["message"] == Config().rate_limits.message
    assert "enabled" not in by_class


def test_the_example_is_the_default(tmp_path: Path) -> None:
    assert load(read_example(), tmp_path) == load_config(None, {})


def test_the_example_shows_every_key(tmp_path: Path) -> None:
    """Also the ones without a default, once their lines are uncommented."""
    whole = re.sub(r"^# (?=[a-z_]+ = )", "", read_example(), flags=re.MULTILINE)
    shown = set(_dotted(tomllib.loads(whole)))
    for file in ("ca.pem", "nats-ca.pem", "tremula.creds"):
        whole = whole.replace(f"/etc/tremula/{file}", str(CA_FILE))

    load(whole, tmp_path, TREMULA_DATABASE="postgresql://db/tremula")
    assert shown == set(leaf_kinds())
    assert [environment_name(key) for key in ("a.b_c",)] == ["TREMULA_A__B_C"]


def _dotted(table: Mapping[str, object], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in table.items():
        if isinstance(value, dict):
            names += _dotted(value, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def test_the_password_of_the_mail_server_is_not_shown(tmp_path: Path) -> None:
    text = "mail = { username = 'tremula', password = 's3cret', sender = 'T <a@b>' }"
    mail = load(text, tmp_path).mail

    assert mail.sender == Mailbox(EmailAddress("a@b"), "T")
    assert "s3cret" not in repr(mail)


POSTGRES = "database = 'postgresql://db/tremula'\n"


def test_the_bus_has_one_url_or_several(tmp_path: Path) -> None:
    """It may hold a password, hence it is never shown."""
    text = f"{POSTGRES}cluster.bus = 'nats://a:s3cret@one, tls://two:5222'"
    cluster = load(text, tmp_path).cluster

    assert cluster.bus == BusUrls(("nats://a:s3cret@one", "tls://two:5222"))
    assert "s3cret" not in repr(cluster)


def test_the_bus_comes_from_the_environment_or_the_command_line(
    tmp_path: Path,
) -> None:
    environment = {"TREMULA_CLUSTER__BUS": "nats://environment"}
    flags = {"database": "postgresql://db/tremula", "cluster.bus": "nats://flag"}
    config = load_config(None, environment, flags=flags)

    assert config.cluster.bus == BusUrls(("nats://flag",))
    assert load(POSTGRES, tmp_path, **environment).cluster.bus == BusUrls(
        ("nats://environment",)
    )


@pytest.mark.parametrize(
    "url", ["http://a", "nats://user:s3cret/@host", "nats://a,", "nats://s3cret:x@"]
)
def test_a_wrong_bus_is_refused_without_being_repeated(
    url: str, tmp_path: Path
) -> None:
    message = refusal(f"{POSTGRES}cluster.bus = '{url}'", tmp_path)

    assert message.startswith("cluster.bus: must ")
    assert "s3cret" not in message


def test_sqlite_is_for_one_process() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {}, flags={"cluster.bus": "nats://a"})

    assert str(caught.value).startswith("cluster.bus (from --bus): is for several")


def test_files_for_the_bus_must_be_there(tmp_path: Path) -> None:
    for key in ("bus_ca_file", "bus_credentials_file"):
        text = f"cluster.{key} = '{tmp_path / 'none'}'"
        assert refusal(text, tmp_path).startswith(f"cluster.{key}: ")
