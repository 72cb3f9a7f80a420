"""How the simulator behaves, as plain data: everything scripted is a field of `Script` or a `Rule` in it.

A default `Script()` is a good SMSC: binds anyone, answers at once, sends one DELIVRD receipt for each segment
that asks. Durations are seconds, shares are 0 to 1, and 0 switches a thing off. The bounds in the
annotations are checked where a script is read from a file or a table (`script_file`); `__post_init__` checks
what must fit together. Read by every module of the simulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from smsproxy.smpp.constants import ESME_ROK, ESME_RSYSERR, status_text

STATUS_CODES: dict[str, int] = {
    name: code for code in range(0x100) if (name := status_text(code).split()[0]) != "ESME_VENDOR"
}
"""Every command_status of SMPP v3.4 §5.1.3 by its name."""

STATES = ("ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD")
"""The words of Appendix B in the order of message_state (§5.2.28), which counts them from 1."""

_MISSING_WORDS = "must name one of {id} {stat} {err} {submit} {done} {text}, and no other"


def status_code(value: object) -> object:
    """A command_status out of its name, or the number it already is. Raises ValueError for another name."""
    if isinstance(value, str):
        if value not in STATUS_CODES:
            raise ValueError(f"unknown status {value!r}: write a name such as ESME_RSYSERR, or a number")
        return STATUS_CODES[value]
    return value


Seconds = Annotated[float, Field(strict=True, ge=0, le=86_400, allow_inf_nan=False)]
Rate = Annotated[float, Field(strict=True, ge=0, le=1_000_000, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Status = Annotated[int, BeforeValidator(status_code), Field(strict=True, ge=0, le=0xFFFFFFFF)]
SystemId = Annotated[str, Field(max_length=15)]
StateWord = Annotated[str, Field(min_length=1, max_length=20, pattern=r"^\S+$")]

Action = Literal[
    "error", "silent", "late", "cut", "receipt",
    "unknown_sequence", "repeat", "wrong_type", "nack", "nack_zero",
]  # fmt: skip
"""What a rule makes of a submit_sm. See `Rule.do`."""

IdFormat = Literal["decimal", "padded_decimal", "hex", "hex_upper", "padded_hex", "padded_hex_upper", "uuid"]
ReceiptForm = Literal["text", "text_tlv", "tlv", "payload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Something out of the ordinary for some submit_sm. The first rule that matches one decides on it.

    All conditions that are set must hold; none set matches every submit_sm. `every` and `at_most` count those
    that the other conditions let through, since the script was set.
    """

    do: Action
    """error: refuse with `status`. silent: never answer. late: answer after `after_s`. cut: RST at once.
    receipt: take it, its receipt says `state`. nack: refuse by generic_nack with `status`. The others take it
    and answer rightly, after something odd: unknown_sequence: a response nobody asked for; repeat: the right
    one a first time; wrong_type: another type of response under its number; nack_zero: generic_nack number 0.
    """

    status: Status = ESME_RSYSERR
    after_s: Seconds = 0.0
    state: Annotated[str, Field(max_length=20, pattern=r"^\S*$")] = "UNDELIV"
    """Empty: no receipt ever comes."""
    instead: Flag = False
    """unknown_sequence, wrong_type, nack_zero: the right answer does not follow."""

    destination_prefix: str = ""
    destination_suffix: str = ""
    text_contains: str = ""
    segment_no: Annotated[int, Field(strict=True, ge=0, le=255)] = 0
    """Only this segment of a multipart message, counted from 1."""
    every: Count = 0
    """Only each Nth."""
    share: Share = 1.0
    """Only this share, at random."""
    at_most: Count = 0
    """Only the first N."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The whole behaviour of a simulator. Change one at run time with `dataclasses.replace`."""

    # -- sessions -------------------------------------------------------------------------------------------
    system_id: SystemId = "smsc"
    """What the SMSC calls itself in bind_resp."""
    bind_status: Status = ESME_ROK
    bind_silent: Flag = False
    refuse_connections: Flag = False
    """The port refuses; sessions that exist go on."""
    deaf: Flag = False
    """TCP stays open, nothing is read and nothing is written, until the script says otherwise."""
    dribble_bytes: Count = 0
    """Octets per write, one write a turn of the loop."""
    enquire_link_s: Seconds = 0.0
    """How often the SMSC asks its bound sessions."""
    cut_after_submits: Count = 0
    """RST at the Nth submit_sm of a session, which stays unanswered."""
    unbind_after_submits: Count = 0
    """Unbind after the answer to the Nth submit_sm of a session."""

    # -- answers to submit_sm and data_sm -------------------------------------------------------------------
    answer_delay_s: Seconds = 0.0
    answer_jitter_s: Seconds = 0.0
    """Answers come this much sooner or later, evenly spread."""
    throttle_per_s: Rate = 0.0
    """Per system_id; above it ESME_RTHROTTLED."""
    throttle_burst: Count = 0
    """0: a second's worth."""
    queue_full_after_s: Seconds = 0.0
    queue_full_for_s: Seconds = 0.0
    """ESME_RMSGQFUL for this long, beginning `queue_full_after_s` after the script was set."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()
    hints: Flag = False
    """Special endings of the destination, for trying by hand: see `hints`."""
    error_body: Literal["none", "empty", "id"] = "none"
    """What follows the header of a refusal: nothing (§4.4.2), a lone NUL, or an id all the same."""
    id_format: IdFormat = "decimal"
    first_id: Annotated[int, Field(strict=True, ge=0, le=2**64 - 1)] = 0
    """0: out of the clock, so that a restarted simulator does not give ids twice."""

    # -- receipts -------------------------------------------------------------------------------------------
    receipts: Literal["asked", "always", "never"] = "asked"
    receipt_delay_s: Seconds = 0.0
    """After the answer."""
    receipt_jitter_s: Seconds = 0.0
    """Up to this much later, evenly spread."""
    receipt_states: Annotated[tuple[StateWord, ...], Field(min_length=1, max_length=100)] = ("DELIVRD",)
    """One after the other in turn, or at random by `receipt_weights`."""
    receipt_weights: tuple[Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)], ...] = ()
    receipts_before: Annotated[tuple[StateWord, ...], Field(max_length=10)] = ()
    """Intermediate receipts ahead of the final one."""
    receipts_after: Annotated[tuple[StateWord, ...], Field(max_length=10)] = ()
    """More receipts behind the final one: what a gateway must not believe."""
    receipt_repeats: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    """Further copies of the final one."""
    receipt_spacing_s: Seconds = 0.0
    """Between the receipts of one segment."""
    early_receipt_share: Share = 0.0
    """This share of the segments has its receipts before the answer,"""
    early_receipt_s: Seconds = 0.0
    """by this much (at most the answer's delay)."""
    receipt_id_format: IdFormat | Literal[""] = ""
    """Empty: as in the response."""
    receipt_command: Literal["deliver_sm", "data_sm"] = "deliver_sm"
    receipt_form: ReceiptForm = "text_tlv"
    """Appendix B text, text and TLVs, TLVs alone, or the text in message_payload."""
    receipt_template: Annotated[str, Field(max_length=1000)] = ""
    """Another text than Appendix B's, with {id} {stat} {err} {submit} {done} {text} in it."""
    receipt_err: Annotated[str, Field(max_length=20)] = "000"
    receipt_esm_class: Annotated[int, Field(strict=True, ge=0, le=255)] = 0x04
    receipt_system_id: SystemId = ""
    """Whose sessions get the receipts; empty: those of the system_id that submitted."""
    receipt_window: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1000
    """Unanswered deliver_sm per session."""
    receipt_retry_s: Seconds = 1.0
    """After ESME_RX_T_APPN or `receipt_timeout_s` of silence."""
    receipt_timeout_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] = 30.0
    receipt_tries: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 100

    seed: Annotated[int, Field(strict=True)] = 0
    """Of everything random; read once, when the simulator is made."""

    def __post_init__(self) -> None:
        if self.receipt_weights and len(self.receipt_weights) != len(self.receipt_states):
            raise ValueError(
                f"receipt_weights has {len(self.receipt_weights)} entries, "
                f"receipt_states has {len(self.receipt_states)}"
            )
        if "uuid" in (self.id_format, self.receipt_id_format) and self.receipt_id_format not in (
            "",
            self.id_format,
        ):
            raise ValueError("receipt_id_format: a uuid has no other form, leave it empty")
        if self.receipt_template:
            self._try_template()

    def _try_template(self) -> None:
        words = dict.fromkeys(("id", "stat", "err", "submit", "done", "text"), "x")
        try:
            filled = self.receipt_template.format(**words)
            filled.encode("latin-1")
        except (LookupError, ValueError, AttributeError):
            filled = self.receipt_template
        if filled == self.receipt_template:
            raise ValueError(f"receipt_template {_MISSING_WORDS}")
