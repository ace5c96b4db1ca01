"""/docs: the API's description as one plain page.

The usual page for it runs a script of some other server in the name of this one, which may change
what is armed; and a box in a cellar cannot fetch it. `/openapi.json` is there for tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; margin: 2rem 0 0 }
table { border-collapse: collapse; margin: .5rem 0 }
td { padding: .1rem .8rem .1rem 0; vertical-align: top }
td:first-child, td:nth-child(2) { font-family: ui-monospace, monospace; white-space: nowrap }
"""


def page(schema: Mapping[str, Any]) -> str:
    """The description of an API as HTML.

    schema: its OpenAPI.
    """
    models = schema.get("components", {}).get("schemas", {})
    body = [f"<h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>"]
    body.append(f"<p>{escape(schema['info'].get('description', ''))}")
    body.append('For tools: <a href="/openapi.json">openapi.json</a>.</p>')
    for path, methods in schema["paths"].items():
        for method, what in methods.items():
            body += _route(f"{method.upper()} {path}", what)
    for name in models:
        body += _model(name, models[name])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>oddframe: API</title>'
        f"<style>{STYLE}</style>{''.join(body)}</html>"
    )


def _route(head: str, what: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{escape(head)}</h2><p>{escape(what.get('description', ''))}</p><table>"
    for value in what.get("parameters", ()):
        yield _row(value["name"], _kind(value["schema"]), value.get("description", ""))
    sent = what.get("requestBody", {}).get("content", {})
    for kind, value in sent.items():
        yield _row("body", _kind(value.get("schema", {})) or kind, "")
    wrong = list[str]()
    for status, value in what["responses"].items():
        for kind, content in (value.get("content") or {"": {}}).items():
            shown = _kind(content.get("schema", {})) or kind
            if shown == "Problem":
                wrong.append(status)
            else:
                yield _row(f"→ {status}", shown, "")
    if wrong:
        yield _row("→", "Problem", " ".join(wrong))
    yield "</table>"


def _model(name: str, model: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{escape(name)}</h2><p>{escape(model.get('description', ''))}</p><table>"
    for field, value in model.get("properties", {}).items():
        yield _row(field, _kind(value), value.get("description", ""))
    yield "</table>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(' '.join(c.split()))}</td>" for c in cells) + "</tr>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema.get("format") or schema.get("type", ""))
    return f"list of {_kind(schema['items'])}" if "items" in schema else kind
