"""What gateways would have told a Prometheus in hours or days, as samples, with something wrong in them or nothing."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.rollout.decision import Result
from gateway.rollout.policy import Mode
from gateway.stages.reasons import Reason
from gateway.telemetry.metrics import JUDGING_BUCKETS

Labels = Mapping[str, str]
# From metric, labels, age in seconds and value to what is told instead, None for no sample.
Lie = Callable[[str, Labels, float, float], float | None]


def honest(_metric: str, _labels: Labels, _age: float, value: float) -> float | None:
    return value


@dataclass(frozen=True)
class History:
    """Two gateways that each carry a request a second at one endpoint, since long before what is in force came so."""

    endpoint: str
    config: str
    vocabulary: str
    step_age: float = 3600
    age: float = 9000
    interval: float = 30
    lie: Lie = honest

    def samples(self) -> str:
        """Return all samples up to now, in OpenMetrics' text."""
        now = time.time()
        count = int(self.age // self.interval)
        lines = []
        for metric, labels, value in self._series(now):
            told = ",".join(f'{name}="{text}"' for name, text in labels.items())
            for index in range(count + 1):
                age = (count - index) * self.interval
                number = self.lie(metric, labels, age, value(self.age - age))
                if number is not None:
                    lines.append(f"{metric}{{{told}}} {number} {now - age:.3f}")
        return "\n".join([*lines, "# EOF\n"])

    def _series(self, now: float) -> Iterator[tuple[str, dict[str, str], Callable[[float], float]]]:
        replicas = [{"job": "stage-gateway", "instance": f"10.0.0.{number}:8081"} for number in (1, 2)]
        for metric, labels, value in self._of_replica(now):
            for replica in replicas:
                yield metric, {**replica, **labels}, value

    def _of_replica(self, now: float) -> Iterator[tuple[str, dict[str, str], Callable[[float], float]]]:
        at = {"endpoint": self.endpoint}
        yield "up", {}, _constant(1)
        told = {"config": self.config, "vocabulary": self.vocabulary, "version": "1"}
        yield "stage_gateway_config_info", told, _constant(1)
        yield "stage_gateway_config_in_force_since_seconds", {}, _constant(now - self.step_age)
        yield "stage_gateway_dry_run", {}, _constant(1)
        yield "stage_gateway_enforcement_percent", at, _constant(10)
        for mode in Mode:
            yield "stage_gateway_endpoint_mode", {**at, "mode": mode}, _constant(mode is Mode.ENFORCE)
        for source in ("person", "alert", "damaged_state"):
            yield "stage_gateway_override", {**at, "source": source}, _constant(0)
        for reason in (Reason.INTERNAL_ERROR, Reason.DISALLOWED_VALUE):
            yield "stage_validation_errors_total", {**at, "reason": reason}, _constant(0)
        for bound in (*map(float, JUDGING_BUCKETS), "+Inf"):
            yield "stage_validation_duration_seconds_bucket", {**at, "le": str(bound)}, _growing
        for result in Result:
            for mode in (Mode.ENFORCE, Mode.WARN):
                grows = result is Result.PASS and mode is Mode.WARN
                labels = {**at, "mode": mode, "result": result}
                yield "stage_validation_validations_total", labels, _growing if grows else _constant(0)


def _growing(past: float) -> float:
    return past // 1


def _constant(value: float) -> Callable[[float], float]:
    return lambda _: float(value)
