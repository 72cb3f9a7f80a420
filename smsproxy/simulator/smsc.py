"""The simulated SMSC: a server whose every behaviour is its script, replaceable while it runs.

    smsc = Smsc(Script(answer_delay_s=0.02))
    port = await smsc.start()
    ...
    await smsc.wait_for(lambda seen: seen.submits >= 3, timeout_s=5)
    smsc.script = replace(smsc.script, deaf=True)
    assert not smsc.truth.duplicates()
    await smsc.aclose()

Made by `run` for the command line, and by tests.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from random import Random

from smsproxy.domain.address import Address
from smsproxy.simulator.account import Account, Accounts
from smsproxy.simulator.connections import Connections
from smsproxy.simulator.core import Core
from smsproxy.simulator.counters import Counters
from smsproxy.simulator.ids import SmscIds
from smsproxy.simulator.intake import Intake
from smsproxy.simulator.listener import Listener
from smsproxy.simulator.plan import Planner
from smsproxy.simulator.receipts import Delivery, make_mo, make_receipt
from smsproxy.simulator.script import Script
from smsproxy.simulator.session import SmscSession
from smsproxy.simulator.timers import Timers
from smsproxy.simulator.truth import TruthLog
from smsproxy.simulator.waiters import Waiters
from smsproxy.smpp.codec import encode_body

_TICK_S = 0.05
_CLOSE_S = 2.0


class Smsc:
    """One simulator on one port. Made inside a running loop."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        truth: TruthLog | None = None,
        say: Callable[[str], None] | None = None,
        chance: Callable[[int], Random] = Random,
    ) -> None:
        """`truth` defaults to a log in memory; `say` gets one line for people per event."""
        loop = asyncio.get_running_loop()
        script = script or Script()
        truth = truth if truth is not None else TruthLog()
        counters = Counters()
        random = chance(script.seed)
        self._waiters = Waiters(counters, loop)
        self._core = Core(
            script=script,
            now=loop.time,
            counters=counters,
            timers=Timers(loop, counters, after_turn=self._waiters.look),
            truth=truth,
            random=random,
            ids=SmscIds(script.first_id, truth.clock()),
            planner=Planner(script, random, loop.time()),
            changed=self._waiters.look,
            say=say,
        )
        self._loop = loop
        self._accounts = Accounts(self._core)
        self._intake = Intake(self._core, self._accounts)
        self._connections = Connections(self._core, self._accounts, self._intake, loop)
        self._listener = Listener(self._connections.accepted)
        self._ticker: asyncio.TimerHandle | None = None
        self._next_enquiry_at = 0.0
        self.port = 0

    def __repr__(self) -> str:
        return f"<Smsc port={self.port} {self.counters}>"

    # -- what stands ----------------------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        return self._core.counters

    @property
    def truth(self) -> TruthLog:
        return self._core.truth

    @property
    def sessions(self) -> list[SmscSession]:
        """Those that have not ended, oldest first."""
        return list(self._connections)

    @property
    def scheduled(self) -> int:
        """Answers, receipts and repeats that are due later."""
        return len(self._core.timers)

    @property
    def waiting(self) -> int:
        """Deliveries for which no session has room."""
        return sum(account.waiting for account in self._accounts)

    @property
    def script(self) -> Script:
        return self._core.script

    @script.setter
    def script(self, script: Script) -> None:
        """Behave differently from now on. Answers and receipts already planned stay as planned."""
        core = self._core
        core.script = script
        core.planner = Planner(script, core.random, core.now())
        self._next_enquiry_at = core.now() + script.enquire_link_s
        if script.refuse_connections:
            self._listener.refuse()
        else:
            self._listener.listen()
        for session in self.sessions:
            session.set_deaf(script.deaf)
        for account in self._accounts:
            account.pump()

    # -- life -----------------------------------------------------------------------------------------------

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> int:
        """Listen, and return the port. Raises OSError when it is taken."""
        self._connections.tls = tls
        self.port = self._listener.open(host, port, refuse=self.script.refuse_connections)
        self._next_enquiry_at = self._core.now() + self.script.enquire_link_s
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        return self.port

    async def aclose(self) -> None:
        """Close the port and all sessions, without unbind, as a stopped SMSC does. Takes 2 s at most."""
        self._listener.close()
        self._core.timers.clear()
        if self._ticker is not None:
            self._ticker.cancel()
        await self._connections.settle(_CLOSE_S)
        for session in self.sessions:
            session.close()
        try:
            await self.wait_for(lambda seen: not seen.sessions, _CLOSE_S)
        except TimeoutError:  # a peer that does not read what it asked for
            self._connections.cut()
            await self.wait_for(lambda seen: not seen.sessions, _CLOSE_S)
        self.truth.close()

    # -- what tests do to it --------------------------------------------------------------------------------

    async def wait_for(self, condition: Callable[[Counters], bool], timeout_s: float = 5.0) -> Counters:
        """Wait until `condition` holds of the counters. Raises TimeoutError with what was counted."""
        return await self._waiters.wait_for(condition, timeout_s)

    def cut_all(self) -> int:
        """RST on every connection; how many there were."""
        sessions = self.sessions
        for session in sessions:
            session.cut()
        return len(sessions)

    def unbind_all(self) -> int:
        """Ask every bound session for the end; how many were asked."""
        bound = [session for session in self.sessions if session.bound]
        for session in bound:
            session.unbind()
        return len(bound)

    def send_mo(
        self, source: str, destination: str, text: str, *, system_id: str = "", esm_class: int = 0
    ) -> None:
        """A message from a handset, to `system_id` or to whoever is bound to receive.

        Raises ValueError when nobody is, when an address does not fit, or (TextError) for half a surrogate.
        """
        delivery = make_mo(Address(1, 1, source), Address(0, 1, destination), text, esm_class)
        self._send(delivery, system_id)

    def send_receipt(
        self,
        smsc_id: str,
        state: str = "DELIVRD",
        *,
        system_id: str = "",
        source: str = "",
        destination: str = "",
    ) -> None:
        """A receipt in the script's form for any id, known or not. Raises ValueError as `send_mo` does."""
        now = self.truth.clock()
        delivery = make_receipt(
            self.script,
            smsc_id,
            state,
            handset=Address(1, 1, destination),
            sender=Address(0, 1, source),
            submitted_at=now,
            now=now,
        )
        self._core.counters.receipts += 1
        self._send(delivery, system_id)

    def _send(self, delivery: Delivery, system_id: str) -> None:
        encode_body(delivery.pdu)  # an octet too many is the caller's mistake, to be told here
        account = self._account_for(system_id)
        if account is None:
            raise ValueError("nobody is bound to receive: name a system_id, then it waits")
        account.deliver(delivery)

    def _account_for(self, system_id: str) -> Account | None:
        if system_id:
            return self._accounts.get(system_id)
        return next((account for account in self._accounts if account.can_receive), None)

    # -- the clock ------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Twenty times a second: what was not answered, whom to ask, what to write to the file."""
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        now, script = self._core.now(), self.script
        ask = bool(script.enquire_link_s) and now >= self._next_enquiry_at
        if ask:
            self._next_enquiry_at = now + script.enquire_link_s
        for session in self.sessions:
            session.expire(now, script.receipt_timeout_s)
            if ask and session.bound:
                session.enquire()
        self.truth.flush()
        self._waiters.look()
