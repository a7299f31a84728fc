"""Static files: names that change with the content, compressed once, and asked for once."""

import gzip
import os
import re

import pytest

from mm import config, static_files

PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip, br"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A static folder of the test's own."""
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "font.woff2").write_bytes(b"font" * 500)
    (tmp_path / "app.css").write_text(
        '@font-face { src: url("vendor/font.woff2") format("woff2") }\n'
        "a { mask: url(#wave); background: url(data:image/svg+xml,x), url(/posters/x.png) }\n" * 50
    )
    monkeypatch.setattr(static_files, "FOLDER", tmp_path)
    return tmp_path


def address(app, name):
    with app.test_request_context():
        return app.url_for("static", filename=name)


def test_a_page_names_its_files_by_their_content(client, alice):
    text = client.get("/login").text
    addresses = re.findall(r'(?:src|href|data-local)="(/static/[^"#]+)', text)
    assert len(addresses) >= 6
    for found in addresses:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", found), found
        answer = client.get(found)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_the_local_copy_of_htmx_is_the_file_of_its_name(client, alice):
    found = re.search(r'data-local="([^"]+)"', client.get("/login").text)[1]
    assert found.startswith("/static/vendor/htmx.min.")
    kept = (config.ROOT / "static/vendor/htmx.min.js").read_bytes()
    assert client.get(found, headers=PLAIN).data == kept


def test_another_content_is_another_name(app, client, folder):
    (folder / "app.js").write_text("one();")
    before = address(app, "app.js")
    (folder / "app.js").write_text("two();")
    os.utime(folder / "app.js", (1, 1))
    after = address(app, "app.js")
    assert before != after
    assert client.get(after).text == "two();"


def test_an_old_name_gives_what_is_there_now_and_is_not_kept(client, folder):
    (folder / "app.js").write_text("two();")
    answer = client.get("/static/app.0123456789ab.js")
    assert (answer.text, answer.headers["Cache-Control"]) == ("two();", "no-cache")


def test_a_plain_name_is_asked_about_each_time(client):
    answer = client.get("/static/manifest.webmanifest")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.mimetype == "application/manifest+json"
    known = {"If-None-Match": answer.headers["ETag"]}
    again = client.get("/static/manifest.webmanifest", headers=known)
    assert (again.status_code, again.data) == (304, b"")


def test_a_style_sheet_names_its_fonts_by_their_content(app, client, folder):
    text = client.get("/static/app.css").text
    font = re.search(r'url\("(vendor/font\.[0-9a-f]{12}\.woff2)"\)', text)[1]
    answer = client.get(f"/static/{font}", headers=GZIP)
    assert answer.data == b"font" * 500
    assert "immutable" in answer.headers["Cache-Control"]
    for untouched in ("url(#wave)", "url(data:image/svg+xml,x)", "url(/posters/x.png)"):
        assert untouched in text


def test_the_fonts_of_our_style_sheet_are_there(client):
    text = client.get("/static/css/app.css", headers=PLAIN).text
    fonts = re.findall(r'url\("\.\./(vendor/[^"]+)"\)', text)
    assert fonts
    for font in fonts:
        assert "immutable" in client.get(f"/static/{font}").headers["Cache-Control"]


def test_a_style_sheet_is_sent_with_those_it_imports_in_its_place(app, client, folder):
    (folder / "app.css").write_text('/* The order. */\n@import "one.css";\n@import "two.css";\n')
    (folder / "one.css").write_text("a {\n  color: red;\n}\n")
    (folder / "two.css").write_text("/* Two\n   lines. */\nb {\n  color: blue;\n}\n")
    before = address(app, "app.css")
    assert " ".join(client.get(before).text.split()) == "a { color: red; } b { color: blue; }"
    (folder / "two.css").write_text("b {\n  color: green;\n}\n")
    after = address(app, "app.css")
    assert after != before
    assert "green" in client.get(after).text


def test_the_comments_of_our_scripts_are_not_sent_and_the_others_are_left_alone(client, folder):
    script = 'go("http://a"); // here\n  // Why.\n  go(`/* b */`);\n'
    (folder / "app.js").write_text(script)
    (folder / "vendor" / "other.js").write_text(script)
    assert client.get("/static/app.js").text == 'go("http://a"); // here\n  go(`/* b */`);\n'
    assert client.get("/static/vendor/other.js").text == script


def test_our_style_sheets_and_scripts_are_small(app, client):
    def sent(name):
        return len(client.get(address(app, name), headers=GZIP).data)

    assert sent("css/app.css") < 16 * 1024
    assert sum(sent(f"js/{path.name}") for path in (config.ROOT / "static/js").iterdir()) < 8 * 1024


def test_the_two_writings_of_the_dark_colours_are_the_same():
    text = (config.ROOT / "static/css/tokens.css").read_text()
    dark = r"\{(\s+color-scheme: dark;.*?)\n *\}"
    by_system, on_demand = (
        block.replace("\\", "").split() for block in re.findall(dark, text, re.DOTALL)
    )
    assert by_system == on_demand


def test_our_style_sheets_have_one_declaration_a_line_and_no_long_line():
    for path in (config.ROOT / "static/css").glob("*.css"):
        for line in path.read_text().splitlines():
            assert len(line) <= 100, (path.name, line)
            assert line.count(";") <= 1 or "url(" in line, (path.name, line)


def test_text_is_compressed_for_who_takes_that(app, client):
    found = address(app, "css/app.css")
    small, plain = client.get(found, headers=GZIP), client.get(found, headers=PLAIN)
    assert small.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(small.data) == plain.data
    assert len(small.data) < len(plain.data) / 3
    assert small.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert small.headers["ETag"] == plain.headers["ETag"]


def test_a_compressed_copy_is_made_once(app, client, folder, monkeypatch):
    (folder / "app.js").write_text("one();" * 500)
    made, compress = [], gzip.compress

    def count(*arguments, **options):
        made.append(1)
        return compress(*arguments, **options)

    monkeypatch.setattr(static_files.gzip, "compress", count)
    for _ in range(3):
        assert client.get(address(app, "app.js"), headers=GZIP).status_code == 200
    assert len(made) == 1


def test_pictures_and_fonts_are_not_compressed_again(client):
    for name in ("icon-192.png", "vendor/figtree/latin.woff2"):
        answer = client.get(f"/static/{name}", headers=GZIP)
        assert "Content-Encoding" not in answer.headers
        assert "Vary" not in answer.headers


@pytest.mark.parametrize(
    "name", ["", ".", "vendor", "../README.md", "..%2FREADME.md", "/etc/passwd", "none.css", "a\0"]
)
def test_what_is_no_static_file_is_not_found(client, name):
    assert client.get(f"/static/{name}").status_code == 404


def test_a_page_is_compressed_for_who_takes_that(page):
    plain, small = page.get("/account", headers=PLAIN), page.get("/account", headers=GZIP)
    assert gzip.decompress(small.data) == plain.data
    assert small.headers["Content-Encoding"] == "gzip"
    assert {"Accept-Encoding", "HX-Request-Type"} <= set(plain.vary)
    assert int(small.headers["Content-Length"]) == len(small.data)
