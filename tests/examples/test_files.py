"""The example files: what reads them accepts them, and all keys in them are real.

Programs that check them are asked where they are installed. No container is built or
run here: ``examples/README.md`` says so.
"""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships no types
import pytest
import yaml

from tests.interop.trust import new_trust
from tremula.infra.config import PostgresUrl, load_config
from tremula.infra.config.environment import environment_name, leaf_kinds

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMPOSE = EXAMPLES / "compose/compose.yaml"
KUBERNETES = EXAMPLES / "kubernetes"
UNIT = EXAMPLES / "systemd/tremula@.service"
PORT = "8009"


def every_file() -> Iterator[Path]:
    yield ROOT / "Dockerfile"
    yield from (path for path in EXAMPLES.rglob("*") if path.is_file())


def manifests() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in KUBERNETES.glob("*.yaml")]


def manifest(kind: str) -> dict[str, Any]:
    (found,) = (each for each in manifests() if each["kind"] == kind)
    return found


def of_compose() -> Mapping[str, str]:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["tremula"]
    settings = {
        line.partition("=")[0]: line.partition("=")[2] or "secret"
        for line in (COMPOSE.parent / ".env.example").read_text().splitlines()
        if not line.startswith("#")
    }
    return {
        name: re.sub(r"\$\{(\w+)[^}]*\}", lambda match: settings[match[1]], value)
        for name, value in service["environment"].items()
    }


def of_systemd() -> Mapping[str, str]:
    lines = [
        *(EXAMPLES / "systemd/tremula.env").read_text().splitlines(),
        *re.findall(r"^Environment='?(.*?)'?$", UNIT.read_text(), re.MULTILINE),
    ]
    pairs = (line.split("=", 1) for line in lines if not line.startswith("#"))
    return {name: value.replace("%i", PORT) for name, value in pairs}


def of_kubernetes() -> Mapping[str, str]:
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    (secret,) = (each["secretRef"]["name"] for each in container["envFrom"])
    assert secret == manifest("Secret")["metadata"]["name"]
    return {
        **manifest("Secret")["stringData"],
        **{each["name"]: each["value"] for each in container["env"]},
    }


@pytest.mark.parametrize("environment", [of_compose, of_systemd, of_kubernetes])
def test_what_a_process_is_given_makes_it_a_member(
    environment: Callable[[], Mapping[str, str]],
) -> None:
    config = load_config(None, environment())

    assert isinstance(config.database, PostgresUrl)
    assert config.cluster.bus is not None
    assert config.server_name == "example.org"
    (listener,) = config.listeners
    assert listener.trusted_proxies
    assert ip_network("0.0.0.0/0") not in listener.trusted_proxies


def test_every_variable_that_is_named_is_a_key() -> None:
    keys = {environment_name(key) for key in leaf_kinds()}

    named = {
        (path.name, name)
        for path in every_file()
        for name in re.findall(r"\bTREMULA_[A-Z_]+", path.read_text())
    }

    assert {name for _, name in named} >= {"TREMULA_DATABASE", "TREMULA_CLUSTER__BUS"}
    assert not {(file, name) for file, name in named if name not in keys}


@pytest.mark.parametrize("resource", manifests(), ids=lambda each: each["kind"])
def test_kubernetes_knows_the_manifests(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, "1.31", strict=True)


def test_traffic_goes_to_pods_that_say_that_they_are_ready() -> None:
    pod = manifest("Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]

    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    for kind in ("Service", "PodDisruptionBudget"):
        selector = manifest(kind)["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert wanted.items() <= pod["metadata"]["labels"].items()


def test_haproxy_takes_its_configurations(tmp_path: Path) -> None:
    haproxy = installed("haproxy")
    text = (EXAMPLES / "balancers/haproxy.cfg").read_text()
    files = new_trust(tmp_path).issue("matrix", "matrix.example.org")
    pem = tmp_path / "matrix.pem"
    pem.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    config = tmp_path / "haproxy.cfg"
    config.write_text(text.replace("/etc/haproxy/matrix.pem", str(pem)))

    accepts(haproxy, "-c", "-f", str(config))
    accepts(haproxy, "-c", "-f", str(EXAMPLES / "compose/haproxy.cfg"))


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = installed("nginx")
    files = new_trust(tmp_path).issue("matrix", "matrix.example.org")
    config = tmp_path / "nginx.conf"
    config.write_text(
        (EXAMPLES / "balancers/nginx.conf")
        .read_text()
        .replace("/etc/nginx/matrix.crt", str(files.certificate))
        .replace("/etc/nginx/matrix.key", str(files.key))
        .replace("events {", f"pid {tmp_path}/nginx.pid;\nevents {{")
        # It tries them all.
        .replace("listen 443 ", "listen 127.0.0.1:28443 ")
        .replace("listen 8448 ", "listen 127.0.0.1:28448 ")
    )

    accepts(nginx, "-t", "-p", str(tmp_path), "-c", str(config), "-e", "stderr")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = installed("systemd-analyze")
    unit = tmp_path / f"tremula@{PORT}.service"
    # Neither the program nor the user is there.
    program, user = shutil.which("true"), pwd.getpwuid(os.geteuid()).pw_name
    text = UNIT.read_text().replace("/opt/tremula/bin/tremula", str(program))
    text = re.sub("^(User|Group)=tremula$", rf"\1={user}", text, flags=re.MULTILINE)
    (tmp_path / "tremula@.service").write_text(text)
    unit.symlink_to("tremula@.service")

    accepts(analyze, "verify", str(unit))


def installed(program: str) -> str:
    """Where *program* is; the test is skipped if it is not here."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def accepts(*command: str) -> None:
    """Run *command*, which has to succeed without a warning."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said.upper(), said
