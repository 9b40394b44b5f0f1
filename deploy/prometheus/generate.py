"""Write the recording and alert rules from the numbers.

Rules of the room:

- A ratio is made only of traffic that exists: without requests there is no sample, never NaN, so that one quiet
  stretch does not spoil a day's baseline.
- A baseline is weighted by traffic, and ends `baseline_offset` ago.
- A threshold always exists while an endpoint has series: the floor where there is no baseline to measure by.
- Every alert has the labels `severity` and `endpoint`; what concerns no single endpoint says `all`.
"""

import argparse
import re
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
HEADER = "# Generated from numbers.toml by `make rules`; edit those, not this.\n"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the seconds of a duration as Prometheus writes it with one unit, such as `5m`. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([smhd])", duration)
    if found is None:
        raise ValueError(f"{duration!r} is no duration: a number and one of s, m, h, d")
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Alert:
    """One alert rule. `endpoint` is set for what concerns no single endpoint."""

    name: str
    expr: str
    severity: str
    summary: str
    description: str
    lasts: str | None = None
    keeps: str | None = None
    action: str | None = None
    endpoint: str | None = None

    def rule(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        labels = {"severity": self.severity, "endpoint": self.endpoint, "action": self.action}
        dashboard = numbers["dashboard_url"]
        if self.endpoint is None:
            dashboard += "?var-endpoint={{ $labels.endpoint | urlquery }}"
        rule = {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasts,
            "keep_firing_for": self.keeps,
            "labels": {name: value for name, value in labels.items() if value is not None},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{numbers['runbook_url']}#{self.name.lower()}",
                "dashboard_url": dashboard,
            },
        }
        return {name: value for name, value in rule.items() if value is not None}


def recordings(n: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the recording rules; later ones build on earlier ones of the same evaluation."""
    window, step = n["rate_window"], seconds(n["evaluation_interval"])
    past = f"[{n['baseline_window']}] offset {n['baseline_offset']}"
    enough = f"sum_over_time(stage_validation_requests:rate{past}) * {step} >= {n['minimum_requests']}"
    rules = {
        # Requests and findings now. An endpoint whose errors are nowhere to be seen has none, and keeps its ratio.
        "stage_validation_requests:rate": f"sum by (endpoint) (rate(stage_validation_validations_total[{window}]))",
        # Whole requests: the extrapolation of rate() makes 29.99 of 30.
        "stage_validation_requests:count": f"round(stage_validation_requests:rate * {seconds(window)})",
        "stage_validation_invalid:rate": f"""
            sum by (endpoint) (rate(stage_validation_errors_total[{window}]))
            or
            stage_validation_requests:rate * 0""",
        "stage_validation_latency:rate": (
            f"sum by (endpoint, le) (rate(stage_validation_duration_seconds_bucket[{window}]))"
        ),
        "stage_validation_invalid_rate:ratio": """
            stage_validation_invalid:rate / (stage_validation_requests:rate > 0)""",
        "stage_validation_invalid_rate:baseline": f"""
            sum_over_time(stage_validation_invalid:rate{past})
            /
            (sum_over_time(stage_validation_requests:rate{past}) > 0)
            and
            {enough}""",
        "stage_validation_invalid_rate:threshold": f"""
            clamp(
              stage_validation_invalid_rate:baseline * {n["factor"]},
              {n["invalid_floor"]}, {n["invalid_ceiling"]}
            )
            or
            stage_validation_requests:rate * 0 + {n["invalid_floor"]}""",
        # ">= 0" drops the NaN of an endpoint without traffic.
        "stage_validation_latency:p99": "histogram_quantile(0.99, stage_validation_latency:rate) >= 0",
        "stage_validation_latency:p99_baseline": f"""
            histogram_quantile(0.99, sum_over_time(stage_validation_latency:rate{past})) >= 0
            and
            {enough}""",
        "stage_validation_latency:p99_threshold": f"""
            clamp(
              stage_validation_latency:p99_baseline * {n["factor"]},
              {n["p99_floor_seconds"]}, {n["p99_ceiling_seconds"]}
            )
            or
            stage_validation_requests:rate * 0 + {n["p99_floor_seconds"]}""",
        # Of all that enforcing would refuse, what it refuses already is a part: the more is enforced, the larger one.
        "stage_validation_would_reject_rate:ratio": f"""
            sum by (endpoint) (rate(stage_validation_validations_total{{result=~"would_reject|reject"}}[{window}]))
            /
            (stage_validation_requests:rate > 0)""",
        # When reloads with each result last rose. "Rose" looks back two windows, so that a reload during a scrape gap
        # is seen after it; that blurs the times of both results equally, and their order stays.
        "stage_gateway_config_reloads:last_rise": f"""
            max by (job, instance, result) (max_over_time(
              (
                timestamp(stage_gateway_config_reloads_total)
                and stage_gateway_config_reloads_total
                > min_over_time(stage_gateway_config_reloads_total[{2 * seconds(window)}s])
              )[{n["reload_memory"]}:{window}]
            ))""",
    }
    return [{"record": name, "expr": textwrap.dedent(expr).strip()} for name, expr in rules.items()]


def endpoint_alerts(n: Mapping[str, Any]) -> list[Alert]:
    """Return the alerts on what the requests of one endpoint look like."""
    enough = f"and on (endpoint)\nstage_validation_requests:count >= {n['minimum_requests']}"
    lasting = {"lasts": n["for"], "keeps": n["keep_firing_for"]}
    now = n["rate_window"]
    return [
        Alert(
            "StageInvalidRateHigh",
            "stage_validation_invalid_rate:ratio > on (endpoint) stage_validation_invalid_rate:threshold\n" + enough,
            "warning",
            "{{ $labels.endpoint }}: {{ $value | humanizePercentage }} of requests are invalid",
            "More requests than usual carry stages that are not canonical: over "
            f"{n['factor']} times the baseline, within {share(n['invalid_floor'])} and {share(n['invalid_ceiling'])}.",
            **lasting,
        ),
        Alert(
            "StageInvalidRateCeiling",
            f"stage_validation_invalid_rate:ratio > {n['invalid_ceiling']}\n" + enough,
            "critical",
            "{{ $labels.endpoint }}: {{ $value | humanizePercentage }} of requests are invalid, above the ceiling",
            f"Over {share(n['invalid_ceiling'])} of requests carry stages that are not canonical, which no baseline "
            "excuses. An endpoint with autoDemote drops to warn.",
            action="demote",
            **lasting,
        ),
        Alert(
            "StageLatencyRegressed",
            "stage_validation_latency:p99 > on (endpoint) stage_validation_latency:p99_threshold\n" + enough,
            "warning",
            "{{ $labels.endpoint }}: judging takes {{ $value | humanizeDuration }} at p99",
            f"Judging is slower than usual: over {n['factor']} times the baseline, within "
            f"{n['p99_floor_seconds']} s and {n['p99_ceiling_seconds']} s.",
            **lasting,
        ),
        Alert(
            "StageWouldRejectTooHigh",
            f"stage_validation_would_reject_rate:ratio > {n['would_reject_limit']}\n" + enough,
            "warning",
            "{{ $labels.endpoint }}: {{ $value | humanizePercentage }} of requests are refused, or would be if all "
            "were enforced",
            f"Over {share(n['would_reject_limit'])} of requests are refused, or would be if all were enforced. Do not "
            "enforce more of this endpoint yet.",
            lasts=n["would_reject_for"],
            keeps=n["keep_firing_for"],
        ),
        Alert(
            "StageValidatorErrors",
            f'sum by (endpoint) (increase(stage_validation_errors_total{{reason="internal_error"}}[{now}])) > 0',
            "critical",
            "{{ $labels.endpoint }}: the validator itself fails",
            "The validator failed on a request, which may have been a good one. Under enforce such a request is "
            "answered 500. An endpoint with autoDemote drops to warn.",
            keeps=n["keep_firing_for"],
            action="demote",
        ),
    ]


def override_alerts() -> list[Alert]:
    """Return the alerts on modes that are not the file's; one a person chose is only news."""

    def active(source: str, severity: str) -> Alert:
        return Alert(
            "StageOverrideActive",
            f'max by (endpoint, source) (stage_gateway_override{{source{source}"person"}}) == 1',
            severity,
            "{{ $labels.endpoint }}: a runtime override is in force (source: {{ $labels.source }})",
            "The endpoint is not in the mode that the configuration file gives it, until the override is cleared.",
        )

    return [active("=", "info"), active("!=", "warning")]


def blindness_alerts(n: Mapping[str, Any]) -> list[Alert]:
    """Return the alerts on metrics that the other alerts need and that are not there."""
    lasting = {"lasts": n["for"], "keeps": n["keep_firing_for"]}
    up = f'up{{job="{n["job"]}"}}'
    blind = "The other alerts on this endpoint cannot see anything."
    return [
        Alert(
            "StageMetricsMissing",
            f"absent({up} == 1)",
            "critical",
            "no gateway can be scraped",
            "Not one gateway answers on its admin port, or none is configured to be scraped: all alerts are blind.",
            endpoint="all",
            **lasting,
        ),
        Alert(
            "StageMetricsMissing",
            f"{up} == 0\nor\n({up} == 1 unless on (job, instance) stage_gateway_config_info)",
            "warning",
            "{{ $labels.instance }}: this gateway shows no metrics",
            "One gateway cannot be scraped, or what answers there is no gateway. The others are still watched.",
            endpoint="all",
            **lasting,
        ),
        Alert(
            "StageMetricsMissing",
            'max by (endpoint) (stage_gateway_endpoint_mode{mode!="off"} == 1)\n'
            "unless on (endpoint) (\n"
            "  sum by (endpoint) (stage_validation_validations_total)\n"
            "  and sum by (endpoint) (stage_validation_errors_total)\n"
            "  and sum by (endpoint) (stage_validation_duration_seconds_bucket)\n"
            ")",
            "critical",
            "{{ $labels.endpoint }}: its counters are missing",
            "A gateway inspects this endpoint, but what it counts does not reach Prometheus. " + blind,
            **lasting,
        ),
    ]


def gateway_alerts(n: Mapping[str, Any]) -> list[Alert]:
    """Return the alerts on the gateways as a whole."""
    lasting = {"lasts": n["for"], "keeps": n["keep_firing_for"]}
    now = n["rate_window"]
    differ = "The replicas decide differently about the same request. Wait for a rollout to end, or reload the others."
    return [
        Alert(
            "StageConfigReloadFailed",
            'max by (job, instance) (stage_gateway_config_reloads_total{result="error"}) > 0\n'
            "and on (job, instance) (\n"
            '  stage_gateway_config_reloads:last_rise{result="error"}\n'
            '  > on (job, instance) stage_gateway_config_reloads:last_rise{result="success"}\n'
            "  or on (job, instance)\n"
            '  stage_gateway_config_reloads:last_rise{result="error"}\n'
            '  unless on (job, instance) stage_gateway_config_reloads:last_rise{result="success"}\n'
            ")",
            "warning",
            "{{ $labels.instance }}: the configuration file could not be loaded",
            "The last reload failed. The configuration from before stays in force; a restart would fail.",
            endpoint="all",
        ),
        Alert(
            "StageReplicasDisagree",
            "label_replace(count(count by (config) (stage_gateway_config_info)) > 1, "
            '"what", "configuration", "", "")\n'
            "or\n"
            "label_replace(count(count by (vocabulary) (stage_gateway_config_info)) > 1, "
            '"what", "vocabulary", "", "")',
            "warning",
            "replicas have {{ $value }} different values of: {{ $labels.what }}",
            differ,
            lasts=n["for"],
            keeps=n["keep_firing_for"],
            endpoint="all",
        ),
        Alert(
            "StageReplicasDisagree",
            "count by (endpoint) (\n"
            "  max by (endpoint, mode) (stage_gateway_endpoint_mode)\n"
            "  != min by (endpoint, mode) (stage_gateway_endpoint_mode)\n"
            ")",
            "warning",
            "{{ $labels.endpoint }}: replicas are in different modes",
            differ,
            **lasting,
        ),
        Alert(
            "StageUpstreamErrors",
            f'sum by (upstream) (rate(stage_gateway_requests_total{{code=~"5.."}}[{now}]))\n'
            "/\n"
            f"(sum by (upstream) (rate(stage_gateway_requests_total[{now}])) > 0)\n"
            f"> {n['upstream_error_limit']}\n"
            "and\n"
            f"round(sum by (upstream) (increase(stage_gateway_requests_total[{now}]))) >= {n['minimum_requests']}",
            "critical",
            "upstream {{ $labels.upstream }}: {{ $value | humanizePercentage }} of responses are 5xx",
            f"Over {share(n['upstream_error_limit'])} of responses are errors of the upstream, or of the way to it; of "
            "upstream none: of the gateway itself.",
            endpoint="all",
            **lasting,
        ),
        Alert(
            "StageMigrationStalled",
            'sum without (status) (stage_migration_batches{status=~"pending|running"}) > 0\n'
            "and\n"
            f"time() - stage_migration_last_progress_timestamp_seconds > {seconds(now)}",
            "warning",
            "{{ $labels.instance }}: the migration has not moved, {{ $value }} batches are open",
            "No batch was finished for a while: it is paused, waits for a replica or a lock, or hangs.",
            endpoint="all",
            **lasting,
        ),
    ]


def share(value: float) -> str:
    """Return a share as people write it."""
    return f"{value * 100:g} %"


def group(name: str, rules: list[dict[str, Any]], n: Mapping[str, Any]) -> str:
    """Return a rule file with one group."""
    document = {"groups": [{"name": name, "interval": n["evaluation_interval"], "rules": rules}]}
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def files(n: Mapping[str, Any]) -> dict[str, str]:
    """Return the rule files, by name."""
    alerts = [*endpoint_alerts(n), *override_alerts(), *blindness_alerts(n), *gateway_alerts(n)]
    return {
        "recording.yml": group("stage-gateway-recorded", recordings(n), n),
        "alerts.yml": group("stage-gateway-alerts", [alert.rule(n) for alert in alerts], n),
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> int:
    """Write the rule files beside the numbers, or into another folder."""
    parser = argparse.ArgumentParser(description="Write the Prometheus rules from the numbers.")
    parser.add_argument("--numbers", type=Path, default=HERE / "numbers.toml", metavar="FILE")
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIRECTORY")
    given = parser.parse_args()
    try:
        written = files(tomllib.loads(given.numbers.read_text(encoding="utf-8")))
    except (KeyError, ValueError) as error:
        print(f"{given.numbers}: {f'{error} is missing' if isinstance(error, KeyError) else error}", file=sys.stderr)
        return 2
    for name, text in written.items():
        (given.output / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
