"""The OpenAPI document tells all of the API and nothing else, and its page works without any other
host."""

import re

import msgspec
import pytest


@pytest.fixture
def schema_words(app):
    """`mm.api` reaches `mm.tasks`, which is only imported beside an app."""
    from mm.api import docs

    return docs.schema_words


@pytest.fixture
def document(client):
    return client.get("/docs/openapi.json").json


def operations(document):
    paths = document["paths"].items()
    return {
        (method.upper(), path): item for path, methods in paths for method, item in methods.items()
    }


def refs(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from refs(item)


def test_the_document_has_every_route_of_the_api_and_no_other(app, document):
    routes = {
        (method, re.sub(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert routes == set(operations(document))


def test_it_is_openapi_3_1_of_this_version(document):
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "Movie Manager"


def test_every_reference_resolves_and_every_schema_is_used(document):
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(refs(document)) - known == set()
    # spectree takes queries apart into parameters, and keeps the whole all the same.
    assert all(
        name.endswith(("Options", "Filters", "Query")) for name in known - set(refs(document))
    )


def test_every_operation_documents_its_input_and_its_answers(document):
    for (method, path), operation in operations(document).items():
        assert operation["summary"].endswith("."), path
        assert [status for status in operation["responses"] if status.startswith("2")], path
        named = set(re.findall(r"{(\w+)}", path))
        assert {item["name"] for item in operation["parameters"] if item["in"] == "path"} == named
        assert operation["tags"]
        takes_input = "requestBody" in operation or any(
            item["in"] == "query" for item in operation["parameters"]
        )
        assert ("422" in operation["responses"]) == takes_input, (method, path)


def test_every_body_has_an_example_that_its_type_takes(app, document):
    from mm.api import examples

    for example in examples.EXAMPLES:
        sent = msgspec.to_builtins(example)
        assert msgspec.to_builtins(msgspec.convert(sent, type(example))) == sent
    named = {ref.rpartition("/")[2] for ref in refs(document["paths"])}
    without = {
        name for name in named if not document["components"]["schemas"][name].get("examples")
    }
    assert without == set()


def test_operation_ids_are_unique(document):
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))


def test_all_operations_but_health_and_log_ins_need_a_token(document):
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    is_open = {
        key for key, operation in operations(document).items() if operation.get("security") == []
    }
    assert is_open == {
        ("GET", "/api/health"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/admin/login"),
        # Whoever knows the address may: a restore ends every log-in.
        ("GET", "/api/v1/system/restored/{token}"),
    }
    for key, operation in operations(document).items():
        assert key in is_open or {"401", "403", "503"} <= set(operation["responses"]), key


def test_how_a_file_is_taken_over_can_be_chosen(document):
    for path in ("/api/backup/import", "/api/backup/restore/{filename}"):
        parameters = document["paths"][path]["post"]["parameters"]
        schemas = {item["name"]: item["schema"] for item in parameters}
        assert schemas["mode"] == {"enum": ["merge", "replace"], "default": "merge"}
    assert document["paths"]["/api/backup/undo"]["post"]["requestBody"]["required"] is False


def test_an_import_is_documented_as_json_and_as_a_form(document, schema_words):
    operation = document["paths"]["/api/backup/import"]["post"]
    assert operation["requestBody"]["content"].keys() == {"application/json", "multipart/form-data"}
    answers = operation["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert [schema_words(answer) for answer in answers] == ["ImportResult", "PlanView"]


class TestPage:
    def test_it_shows_every_operation_and_schema(self, client, document):
        page = client.get("/docs").text
        assert page.count("<details>") == len(operations(document))
        assert page.count("<summary>Example") > 40
        for name in document["components"]["schemas"]:
            assert f'id="{name}"' in page

    def test_it_has_a_strict_content_security_policy_and_obeys_it(self, client):
        answer = client.get("/docs")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "<script" not in answer.text
        assert not re.search(r"style=|<style|\son\w+=", answer.text)
        linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in linked)

    def test_its_files_are_served_here_and_its_anchors_exist(self, client):
        page = client.get("/docs").text
        links = set(re.findall(r'href="([^"]+)"', page))
        anchors = {link for link in links if link.startswith("#")}
        assert all(f'id="{anchor[1:]}"' in page for anchor in anchors)
        assert {client.get(link, buffered=True).status_code for link in links - anchors} == {200}


@pytest.mark.parametrize(
    "schema, words",
    [
        ({"$ref": "#/components/schemas/Vote"}, "Vote"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"enum": ["merge", "replace"]}, "merge | replace"),
        ({"type": "array", "items": {"type": "number"}}, "array of number"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"type": "string", "format": "binary"}, "binary"),
        ({}, "any"),
    ],
)
def test_a_schema_is_described_in_short(schema_words, schema, words):
    assert schema_words(schema) == words
