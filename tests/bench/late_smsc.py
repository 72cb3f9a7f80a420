"""The bench's cheap SMSC, answering late: `python -m tests.bench.late_smsc --delay-ms 50 --log FILE`.

For measurements in which the SMSC's latency must be known and its own cost may not be what is measured: the
product's simulator decides and notes message by message, and is busy itself at a few thousand a second. Here
the answers and receipts of one read are made and written together, `--delay-ms` later, and the log is octets
(wire_log.py). Prints what fast_smsc prints. Run by tests/flow/rows.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
from pathlib import Path

import uvloop

from tests.bench.fast_smsc import Session, Smsc, serve
from tests.bench.wire_log import WireLog


class LateSession(Session):
    """One TCP life of an ESME whose submits are answered `delay_s` after they were read."""

    def __init__(self, smsc: Smsc, number: int, delay_s: float, log: WireLog) -> None:
        super().__init__(smsc)
        self._number = number
        self._delay_s = delay_s
        self._log = log

    def data_received(self, data: bytes) -> None:
        self._log.note(self._number, data, written=False)
        super().data_received(data)

    def write(self, octets: bytes) -> None:
        if octets and self._transport is not None:
            self._log.note(self._number, octets, written=True)
            super().write(octets)

    def _after(
        self, buffer: bytes, answers: list[bytes], submits: list[tuple[int, int]], answered: int
    ) -> None:
        if submits:
            self._loop.call_later(self._delay_s, super()._after, buffer, answers, submits, answered)
        else:
            super()._after(buffer, answers, submits, answered)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.late_smsc", description="A late SMSC.")
    parser.add_argument("--delay-ms", type=float, required=True, help="from a read to its answers")
    parser.add_argument("--log", type=Path, required=True, help="where the octets go")
    args = parser.parse_args()
    gc.disable()  # nothing here makes cycles worth a pause
    smsc, log = Smsc(receipts=True, tick_s=0), WireLog(args.log)
    numbers, delay_s = itertools.count(1), args.delay_ms / 1000
    uvloop.run(serve("127.0.0.1", 0, smsc, lambda: LateSession(smsc, next(numbers), delay_s, log)))
    log.close()
    print(json.dumps(smsc.as_json()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
