"""The real thing for tests: gunicorn and the consumer as the Procfile starts them, on a data
directory of their own.

`with running(tmp_path / "data", TMDB_API_KEY="k") as server:` then `server.start("web", "worker")`,
`server.url`, `server.kill("worker")`; whatever still runs at the end of the block is ended.
"""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from mm import config, schema
from mm.database import connect
from tests.support import postgres

BIN = Path(sys.executable).parent
READY_SECONDS = 30
STOP_SECONDS = 15
# What the machine of whoever runs the tests may have set, and the server under test must not see.
OURS = (
    "MM_",
    "TMDB_",
    "OMDB_",
    "DATABASE_URL",
    "HUEY_URL",
    "BACKUP_TIME",
    "ADMIN_TOKEN",
    "CORS_ORIGINS",
    "TZ",
)


@dataclass
class Server:
    """`start`, `stop` and `kill` take the names of the Procfile: web, worker."""

    data_dir: Path
    port: int
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *names: str) -> None:
        """Start each and wait until it works. Raises AssertionError with its log."""
        started = time.time()
        for name in names:
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    _command(name),
                    cwd=config.ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        for name in names:
            self._wait_until_ready(name, started)

    def stop(self, name: str, with_signal: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(with_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            end_group(process)

    def kill(self, name: str) -> None:
        """As the kernel does when memory runs out: children included, nothing is cleaned up."""
        end_group(self.processes.pop(name))

    def flask(self, *arguments: str) -> subprocess.CompletedProcess:
        """`flask --app mm …` on the same data."""
        command = [BIN / "flask", "--app", "mm", *arguments]
        return subprocess.run(
            command,
            cwd=config.ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self, name: str) -> Path:
        return self.data_dir.parent / f"{name}.log"

    def query(self, sql: str, *values) -> list[tuple]:
        """Straight into the database, as nobody but a test may."""
        if url := self.environment.get("DATABASE_URL"):
            return postgres.query(url, sql, values)
        with (
            contextlib.closing(sqlite3.connect(self.data_dir / "mm.db", timeout=15)) as database,
            database,
        ):
            return database.execute(sql, values).fetchall()

    def _wait_until_ready(self, name: str, started: float) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.processes[name].poll() is None:
            if self._answers() if name == "web" else self._has_ticked(started):
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} did not start:\n{self.log(name).read_text()[-3000:]}")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/login", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _has_ticked(self, started: float) -> bool:
        rows = self.query("select value from setting where key = 'worker_seen_at'")
        return bool(rows) and float(rows[0][0]) >= started


@contextlib.contextmanager
def running(data_dir: Path, **environment: str) -> Iterator[Server]:
    """A server on an upgraded database, with nothing started yet; whatever was started is ended."""
    database_url = environment.get("DATABASE_URL", "")
    settings = config.use(config.Config(data_dir=data_dir, database_url=database_url))
    config.prepare(settings)
    connect(settings.database)
    schema.upgrade()
    server = Server(data_dir, port := free_port(), environment_of(data_dir, port, environment))
    try:
        yield server
    finally:
        for process in server.processes.values():
            end_group(process)
        # pytest shows this where the test failed.
        for log in sorted(data_dir.parent.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-4000:]}")


@pytest.fixture(name="server")
def server_fixture(tmp_path):
    """Both processes, without keys for the providers."""
    with running(tmp_path / "data") as server:
        server.start("web", "worker")
        yield server


def _command(name: str) -> list[str]:
    """Its line of the Procfile, through a shell as honcho does."""
    lines = dict(
        line.split(": ", 1)
        for line in (config.ROOT / "Procfile").read_text().splitlines()
        if ": " in line
    )
    return ["/bin/sh", "-c", f"exec {lines[name]}"]


def environment_of(data_dir: Path, port: int, own: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    path = f"{BIN}:{inherited.get('PATH', '/usr/bin:/bin')}"
    return {
        **inherited,
        "PATH": path,
        "MM_DATA_DIR": str(data_dir),
        "MM_BIND": f"127.0.0.1:{port}",
        **own,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_group(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
