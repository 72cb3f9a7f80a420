"""The policy state of engine `http`: an external service decides, one POST a message (spec §5).

    {"op": "reserve"|"release"|"check", "message_id", "strategy", "daddr", "saddr", "app_id", "task_id",
     "text_sha256"}  ->  {"state": "ok|daily_cp|weekly_cp|duplicate|blacklist", "pass": true|false}

`pass` decides; `state` says why not. Anything else (another status than 200, no JSON, a refusal without its
reason, no answer in time) is no answer. A batch costs `timeout_ms` at most, at most `concurrency` calls are
under way, and a service that fails is not asked (gate.py). Keep-alive connections; no redirects, no cookies,
no proxies. `check` is ours: what `reserve` would say, counting nothing. Made by assembly.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence

import aiohttp

from smsproxy.domain.ids import id_text
from smsproxy.policy.base import PolicyRequest, PolicyUnavailableError, Verdict
from smsproxy.policy.days import Moment
from smsproxy.policy.evaluator import Judgement
from smsproxy.policy.gate import Gate
from smsproxy.policy.state import Case

MAX_ANSWER_BYTES = 16 * 1024
"""A hundred times what the answer needs."""
KEEPALIVE_S = 4.0
"""Less than the 5 s after which common servers (uvicorn, Node) hang up: a call rarely meets a hang-up."""
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_STATES = {verdict.value: verdict for verdict in Verdict if verdict is not Verdict.UNAVAILABLE}
_SPARED = Judgement(Verdict.UNAVAILABLE)
_NO_ANSWER = Judgement(Verdict.UNAVAILABLE, in_doubt=True)
_GIVEN_BACK = Judgement(Verdict.OK)

ReadAnswer = Callable[[bytes], Judgement]


class NoAnswerError(Exception):
    """What came back is no answer; the text says why, without a word of what came."""


class CallRefusedError(NoAnswerError):
    """Status 4xx: the service is there, and will not have this very call."""


class HttpState:
    """See `PolicyState`. `changed(back, reason)` is told when the service goes away and when it is back."""

    name = "http"
    judges_all = True

    def __init__(
        self, url: str, timeout_s: float, concurrency: int, changed: Callable[[bool, str], None]
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        # A turn of the pipeline asks and gives back, and an audience may be screened beside it: a third for
        # each, so that none waits for a place.
        self.max_batch = max(1, concurrency // 3)
        self._places = asyncio.Semaphore(concurrency)
        self._gate = Gate()
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # ours bounds the whole batch
            headers=_HEADERS,
        )
        self.calls = 0
        self.calls_failed = 0
        self.calls_spared = 0

    def __repr__(self) -> str:
        return f"<HttpState {self._gate!r} calls={self.calls} failed={self.calls_failed}>"

    @property
    def counters(self) -> Mapping[str, int]:
        """See `PolicyState`."""
        return {
            "calls": self.calls,
            "calls_failed": self.calls_failed,
            "calls_spared": self.calls_spared,
        }

    async def reserve(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`. The moment is the service's own business."""
        return await self._ask_all("reserve", cases, read_verdict)

    async def check(self, cases: Sequence[Case], moment: Moment) -> list[Judgement]:
        """See `PolicyState`."""
        return await self._ask_all("check", cases, read_verdict)

    async def release(self, cases: Sequence[Case], moment: Moment) -> int:
        """See `PolicyState`. All that the service has confirmed count as given back."""
        answers = await self._ask_all("release", cases, read_confirmation)
        given_back = {
            case.request.message_id
            for case, answer in zip(cases, answers, strict=True)
            if answer is _GIVEN_BACK
        }
        if not all(answer is _GIVEN_BACK for answer in answers):
            text = "the policy service does not confirm, not all was given back"
            raise PolicyUnavailableError(text, given_back)
        return len(answers)

    async def aclose(self) -> None:
        """See `PolicyState`."""
        await self._session.close()

    async def _ask_all(self, op: str, cases: Sequence[Case], read: ReadAnswer) -> list[Judgement]:
        """One judgement a case, after `timeout_s` at most."""
        answers = [_SPARED] * len(cases)

        async def ask(at: int, request: PolicyRequest) -> None:
            async with self._places:
                if not self._gate.lets_through(self._loop.time()):
                    self.calls_spared += 1
                    return
                self.calls += 1
                answers[at] = _NO_ANSWER  # from here on it may have been heard
                answers[at] = await self._ask(body_of(op, request), read)

        try:
            async with asyncio.timeout(self._timeout_s), asyncio.TaskGroup() as group:
                for at, case in enumerate(cases):
                    group.create_task(ask(at, case.request))
        except TimeoutError:
            for answer in answers:
                if answer is _NO_ANSWER:
                    self._failed("no answer in time")
        return answers

    async def _ask(self, body: bytes, read: ReadAnswer) -> Judgement:
        """One call's judgement. Asked again once when a kept connection was hung up: the service knows the
        message_id, so hearing it twice counts nothing twice. A refused release shuts no gate: it says nothing
        of the service's health, and may be refused for ever."""
        for last in (False, True):
            try:
                judgement = read(await self._post(body))
            except CallRefusedError as error:
                if read is read_confirmation:
                    self.calls_failed += 1
                else:
                    self._failed(_words(error))
                break
            except (aiohttp.ClientConnectorError, NoAnswerError) as error:
                self._failed(_words(error))
                break
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if last:
                    self._failed("the connection was hung up")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self._failed(type(error).__name__)
                break
            else:
                if self._gate.succeeded():
                    self._changed(True, "")
                return judgement
        return Judgement(Verdict.UNAVAILABLE, in_doubt=True)

    async def _post(self, body: bytes) -> bytes:
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            if 400 <= response.status < 500:
                raise CallRefusedError(f"status {response.status}")
            if response.status != 200:
                raise NoAnswerError(f"status {response.status}")
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise NoAnswerError(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
            return bytes(content)

    def _failed(self, reason: str) -> None:
        self.calls_failed += 1
        if self._gate.failed(self._loop.time()):
            self._changed(False, reason)


def body_of(op: str, request: PolicyRequest) -> bytes:
    """What the service is asked. Numbers go as JSON numbers, octets as text (spec §5)."""
    return json.dumps(
        {
            "op": op,
            "message_id": id_text(request.message_id),
            "strategy": request.strategy,
            "daddr": request.daddr,
            "saddr": request.saddr,
            "app_id": request.app_id,
            "task_id": request.task_id,
            "text_sha256": request.text_sha256.hex(),
        }
    ).encode()


def read_verdict(answer: bytes) -> Judgement:
    """Raises NoAnswerError for anything but an answer of the contract."""
    said = _object(answer)
    state, passes = said.get("state"), said.get("pass")
    verdict = _STATES.get(state) if isinstance(state, str) else None
    if verdict is None or not isinstance(passes, bool):
        raise NoAnswerError("an answer without a known state and pass")
    if passes:  # the service may let pass what its own rule would refuse
        return Judgement(Verdict.OK)
    if verdict is Verdict.OK:
        raise NoAnswerError("a refusal with state ok")
    return Judgement(verdict)


def read_confirmation(answer: bytes) -> Judgement:
    """A release is confirmed by 200 and any JSON object, or nothing."""
    if answer:
        _object(answer)
    return _GIVEN_BACK


def _object(answer: bytes) -> dict[str, object]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        raise NoAnswerError("an answer that is no JSON") from None
    if not isinstance(said, dict):
        raise NoAnswerError("an answer that is no JSON object")
    return said


def _words(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"cannot connect: {os.strerror(number).lower() if number else type(error.os_error).__name__}"
    return str(error)
