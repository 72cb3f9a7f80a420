"""The ledger checker: what callers heard, what the SMSCs saw and what the store holds, joined and counted.

    log = DriverLog()                  every request asked, and each end of it, or that its connection broke
    entries = smsc.entries()           the truth logs of all SMSCs
    stored = read_store(config)        every record, once the daemon has stopped or is idle
    print(check_ledger(log, entries, stored))

`check_ledger` raises AssertionError with the differences found; without one the promises P1 to P6 held for
every message of the run. Flow tests that hold load end with it.
"""

from tests.flow.ledger.checks import check_ledger, examine
from tests.flow.ledger.counts import Counts
from tests.flow.ledger.driver_log import DriverLog, Request
from tests.flow.ledger.stored import Record, Segment, read_store

__all__ = ["Counts", "DriverLog", "Record", "Request", "Segment", "check_ledger", "examine", "read_store"]
