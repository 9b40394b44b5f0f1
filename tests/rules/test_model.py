"""The model of the file: what each member takes, and the schema that is published of it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from gateway.rules.model import File, schema

UPSTREAMS = {
    "portfolio": {"url": "http://127.0.0.1:3001"},
    "monteCarlo": {"url": "http://127.0.0.1:3002"},
}
VALIDATOR = Draft202012Validator(schema())


def file(**members: Any) -> dict[str, Any]:
    return {"upstreams": UPSTREAMS, **members}


def endpoint(**members: Any) -> dict[str, Any]:
    return file(endpoints={"/a/:id": {"stages": [{"value": "/s"}], **members}})


def located(*stages: Any) -> dict[str, Any]:
    return endpoint(stages=list(stages))


def takes(document: Mapping[str, Any]) -> bool:
    try:
        File.model_validate_json(json.dumps(document))
    except ValidationError:
        return False
    return True


GOOD: list[dict[str, Any]] = [
    file(),
    {"upstreams": {"only": {"url": "https://api.example", "caFile": "ca.pem"}}},
    {"upstreams": {"v6": {"url": "http://[::1]:80/"}}},
    file(**{"$schema": "./gateway.schema.json"}),
    *[file(defaultMode=mode, endpointMode={"/api/portfolio/strategies": mode}) for mode in ("off", "warn", "enforce")],
    *[file(enforcementPercent=percent) for percent in (0, 0.01, 33, 100.0)],
    *[file(enforcementKey=key) for key in ("requestId", "fundId", "header:X-Tenant")],
    file(routes=[{"prefix": "/API", "upstream": "portfolio"}]),
    file(vocabulary={"canonical": ["one"], "aliases": {}, "acceptAliases": True}),
    located({"keys": ""}, {"each": "/a/*/b", "field": "f", "weight": "w"}, {"value": "/~0~1"}, {"query": "q"}),
    located({"keys": "/a", "required": True}),
    *[endpoint(fundId=fund) for fund in ({"path": "id"}, {"query": "q"}, {"body": "/a/0"})],
    *[endpoint(operation=operation) for operation in ("read", "write")],
    endpoint(enforcementPercent=0, weightTolerance=0, autoDemote=True),
    file(limits={"maxBodyBytes": 1, "drainSeconds": 0, "headerTimeoutSeconds": 0.5}, metrics={"maxFunds": 0}),
]


@pytest.mark.parametrize("document", GOOD, ids=json.dumps)
def test_good_file_is_taken_by_model_and_schema(document: dict[str, Any]) -> None:
    """Whatever is documented as allowed is taken, by the model and by the published schema."""
    assert takes(document)
    assert VALIDATOR.is_valid(document)


def each(member: str, *values: Any) -> list[dict[str, Any]]:
    return [file(**{member: value}) for value in values]


BAD: list[Any] = [
    *[{}, {"upstreams": {}}, {"upstreams": None}, {"upstreams": {"a": {}}}, {"upstreams": {"": {"url": "http://a"}}}],
    *each("defaultMode", "Warn", "", None, 1, True, ["warn"]),
    *each("endpointMode", None, [], {"/api/portfolio/strategies": "on"}),
    *each("enforceWriteOnly", 0, 1, "true", None),
    *each("dryRun", 0, 1, "false", None),
    *each("enforcementPercent", "10", True, None, -0.01, 100.01, [10]),
    *each("enforcementKey", "", "header:", "header:X Y", "requestid", "xfundId", 1),
    *each("routes", [], {}, [1], [{"prefix": "/"}], [{"prefix": "api", "upstream": "portfolio"}]),
    *each("vocabulary", None, [], {"canonical": []}, {"canonical": "seed"}, {"aliases": ["a"]}),
    *each("vocabulary", {"canonical": [1]}, {"aliases": {"a": 1}}, {"acceptAliases": 1}),
    *each("limits", None, {"maxBodyBytes": 0}, {"maxBodyBytes": 2**60}, {"maxBodyBytes": 1.5}),
    *each("limits", {"maxBodyBytes": True}, {"heldBytes": "1"}, {"maxHeadBytes": 1023}),
    *[
        file(limits=value)
        for value in ({"drainSeconds": -1}, {"headerTimeoutSeconds": 0}, {"connectTimeoutSeconds": "2"})
    ],
    *each("metrics", None, {"maxFunds": -1}, {"maxFunds": 1.5}, {"maxFunds": 10**30}),
    *[file(unknown=1), file(limits={"x": 1}), file(metrics={"x": 1}), file(vocabulary={"x": 1}), endpoint(x=1)],
    file(upstreams={"a": {"url": "http://a", "x": 1}}),
    *[located(), *map(located, [None, 5, {}, "x", {"keys": "/a", "value": "/b"}, {"each": "/a"}, {"query": ""}])],
    *[
        located({"keys": "/a", "weight": "w"}),
        located({"value": "/a", "required": 1}),
        located({"each": "/a", "field": ""}),
    ],
    *[endpoint(fundId=fund) for fund in ({}, {"path": "id", "query": "q"}, {"path": ""}, {"header": "x"}, "id")],
    *[
        endpoint(operation="reed"),
        endpoint(enforcementPercent=101),
        endpoint(weightTolerance=-1),
        endpoint(autoDemote=0),
    ],
]


@pytest.mark.parametrize("document", BAD, ids=json.dumps)
def test_bad_file_is_refused_by_model_and_schema(document: Any) -> None:
    """Unknown members, wrong types without any coercion, and numbers out of range are refused, by both."""
    assert not takes(document)
    assert not VALIDATOR.is_valid(document)


# What a schema in JSON cannot say; the model does.
ONLY_THE_MODEL: list[dict[str, Any]] = [
    *[located({"keys": pointer}) for pointer in ("a", "/a~2", "~")],
    endpoint(fundId={"body": "/*"}),
    endpoint(fundId={"body": "a"}),
    endpoint(fundId={"path": None}),
    *[
        file(upstreams={"a": {"url": url}})
        for url in (
            *["", "a", "ftp://a", "//a", "http://", "http:///x", "http://a/x", "http://a?x", "http://a#x"],
            *["http://u:p@a", "http://a:0", "http://a:99999", "http://a:b", "http://a b", "http://a\n", "http://[::1"],
        )
    ],
]


@pytest.mark.parametrize("document", ONLY_THE_MODEL, ids=json.dumps)
def test_texts_of_wrong_form_are_refused(document: dict[str, Any]) -> None:
    """A pointer that is none, and an address that is no plain http or https origin, are refused."""
    assert not takes(document)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("member", ["enforcementPercent", "limits"])
def test_numbers_must_be_finite(text: str, member: str) -> None:
    """A number that is none, or has no end, is refused."""
    value = text if member == "enforcementPercent" else f'{{"drainSeconds": {text}}}'
    with pytest.raises(ValidationError, match=r"finite|greater|less"):
        File.model_validate_json(f'{{"upstreams": {{"a": {{"url": "http://a"}}}}, "{member}": {value}}}')


def test_file_is_frozen() -> None:
    """A file that was read cannot be changed."""
    made = File.model_validate_json(json.dumps(file()))
    with pytest.raises(ValidationError, match="frozen"):
        made.dry_run = True  # type: ignore[misc]  # that is what is tried


def test_schema_is_valid_and_describes_every_member() -> None:
    """The schema is one of draft 2020-12, names every top-level member, and says which ones are needed."""
    Draft202012Validator.check_schema(schema())
    top = schema()
    assert top["required"] == ["upstreams"]
    assert set(top["properties"]) == {field.alias or name for name, field in File.model_fields.items()}
    assert top["additionalProperties"] is False
