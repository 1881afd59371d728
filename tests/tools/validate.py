"""Asks what platforms publish about rendered files: run by the Python of .cache/tools/validators.

Each line of standard input is `{"kind": ..., "texts": [...]}`, and is answered by a line: a list of problems as JSON.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# Its imports are in an environment of its own.

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

KUBERNETES = ("1.32", "1.35", "1.37")


def kubernetes(texts: list[str]) -> Iterator[str]:
    """Yield what the strict schemas of three releases refuse; every document once."""
    import kubernetes_validate
    import yaml
    from kubernetes_validate import utils

    # It reads the same megabyte of schemas anew for every document.
    if not hasattr(utils.schema_contents, "cache_info"):
        utils.schema_contents = cache(utils.schema_contents)
    documents = {json.dumps(one): one for text in texts for one in yaml.safe_load_all(text)}
    for version in KUBERNETES:
        for document in documents.values():
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{version}: {document.get('kind')}: {error}"


def cloudrun(texts: list[str]) -> Iterator[str]:
    """Yield what Google's discovery document does not know, annotations of the wrong kind of object included."""
    import jsonschema
    import yaml

    definitions, allowed = _discovered()
    for text in texts:
        document = yaml.safe_load(text)
        whole = {"$defs": definitions, "$ref": f"#/$defs/{document['kind']}"}
        for error in jsonschema.Draft202012Validator(whole).iter_errors(document):
            yield f"{document['kind']} {list(error.path)}: {error.message}"
        template = document["spec"]["template"]
        inner = "Revision" if document["kind"] == "Service" else "Execution"
        for kind, metadata in ((document["kind"], document["metadata"]), (inner, template["metadata"])):
            for name in metadata.get("annotations", {}):
                kinds = allowed.get(name, "").split(", ")
                if kind not in kinds and "All resources" not in kinds:
                    yield f"{kind}: annotation {name} is for {kinds}"


@cache
def _discovered() -> tuple[dict[str, Any], dict[str, str]]:
    """Return the schemas of Cloud Run, and which annotation is for which kinds of object."""
    import googleapiclient

    folder = Path(str(googleapiclient.__file__)).parent / "discovery_cache" / "documents"
    schemas = json.loads((folder / "run.v1.json").read_text())["schemas"]
    described = schemas["ObjectMeta"]["properties"]["annotations"]["description"]
    allowed = dict(re.findall(r"`([\w./-]+)`: ([\w, ]+)", described))
    return {name: _strict(schema) for name, schema in schemas.items()}, allowed


def _strict(schema: Any) -> Any:
    """Return a schema of the discovery format as JSON Schema that knows no other members."""
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    if schema.get("format") in ("int64", "uint64"):
        return {"type": ["string", "integer"]}
    for key in ("type", "enum", "pattern"):
        if key in schema and schema[key] != "any":
            found[key] = schema[key]
    if "properties" in schema:
        found["properties"] = {name: _strict(one) for name, one in schema["properties"].items()}
    if "items" in schema:
        found["items"] = _strict(schema["items"])
    if schema.get("type") == "object":
        found["additionalProperties"] = _strict(schema.get("additionalProperties", False))
    return found


CALLS = {
    "task-definition": ("ecs", "RegisterTaskDefinition"),
    "service": ("ecs", "CreateService"),
    "scalable-target": ("application-autoscaling", "RegisterScalableTarget"),
    "scaling-cpu": ("application-autoscaling", "PutScalingPolicy"),
    "scaling-memory": ("application-autoscaling", "PutScalingPolicy"),
}


def botocore(texts: list[str]) -> Iterator[str]:
    """Yield what AWS's own models refuse; each text is `{"file": ..., "input": ...}`."""
    import botocore.validate

    for text in texts:
        one = json.loads(text)
        shape = _shape(*CALLS[one["file"]])
        report = botocore.validate.ParamValidator().validate(one["input"], shape).generate_report()
        if report:
            yield f"{one['file']}: {report}"
        yield from (f"{one['file']}: {problem}" for problem in _outside(one["input"], shape, ""))


@cache
def _shape(service: str, operation: str) -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape


def _outside(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield values that are none of an enumeration's, and texts that a pattern refuses: botocore looks at neither."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _outside(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for place, inner in enumerate(value):
            yield from _outside(inner, shape.member, f"{path}[{place}]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            yield from _outside(inner, shape.value, f"{path}.{name}")
    elif shape.type_name == "string" and getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value!r} is none of {shape.enum}"


def cloudformation(texts: list[str]) -> Iterator[str]:
    """Yield what cfn-lint says, warnings included."""
    from cfnlint.api import lint

    for text in texts:
        for match in lint(text, regions=["us-east-1"]):
            yield f"{match.rule.id} {match.path}: {match.message}"


def promql(texts: list[str]) -> Iterator[str]:
    """Yield expressions that are none."""
    import promql_parser

    for text in texts:
        try:
            promql_parser.parse(text)
        except ValueError as error:
            yield f"{text}: {error}"


def gixy(texts: list[str]) -> Iterator[str]:
    """Yield what gixy says of configurations of nginx: the plugin, how bad it is, and the lines it means."""
    from gixy.core.config import Config
    from gixy.core.manager import Manager

    for text in texts:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file, Manager(Config()) as manager:
            file.write(text)
            file.flush()
            with Path(file.name).open("rb") as opened:
                manager.audit(file.name, opened, is_stdin=False)
            for plugin in manager.auditor.plugins:
                for issue in plugin.issues:
                    where = "; ".join(str(one).strip() for one in issue.directives)
                    severity, summary = issue.severity or plugin.severity, issue.summary or plugin.summary
                    yield f"{plugin.name} {severity}: {summary}: {where}"


VALIDATORS = {
    "kubernetes": kubernetes,
    "cloudrun": cloudrun,
    "botocore": botocore,
    "cloudformation": cloudformation,
    "promql": promql,
    "gixy": gixy,
}


def main() -> None:
    """Answer questions until there are no more."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(list(VALIDATORS[asked["kind"]](asked["texts"]))), flush=True)


if __name__ == "__main__":
    main()
