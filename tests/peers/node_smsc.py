"""node-smpp, the SMPP library of the JavaScript world, as an SMSC in a process of its own.

The script beside this file serves and says what it saw, a JSON line each; this module starts it and reads.
`MISSING` tells why it cannot be had here (scripts/peers.sh fetches it), or is empty.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from node_tools import MODULES, NODE, missing

from tests.flow.kit import Process

MISSING = missing("smpp")


class NodeSmsc(Process):
    """Listening on `port`, and on `tls_port` when it was given a certificate and its key."""

    def __init__(self, *, receipts: str = "text", certificate: tuple[Path, Path] | None = None) -> None:
        options = {"receipts": receipts}
        if certificate is not None:
            options |= {"cert": str(certificate[0]), "key": str(certificate[1])}
        super().__init__(
            [str(Path(__file__).with_suffix(".js")), json.dumps(options)],
            env={"NODE_PATH": str(MODULES)},
            program=[str(NODE)],
        )
        try:
            self.port = self._listening("plain")
            self.tls_port = self._listening("tls") if certificate is not None else 0
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def _listening(self, name: str) -> int:
        line = self.wait_line(f'{{"event":"listening","name":"{name}"')
        return int(json.loads(line)["port"])

    def wait_events(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """What it saw of one kind, once there are `count` of them."""
        self.wait_count(f'{{"event":"{event}"', count)
        return self.events(event)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith(f'{{"event":"{event}"')]
