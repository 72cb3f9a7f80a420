"""What the client's tests share: clients with short waits, and campaigns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fake_daemon import FakeDaemon

from smsproxy.client import ClientOptions, Sms, SmsAnswer, SmsClient

QUICK = ClientOptions(timeout_s=5, connect_timeout_s=5, silence_s=5, give_up_s=5, reconnect_max_s=0.01)


def an_sms(number: int = 0, **more: object) -> Sms:
    values: dict[str, object] = {
        "esme": 100,
        "saddr": "MYBRAND",
        "daddr": f"99890{number:07}",
        "message": f"text {number}",
        "transaction_id": f"t{number}",
    }
    return Sms(**(values | more))


def campaign(count: int) -> Iterator[Sms]:
    return (an_sms(number) for number in range(count))


@asynccontextmanager
async def a_client(
    daemon: FakeDaemon, options: ClientOptions = QUICK, token: str = "a.b.c"
) -> AsyncIterator[SmsClient]:
    async with SmsClient(f"127.0.0.1:{daemon.port}", lambda: token, 1, options=options) as client:
        yield client


async def answers_of(client: SmsClient, messages: object, window: int = 50) -> list[tuple[Sms, SmsAnswer]]:
    return [pair async for pair in client.send_many(messages, window)]
