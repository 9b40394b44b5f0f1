"""Asks a Prometheus, and takes nothing from it that is not just what its interface promises.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from gateway.errors import GatewayError, UnreachableError
from gateway.server.client import cause_of_call

_SECONDS = 30
_SKEW = 60.0  # seconds by which clocks may differ
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|Inf)|NaN", re.ASCII)
_Kind = TypeVar("_Kind")


class AnswerError(GatewayError):
    """The answer is not one that can be relied on; the message says why."""

    exit_code = 3


class Series(NamedTuple):
    """One series, and its value; what is no number is NaN."""

    labels: Mapping[str, str]
    value: float


class Alert(msgspec.Struct, frozen=True):
    """An alert that is pending or fires."""

    labels: dict[str, str]
    state: str


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """A rule: how its last evaluation went, and when that was."""

    name: str
    health: str
    last_evaluation: str
    type: str


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated together, every `interval` seconds."""

    interval: float
    rules: list[Rule]


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: Any = None
    error: str = ""
    warnings: list[str] = []


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: Any


class _Sample(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Samples(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    values: Annotated[list[tuple[float, str]], msgspec.Meta(min_length=1)]


class _Alerts(msgspec.Struct, frozen=True):
    alerts: list[Alert]


class _Groups(msgspec.Struct, frozen=True):
    groups: list[Group]


class Prometheus:
    """A Prometheus at one moment of its own clock, `at`, for which everything is asked.

    `warnings` are what it said beside its answers, such as that they are not whole.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url.rstrip("/")
        self.name = _without_password(self._url)
        self._session = session
        self.at = 0.0
        self.warnings: list[str] = []

    async def begin(self) -> None:
        """Take its time. Raises UnreachableError, AnswerError; also when its clock is another than ours."""
        found = await self._result("/api/v1/query", "scalar", query="time()")
        stamp, told = self._converted(found, tuple[float, str])
        self.at = stamp
        if abs(_number(told) - stamp) > 1 or abs(stamp - time.time()) > _SKEW:
            raise AnswerError(f"{self.name}: its clock and this one differ by more than {_SKEW:g} s; set them")

    async def query(self, expression: str) -> list[Series]:
        """Return the series that an expression has at this moment."""
        found = await self._result("/api/v1/query", "vector", query=expression, time=self.at)
        samples = self._converted(found, list[_Sample])
        if any(abs(sample.value[0] - self.at) > 1 for sample in samples):
            raise AnswerError(f"{self.name}: answers for another time than it was asked for")
        self._want_each_once([sample.metric for sample in samples])
        return [Series(sample.metric, _number(sample.value[1])) for sample in samples]

    async def samples(self, selector: str) -> list[tuple[Mapping[str, str], list[float]]]:
        """Return the times of the samples that a range of series, such as `up[5m]`, has now."""
        return self._times(await self._result("/api/v1/query", "matrix", query=selector, time=self.at))

    async def range(
        self, expression: str, begin: float, end: float, step: float
    ) -> list[tuple[Mapping[str, str], list[float]]]:
        """Return at which of the steps an expression has a value, by its series."""
        asked: dict[str, str | float] = {"query": expression, "start": begin, "end": end, "step": step}
        return self._times(await self._result("/api/v1/query_range", "matrix", **asked))

    async def alerts(self) -> list[Alert]:
        """Return all alerts that are pending or fire."""
        return self._converted(await self._data("/api/v1/alerts"), _Alerts).alerts

    async def rules(self) -> list[Group]:
        """Return all groups of rules."""
        return self._converted(await self._data("/api/v1/rules"), _Groups).groups

    def _times(self, found: Any) -> list[tuple[Mapping[str, str], list[float]]]:
        series = self._converted(found, list[_Samples])
        self._want_each_once([one.metric for one in series])
        return [(one.metric, [stamp for stamp, _ in one.values]) for one in series]

    def _want_each_once(self, metrics: list[dict[str, str]]) -> None:
        if len({frozenset(metric.items()) for metric in metrics}) < len(metrics):
            raise AnswerError(f"{self.name}: answers one series twice")

    async def _result(self, path: str, kind: str, **asked: str | float) -> Any:
        result = self._converted(await self._data(path, **asked), _Result)
        if result.result_type != kind:
            raise AnswerError(f"{self.name}: answers {result.result_type}, expected {kind}")
        return result.result

    async def _data(self, path: str, **asked: str | float) -> Any:
        try:
            async with self._session.get(
                f"{self._url}{path}", params={name: str(value) for name, value in asked.items()}
            ) as response:
                body, status = await response.read(), response.status
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise UnreachableError(
                f"{self.name}: is no address, expected STAGE_GATEWAY_PROMETHEUS_URL as http://127.0.0.1:9090"
            ) from error
        except (TimeoutError, aiohttp.ClientError) as error:
            cause = cause_of_call(error, _SECONDS)
            raise UnreachableError(
                f"{self.name}: cannot be asked: {cause}; see STAGE_GATEWAY_PROMETHEUS_URL"
            ) from error
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except msgspec.MsgspecError as error:
            raise AnswerError(
                f"{self.name}{path}: answered {status} and no JSON of Prometheus; is it the address of one?"
            ) from error
        if status != 200 or answer.status != "success":
            raise AnswerError(f"{self.name}{path}: answered {status}: {answer.error or answer.status}")
        self.warnings += answer.warnings
        return answer.data

    def _converted(self, found: Any, kind: type[_Kind]) -> _Kind:
        try:
            return msgspec.convert(found, kind, strict=True)
        except msgspec.ValidationError as error:
            raise AnswerError(f"{self.name}: does not answer as Prometheus does; is it the address of one?") from error


def connection() -> aiohttp.ClientSession:
    """Return what a Prometheus is asked through; the caller closes it."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=False)


def _number(told: str) -> float:
    return float(told) if _NUMBER.fullmatch(told) else float("nan")


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        return "STAGE_GATEWAY_PROMETHEUS_URL"
