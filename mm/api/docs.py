"""The API's documentation: the OpenAPI document, and a page made from it.

The page works offline and without scripts. spectree's offline pages (offapi) would bring 9 MB of
scripts and need a policy that allows inline styles.
"""

from flask import Blueprint, Response, jsonify, make_response, render_template

from mm.api import openapi

bp = Blueprint("docs", __name__, url_prefix="/docs")
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@bp.get("")
def index() -> Response:
    response = make_response(
        render_template("docs.html", document=openapi.document(), schema_words=schema_words)
    )
    response.headers["Content-Security-Policy"] = POLICY
    return response


@bp.get("/openapi.json")
def document() -> Response:
    return jsonify(openapi.document())


def schema_words(schema: dict) -> str:
    """A JSON schema in short: "array of Problem", "string or null", "merge | replace"."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(map(schema_words, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"array of {schema_words(schema.get('items', {}))}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"object of {schema_words(values)}"
    return schema.get("format") or schema.get("type", "any")
