"""The settings of one session. Made by the link from its part of the settings, read by the session."""

from __future__ import annotations

from dataclasses import dataclass, field

from smsproxy.smpp.constants import INTERFACE_VERSION_34
from smsproxy.smpp.framing import DEFAULT_MAX_PDU_BYTES
from smsproxy.smpp.pdu import Bind, BindKind


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Settings of one session. Durations are seconds; the window is places."""

    system_id: str
    password: str = field(default="", repr=False)
    kind: BindKind = BindKind.TRANSCEIVER
    system_type: str = ""
    interface_version: int = INTERFACE_VERSION_34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    window: int = 50
    enquire_link_s: float = 30.0
    response_timeout_s: float = 10.0
    bind_timeout_s: float = 10.0
    max_pdu_bytes: int = DEFAULT_MAX_PDU_BYTES
    allow_long_password: bool = False

    def bind(self) -> Bind:
        """The PDU that opens the session (§4.1)."""
        return Bind(
            self.kind,
            self.system_id,
            self.password,
            self.system_type,
            self.interface_version,
            self.addr_ton,
            self.addr_npi,
            self.address_range,
        )
