"""A PgBouncer in transaction mode before a PostgreSQL: what a connection keeps is lost after a transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

PORT = 6432
BINARY = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/pgbouncer"

SETTINGS = """
[databases]
* = host={server} port={server_port} user=postgres

[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
unix_socket_mode = 0777
listen_port = {port}
auth_type = any
pool_mode = transaction
max_client_conn = 500
default_pool_size = {pool_size}
server_login_retry = 1
server_idle_timeout = 20
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


class PgBouncer:
    """One process, on a socket in `folder`, whose path must be short."""

    def __init__(self, folder: Path, server: str, pool_size: int = 20, server_port: int = 5432) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._owner = Path(server).stat().st_uid
        os.chown(folder, self._owner, -1)
        written = SETTINGS.format(folder=folder, server=server, server_port=server_port, port=PORT, pool_size=pool_size)
        (folder / "pgbouncer.ini").write_text(written)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / f".s.PGSQL.{PORT}"

    def url(self, database: str) -> str:
        """The address of a database through it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}&port={PORT}"

    def start(self) -> None:
        """Returns when it takes connections."""
        # It refuses to run as root; as PostgreSQL's account it may enter the folder of that one's socket.
        account = {"user": self._owner} if os.getuid() == 0 else {}
        argv = [BINARY, "-q", str(self.folder / "pgbouncer.ini")]
        self._process = subprocess.Popen(argv, start_new_session=True, stderr=subprocess.DEVNULL, **account)
        deadline = time.monotonic() + 10
        while not self.socket.exists():
            assert self._process.poll() is None, (self.folder / "pgbouncer.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self.socket.unlink(missing_ok=True)
