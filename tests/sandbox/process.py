"""The sandbox as tests see it: a process of its own on a free port, and a small signed client of its acquirer."""

from __future__ import annotations

import hashlib
import hmac
import json
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TERMINAL = "trm_test"
SECRET = "a-secret-for-tests-only-of-good-length"
OTHER_TERMINAL = "trm_other"

_http = httpx.Client(timeout=10, trust_env=False)


@dataclass
class SandboxProcess:
    """A running sandbox."""

    process: subprocess.Popen[str]
    url: str
    terminal_id: str = TERMINAL
    secret: str = SECRET

    @property
    def acquirer_url(self) -> str:
        return f"{self.url}/acquirer"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Ask it to stop, and insist that it does so within 5 seconds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(timeout=5)
        if self.process.stdout is not None:
            self.process.stdout.close()


def command(folder: Path, *options: str, port: int = 0) -> list[str]:
    """The command line of a sandbox whose data and secrets live in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    secrets = folder / "terminals.json"
    if not secrets.exists():
        secrets.touch(mode=0o600)
        secrets.write_text(json.dumps({TERMINAL: SECRET, OTHER_TERMINAL: SECRET[::-1]}))
    start = [sys.executable, "-m", "tongbao.sandbox", "--port", str(port), "--data", str(folder)]
    return [*start, "--acquirer-secret-file", str(secrets), *options]


def start(folder: Path, *options: str, port: int = 0) -> SandboxProcess:
    """Start a sandbox and wait until it says where it is. What it logs is appended to ``{folder}.log``."""
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        process = subprocess.Popen(command(folder, *options, port=port), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], 20)[0]:
        process.kill()
        raise AssertionError("the sandbox did not start within 20 s")
    line = process.stdout.readline()
    assert line, f"the sandbox ended with {process.wait()}: see {folder}.log"
    return SandboxProcess(process, json.loads(line)["url"])


class AcquirerClient:
    """Speaks the acquirer's protocol, written from ``docs/channels/card.md`` and from nothing else."""

    def __init__(self, sandbox: SandboxProcess, terminal_id: str = TERMINAL, secret: str = SECRET) -> None:
        self._url = sandbox.url
        self._terminal = terminal_id
        self._secret = secret

    def request(
        self, method: str, path: str, body: Any = None, *, content: bytes | None = None, age_ms: int = 0
    ) -> httpx.Response:
        """Send a signed request to ``/acquirer{path}``."""
        sent = content if content is not None else (b"" if body is None else json.dumps(body).encode())
        timestamp = str(time.time_ns() // 1_000_000 - age_ms)
        target = f"/acquirer{path}"
        self.last_signature = self._mac(f"request\n{timestamp}\n{method}\n{target}\n".encode() + sent)
        headers = {
            "acquirer-terminal": self._terminal,
            "acquirer-timestamp": timestamp,
            "acquirer-signature": self.last_signature,
        }
        return _http.request(method, self._url + target, content=sent, headers=headers)

    def is_signed(self, answer: httpx.Response) -> bool:
        """Whether ``answer`` is signed for the request that was sent last."""
        timestamp = answer.headers.get("acquirer-timestamp", "")
        text = f"answer\n{timestamp}\n{self.last_signature}\n{answer.status_code}\n".encode() + answer.content
        return hmac.compare_digest(self._mac(text), answer.headers.get("acquirer-signature", ""))

    def set_faults(self, *rules: dict[str, Any], seed: int = 0) -> dict[str, Any]:
        """Replace the terminal's faults; return the report."""
        answer = self.request("POST", "/faults", {"seed": seed, "rules": list(rules)})
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report

    def books(self, **query: str | int) -> dict[str, Any]:
        """One page of the books."""
        answer = self.request("GET", "/books?limit=100" + "".join(f"&{name}={value}" for name, value in query.items()))
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def _mac(self, text: bytes) -> str:
        return hmac.new(self._secret.encode(), text, hashlib.sha256).hexdigest()
