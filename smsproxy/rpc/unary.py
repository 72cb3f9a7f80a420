"""SendMessage: one message, one future, one answer (spec §2.1).

The deadline and the caller's leaving both arrive as a cancellation of the call's task (`dispatch`): the
message is withdrawn if it can be, and recorded without us if it cannot.
"""

from __future__ import annotations

import asyncio

from grpclib.const import Status

from smsproxy.domain.caller import Caller
from smsproxy.domain.outcome import Answer
from smsproxy.pipeline.ports import Gateway, Lane
from smsproxy.rpc.call import Call
from smsproxy.rpc.codec import MalformedRequestError, decode_request, encode_answer
from smsproxy.rpc.details import Reason
from smsproxy.rpc.options import RpcCounters
from smsproxy.rpc.status import RefusalError, in_doubt, refusal_of_answer


async def send_one(call: Call, gateway: Gateway, caller: Caller, counters: RpcCounters) -> None:
    """Serve one SendMessage. Raises RefusalError for every end that the table tells by a gRPC status."""
    data = await call.read_one()
    counters.messages_total += 1
    try:
        message = decode_request(data)
    except MalformedRequestError as error:
        counters.messages_malformed_total += 1
        raise RefusalError(Status.INVALID_ARGUMENT, str(error), Reason.MALFORMED_MESSAGE) from None
    ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def reply(tag: int, answer: Answer) -> None:
        if ended.done():  # the caller left before the end came; the record has it
            counters.answers_dropped_total += 1
        else:
            ended.set_result(answer)

    ticket = gateway.submit(message, caller, Lane.UNARY, reply, 0, call.deadline_at)
    try:
        answer = await asyncio.shield(ended)
    except asyncio.CancelledError:
        over = ended.done()  # in this very moment: then it is told
        if (ticket.cancel() and not over) or not call.timeout.expired():
            ended.cancel()
            raise
        if not (over or call.deadline_is_ours):
            ended.cancel()
            raise in_doubt(message.transaction_id) from None
        # Only our own default deadline passed, and octets may have left by now. Whoever named no deadline
        # wants to hear how it ends, `unknown` perhaps, and not that it `expired` (spec §2.1).
        answer = await ended
    counters.answers_total += 1
    refusal = refusal_of_answer(answer)
    if refusal is not None:
        raise refusal
    await call.answer_once(encode_answer(answer))
