# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""Check recorded HTTP exchanges against the Jira Cloud v3 and GitHub REST contracts.

usage: check.py [--partial-responses] FILE.jsonl [FILE.jsonl ...]

Each line: {"service": "jira"|"github", "method": "POST", "url": "https://..." or "path": "/...",
"query": {...}, "headers": {...}, "body": ..., "status": 201, "response": ...}. From query on all
are optional: a response left out is not checked, a null one means "empty body". Prints one line
per violation, then 'N exchanges, N violations'; exit 1 on violations. --partial-responses: do not
insist on required members in responses (hand-written fakes). In tests: check_exchange(exchange).
Needs jsonschema, referencing, openapi-schema-validator; see README.md and overlay.json.
"""
import json
import re
import sys
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import Draft4Validator
from jsonschema.exceptions import best_match
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

MULTI = {"path", "ref", "branch", "basehead"}  # path parameters that may contain '/'
GDPR = {"username", "key"}  # query parameters the Jira spec still lists; the service refuses them


@lru_cache(maxsize=None)
def load(name):
    return json.loads((Path(__file__).resolve().parent / name).read_text(encoding="utf-8"))


def merge(target, patch):
    """JSON Merge Patch (RFC 7386): null removes a member, arrays are replaced."""
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        out[key] = merge(out.get(key), value) if isinstance(value, dict) else value
    return {key: value for key, value in out.items() if value is not None}


def normalise(node, partial):
    """Make the published schemas checkable: nullable unions and enums, discriminators."""
    if isinstance(node, list):
        return [normalise(item, partial) for item in node]
    if not isinstance(node, dict):
        return node
    out = {k: v if k in ("example", "examples") else normalise(v, partial) for k, v in node.items()}
    if isinstance(out.get("oneOf"), list) and (partial or "discriminator" in out):
        out["anyOf"] = out.pop("oneOf")
    out.pop("discriminator", None)
    if partial and isinstance(out.get("required"), list):
        del out["required"]
    if out.get("nullable") is True:
        if isinstance(out.get("enum"), list):
            out["enum"] = [*out["enum"], None]
        if out.keys() & {"oneOf", "anyOf", "allOf", "$ref"}:
            return {"anyOf": [{k: v for k, v in out.items() if k != "nullable"}, {"enum": [None]}]}
    return out


@lru_cache(maxsize=None)
class Contract:
    def __init__(self, name, partial):
        self.name, uri = name, f"urn:{name}"
        spec = normalise(merge(load(f"{name}.openapi.json"), load("overlay.json")[name]), partial)
        spec = json.loads(json.dumps(spec).replace('"$ref": "#', f'"$ref": "{uri}#'))
        self.registry = Registry().with_resource(uri, Resource(spec, DRAFT202012))
        self.paths, self.routes = spec["paths"], []
        for template in sorted(self.paths, key=lambda t: (-len(re.sub(r"\{\w+\}", "", t)), t)):
            names = re.findall(r"\{(\w+)\}", template)
            pattern = re.sub(r"\\{(\w+)\\}", lambda m: "(.+)" if m[1] in MULTI else "([^/]+)", re.escape(template))
            self.routes.append((re.compile(pattern.replace("/contents/(.+)", "/contents/?(.*)")), template, names))

    def find(self, method, path):
        """The most literal template for this path, and the values of its parameters."""
        found = [(t, dict(zip(names, m.groups()))) for p, t, names in self.routes if (m := p.fullmatch(path))]
        return next((one for one in found if method in self.paths[one[0]]), found[0] if found else (None, {}))

    def deref(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node = self.registry.resolver().lookup(node["$ref"]).contents
        return node

    def errors(self, schema, value, validator=OAS30ReadValidator):
        found = validator(schema, registry=self.registry).iter_errors(value)
        return list(dict.fromkeys(brief(best_match([error])) for error in found))


def brief(error):
    text, where = error.message, "/".join(map(str, error.absolute_path)) or "(top)"
    return f"{where}: {text if len(text) < 200 else text[:120] + ' ... ' + text[-70:]}"


def decode(value):
    """A JSON text becomes its value; anything else is returned as it is."""
    try:
        return json.loads(value) if value.strip() else None
    except (AttributeError, ValueError):
        return value


def adf_text(node):
    return node.get("text", "") + "".join(map(adf_text, node.get("content", [])))


def adf_errors(node, where):
    """Validate every ADF document found anywhere inside node."""
    if isinstance(node, dict) and node.get("type") == "doc":
        error = best_match(Draft4Validator(load("adf.schema.json")).iter_errors(node))
        if error is not None or len(adf_text(node)) > 32767:
            yield f"{where}: not a valid ADF document: {brief(error) if error else 'text over 32,767 characters'}"
    elif isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from adf_errors(value, f"{where}/{key}")


def drop_nulls(node):
    if isinstance(node, dict):
        return {k: drop_nulls(v) for k, v in node.items() if v is not None}
    return [drop_nulls(v) for v in node] if isinstance(node, list) else node


def pairs(query):
    if isinstance(query, str):
        query = parse_qsl(query, keep_blank_values=True)
    for key, value in query.items() if isinstance(query, dict) else query or ():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                yield key, one if isinstance(one, str) else json.dumps(one)


def check_params(spec, params, given):
    for p in params:
        place, name = p["in"], p["name"].lower() if p["in"] == "header" else p["name"]
        schema, values = spec.deref(p["schema"]), given[place].get(name, [])
        if p.get("required") and not values and (place != "header" or given["header"]):
            yield f"{place}: required parameter {p['name']!r} is missing"
        if schema.get("type") == "array":
            values, schema = [v for text in values for v in text.split(",")], schema.get("items", {})
        elif len(values) > 1:
            yield f"{place} {name}: given {len(values)} times"
        for value in values:  # text: right as it is, or as the JSON value it spells
            if spec.errors(schema, value):
                yield from (f"{place} {name}: {error}" for error in spec.errors(schema, decode(value))[:1])
    known = {p["name"] for p in params if p["in"] == "query"} - (GDPR if spec.name == "jira" else set())
    yield from (f"query: unknown parameter {name!r}" for name in given["query"] if name not in known)


def check_body(spec, op, body, headers):
    expected = spec.deref(op.get("requestBody", {"content": {}}))
    if not expected["content"] and body not in (None, {}):
        yield "body: the operation takes no body"
    if "application/json" not in expected["content"] or body is None:
        yield from ["body: required"] if expected.get("required") and body is None else []
        return
    schema = expected["content"]["application/json"].get("schema", {})
    yield from (f"body/{error}" for error in spec.errors(schema, body, OAS30WriteValidator))
    listed = spec.deref(schema).get("properties")
    if listed and isinstance(body, dict):
        yield from (f"body: unknown member {key!r}" for key in body if key not in listed)
    if "json" not in headers.get("content-type", ["json"])[0]:
        yield f"headers: Content-Type {headers['content-type'][0]!r} for a JSON body"


def check_by_hand(spec, template, method, query, body):
    """Rules that a schema cannot say."""
    if spec.name == "jira":
        yield from adf_errors(body, "body")
        if "/properties/" in template and len(json.dumps(body).encode()) > 32768:
            yield "body: an entity property value is limited to 32,768 bytes"
        for one in (body.get("issueUpdates") or [body]) if isinstance(body, dict) else []:
            for key in set(one.get("fields") or ()) & set(one.get("update") or ()):
                yield f"body: {key!r} is in both fields and update"
    elif template.endswith("/pulls") and method == "get" and any(":" not in head for head in query.get("head", [])):
        yield "query head: must be 'owner:branch' (otherwise the filter is ignored)"
    elif template.endswith("/dispatches") and len(json.dumps(body).encode()) >= 65536:
        yield "body: the payload must be smaller than 64 KB"


def check_response(spec, template, method, ex):
    status, responses = str(ex["status"]), spec.paths[template][method]["responses"]
    expected = spec.deref(responses.get(status) or responses.get("default") or {})
    if not expected and status < "400":
        yield f"status {status} is not documented for {method.upper()} {template}"
    value = decode(ex.get("response"))
    if status in ("204", "304") and value not in (None, {}):
        yield f"response: status {status} has no body"
    media = next((m for kind, m in expected.get("content", {}).items() if kind.endswith("json")), {})
    if "response" not in ex or "schema" not in media or (value is None and status >= "400"):
        return
    checked = drop_nulls(value) if spec.name == "jira" else value  # Jira's document never says nullable
    yield from (f"response/{error}" for error in spec.errors(media["schema"], checked))
    yield from adf_errors(value, "response") if spec.name == "jira" else []


def check(ex, partial):
    name, method = ex.get("service"), str(ex.get("method", "")).lower()
    if name not in ("jira", "github"):
        yield f"unknown service {name!r}"
        return
    url, body = urlsplit(ex.get("url") or ex.get("path") or ""), decode(ex.get("body"))
    given = {"query": {}, "header": {str(k).lower(): [str(v)] for k, v in (ex.get("headers") or {}).items()}}
    for key, value in [*pairs(url.query), *pairs(ex.get("query"))]:
        given["query"].setdefault(key, []).append(value)
    # https://<site>/rest/..., https://<gateway>/ex/jira/<cloudId>/rest/...; https://<ghes>/api/v3/...
    path = re.sub(r"^.*?(?=/rest/)" if name == "jira" else r"^/api(/v3)?(?=/)", "", url.path)
    if (name, path) == ("github", "/graphql"):  # not part of the REST description
        if method != "post" or not isinstance(body, dict) or not isinstance(body.get("query"), str):
            yield "graphql: needs POST and a JSON body with a 'query' string"
        return
    spec = Contract(name, False)
    template, values = spec.find(method, path)
    op = spec.paths.get(template, {}).get(method)
    if op is None:
        yield f"{method.upper()} is not defined for {template}" if template else f"path {path} is not in the contract"
        return
    given["path"] = {key: [unquote(value)] for key, value in values.items()}
    params = [*spec.paths[template].get("parameters", []), *op.get("parameters", [])]
    yield from check_params(spec, [spec.deref(p) for p in params], given)
    yield from check_body(spec, op, body, given["header"])
    yield from check_by_hand(spec, template, method, given["query"], body)
    yield from check_response(Contract(name, partial), template, method, ex) if ex.get("status") else []


def check_exchange(ex, partial=False):
    """Return the list of violations of one recorded exchange."""
    return list(check(ex, partial))


def main(argv):
    files, partial = [a for a in argv if not a.startswith("--")], "--partial-responses" in argv
    if not files or len(files) + partial != len(argv):
        print(__doc__, file=sys.stderr)
        return 2
    lines = [(f, n, line) for f in files for n, line in enumerate(open(f, encoding="utf-8"), 1) if line.strip()]
    bad = 0
    for file, number, line in lines:
        ex = decode(line) if isinstance(decode(line), dict) else {"service": f"(no JSON object) {line[:40]}"}
        for message in check_exchange(ex, partial):
            bad += 1
            print(f"{file}:{number}: {ex.get('method')} {ex.get('url') or ex.get('path')}: {message}")
    print(f"{len(lines)} exchanges, {bad} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
