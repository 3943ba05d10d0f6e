"""docker-compose.yml: valid, without a secret in it, and every command in it does what it is there for."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deployment_files import ROOT, SECRETS, build_context, committed_files, compose, interpolated, runnable_block
from jsonschema import Draft201909Validator

from identity.keyring.document import read_keyring
from identity.settings import load_settings
from identity.store.embedded import find_server_binary
from identity.store.redis.connection import connect, require_suitable

ONE_SHOT = {"migrate", "keys"}
SERVICES = compose()["services"]


@pytest.fixture
def secrets(tmp_path) -> Path:
    """The files that the commands in `docs/operating.md` write."""
    subprocess.run(["bash", "-ec", runnable_block(1)], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / ".identity" / "secrets"


def environment_of(service: str, secrets: Path) -> dict[str, str]:
    """Returns a service's environment, with the secrets where this test wrote them."""
    values = interpolated(SERVICES[service]["environment"])
    return {name: value.replace(SECRETS, f"{secrets}/") for name, value in values.items()}


def test_it_follows_the_compose_specification():
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text(encoding="utf-8"))
    assert list(Draft201909Validator(schema).iter_errors(compose())) == []


def test_it_has_what_a_whole_installation_needs():
    assert set(SERVICES) == {"postgres", "valkey", "migrate", "keys", "identity", "resource_example"}
    waits = {name: each["condition"] for name, each in SERVICES["identity"]["depends_on"].items()}
    assert waits == {
        "migrate": "service_completed_successfully",
        "keys": "service_completed_successfully",
        "valkey": "service_healthy",
    }
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_contained(name):
    """Not root, no capability, no new privilege, and a file system that cannot be written."""
    service = SERVICES[name]
    assert service["user"] in ("10001:10001", "postgres", "valkey")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)
    assert bool(service["healthcheck"].get("disable")) == (name in ONE_SHOT)


def test_the_stores_are_not_reachable_from_outside():
    assert compose()["networks"]["stores"]["internal"] is True
    for name in ("postgres", "valkey"):
        assert SERVICES[name]["networks"] == ["stores"]
        assert "ports" not in SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["identity"]["ports"])


def test_no_secret_stands_in_it():
    """Secrets are files: an environment that is about one names its file, and no default password exists."""
    about_secrets = re.compile(r"PASSWORD|SECRET|_URL|PASSPHRASE|CREDENTIAL|TOKEN|KEY$")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if about_secrets.search(name):
                assert name.endswith("_FILE"), name
                assert value.removeprefix(SECRETS) in service["secrets"], name


def test_every_secret_is_a_file_that_no_commit_and_no_image_can_hold():
    declared = compose()["secrets"]
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert set(declared) == used
    paths = [each["file"] for each in declared.values()]
    assert all(path.startswith(".identity/") for path in paths)
    assert build_context(paths) == []
    assert not set(paths) & set(committed_files())


def test_the_written_secrets_are_private_to_the_host_and_readable_in_each_container(secrets):
    """A container's user is not the host's, and compose mounts the file as it is: the folder is what keeps others out."""
    needed = {Path(each["file"]).name for each in compose()["secrets"].values()} - {"orders_credential"}
    assert {path.name for path in secrets.iterdir()} == needed
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()} == {0o444}


@pytest.mark.parametrize("name", ["identity", "migrate", "keys"])
def test_the_servers_environment_is_accepted(name, secrets):
    settings = load_settings(environment_of(name, secrets))
    password = (secrets / "postgres_password").read_text()
    assert settings.database_url.get_secret_value() == f"postgresql+psycopg://identity:{password}@postgres/identity"
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "identity"
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == "identity"
    assert settings.keys_passphrase is not None


def test_the_one_shot_makes_keys_once_and_only_once(secrets, tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    shell, option, command = interpolated(SERVICES["keys"]["entrypoint"])
    command = command.replace("/keys/", f"{folder}/").replace("identity", f"{sys.executable} -m identity.cli.main")
    environment = {**environment_of("keys", secrets), "IDENTITY_KEYS_DIR": str(folder), "USER": "identity"}
    states = []
    for _ in range(2):
        done = subprocess.run([shell, option, command], env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        states.append(read_keyring((folder / "keyring.json").read_bytes()))
    assert states[0] == states[1]
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("*.pem"))


def test_the_example_service_gets_its_credential_from_the_file(tmp_path):
    (tmp_path / "orders_credential").write_text("orders:a-secret\n")
    shell, option, command = interpolated(SERVICES["resource_example"]["entrypoint"])
    command = command.replace(SECRETS, f"{tmp_path}/")
    assert command.endswith("exec python -m resource_example --host 0.0.0.0")
    command = command.replace("python -m resource_example --host 0.0.0.0", "printenv ORDERS_CREDENTIAL")
    assert subprocess.run([shell, option, command], capture_output=True, text=True).stdout == "orders:a-secret\n"


async def test_valkey_as_configured_is_one_the_server_accepts(secrets, tmp_path):
    """The command of the compose file on a real Valkey: it starts, it never evicts, and it asks for the password."""
    binary = find_server_binary()
    assert binary is not None
    data = tmp_path / "data"
    data.mkdir()
    words = [word.replace(SECRETS, f"{secrets}/") for word in SERVICES["valkey"]["command"]]
    words = [str(data) if word == "/data" else word for word in words]
    path = data / "socket"
    process = subprocess.Popen(
        [str(binary), *words[1:], "--port", "0", "--unixsocket", str(path)], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        password = re.fullmatch(r"redis://:(\w+)@valkey:6379", (secrets / "redis_url").read_text())
        assert password is not None
        connection = connect(f"unix://:{password[1]}@{path}")
        await require_suitable(connection)
        persistence = await connection.execute("CONFIG", "GET", "appendonly")
        await connection.close()
        assert "yes" in (persistence.values() if isinstance(persistence, dict) else persistence)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(64).startswith(b"-NOAUTH")
    finally:
        process.terminate()
        process.wait(10)


def test_the_health_check_of_valkey_reads_the_password_from_its_file(secrets):
    kind, command = interpolated(SERVICES["valkey"]["healthcheck"]["test"])
    assert kind == "CMD-SHELL"
    found = re.search(r"REDISCLI_AUTH=\"\$\((sed .*?)\)\"", command)
    assert found is not None
    told = subprocess.run(["sh", "-c", found[1].replace(SECRETS, f"{secrets}/")], capture_output=True, text=True)
    assert f"redis://:{told.stdout.strip()}@valkey:6379" == (secrets / "redis_url").read_text()
