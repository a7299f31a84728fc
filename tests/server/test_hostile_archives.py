"""Whatever a ZIP holds, it is refused in plain words or read as it is, and leaves nothing."""

import json
import shutil
import sqlite3
import stat
import struct
import zipfile
import zlib
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from mm import config, disk, schema
from mm.errors import InvalidError, NoRoomError, TooLargeError, UserError
from mm.services.server.archive_format import unpacking, zip_reading
from tests.server import archives

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("scratch_is_empty")]
FLIPPED_MEMBERS = ("metadata.json", "database.db", "settings.json", "posters/w342/one.jpg")
MB = 2**20


def refuse(path, why="", error=InvalidError):
    """Checking and unpacking it fail alike; returns the message."""
    with pytest.raises(error) as refused:
        unpacking.check(path)
    message = refused.value.message
    assert why in message
    if error is InvalidError and "newer version" not in message:
        assert message.startswith("Backup file is corrupted: ")
        assert message.endswith(".")
    folder = path.with_name("refused")
    folder.mkdir()
    with pytest.raises(error):
        unpacking.unpack(path, folder)
    assert archives.left_in(folder) == []
    folder.rmdir()
    return message


def written(tmp_path, content):
    path = tmp_path / "hostile.zip"
    path.write_bytes(content)
    return path


@pytest.fixture
def members(archive):
    return archives.members_of(archive)


@pytest.fixture
def small(server, tmp_path):
    """Without a database: quickly read."""
    path = tmp_path / "small.zip"
    archives.add_poster("w342/one.jpg", b"\xff\xd8\xff tiny")
    archives.make(path, database=False)
    return path


# What is no ZIP, or was cut off.


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"not a zip" * 1000, b"PK\x05\x06", b"SQLite format 3\0" + bytes(5000)]
)
def test_what_is_no_zip_is_refused(app, tmp_path, content):
    refuse(written(tmp_path, content), "it is not a ZIP file, or its end is missing")


def test_an_empty_zip_and_a_foreign_one_are_no_backups(app, tmp_path):
    refuse(written(tmp_path, archives.zip_bytes()), "it has no metadata.json")
    refuse(written(tmp_path, archives.zip_bytes(("a.txt", b"a"))), "it has no metadata.json")


def test_a_zip_cut_off_anywhere_is_refused(small):
    data = small.read_bytes()
    for length in range(0, len(data), 7):
        small.write_bytes(data[:length])
        refuse(small)


def test_a_zip_with_something_before_or_after_it_is_refused(small):
    data = small.read_bytes()
    for changed in (b"x" + data, data + b"x", data + data):
        small.write_bytes(changed)
        refuse(small)


def test_a_zip_that_lacks_a_piece_in_the_middle_is_refused(archive):
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2] + data[len(data) // 2 + 100 :])
    refuse(archive)


# Flipped bits.


@pytest.mark.parametrize("name", FLIPPED_MEMBERS)
def test_a_flipped_bit_in_a_member_is_found(archive, members, tmp_path, name):
    """Stored, for some bits of deflated bytes make no difference."""
    archives.write(archive, members, method=zipfile.ZIP_STORED)
    with zipfile.ZipFile(archive) as file:
        place = file.getinfo(name).header_offset + 30 + len(name)
        size = file.getinfo(name).file_size
    data = archive.read_bytes()
    for offset in (0, size // 2, size - 1):
        changed = bytearray(data)
        changed[place + offset] ^= 0x10
        archive.write_bytes(changed)
        refuse(archive, f"{name} is damaged")


def test_a_zip_with_any_one_bit_flipped_is_refused_or_holds_the_same(small, tmp_path):
    unpacking.check(small)
    data = small.read_bytes()
    good = archives.members_of(small)
    refused = 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        small.write_bytes(changed)
        folder = tmp_path / "out"
        folder.mkdir()
        try:
            unpacking.unpack(small, folder)
            files = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            assert files == {name: good[name] for name in good if name != "metadata.json"}
        except InvalidError:
            assert archives.left_in(folder) == []
            refused += 1
        shutil.rmtree(folder)
    # The others are times, versions, and what stands after the bytes of a member.
    assert refused > len(data) * 0.6


def test_random_bytes_in_the_structures_raise_nothing_else(small):
    """Whole numbers at their limits, where sizes, counts and offsets stand."""
    data = small.read_bytes()
    start = data.index(b"PK\x01\x02")
    for width, value in ((2, 0xFFFF), (4, 0xFFFFFFFF), (4, 0x7FFFFFFF), (8, 2**64 - 1)):
        for place in (*range(40), *range(start, len(data) - width)):
            changed = bytearray(data)
            changed[place : place + width] = value.to_bytes(width, "little")
            small.write_bytes(changed)
            with suppress(UserError):
                unpacking.check(small)


# Members.


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "posters/../../evil",
        "posters/..",
        "/etc/passwd",
        "posters//a.jpg",
        "posters/./a.jpg",
        "posters\\..\\evil.jpg",
        "C:evil",
        "posters/C:/evil.jpg",
        "posters/a\nb.jpg",
        "posters/a\x1bb.jpg",
        "posters/\u202egpj.jpg",
        "posters/" + "a" * 300,
        "posters/" + "a/" * 300 + "b",
    ],
)
def test_names_that_lead_elsewhere_are_refused(archive, members, tmp_path, name):
    refuse(archives.write(archive, members | {name: b"x"}), "name is refused")
    assert not list(tmp_path.parent.glob("**/evil*"))


def test_a_name_with_a_zero_byte_is_refused(archive, members):
    archives.write(archive, members | {"posters/aXb.jpg": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"posters/aXb.jpg", b"posters/a\0b.jpg"))
    refuse(archive, "name is refused")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(archive, members, kind):
    info = zipfile.ZipInfo("posters/w342/link.jpg")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    add(archive, members, (info, b"/etc/passwd"))
    refuse(archive, "posters/w342/link.jpg is a link or a device")


def add(path, members, *more):
    """Members of (ZipInfo or name, content) beside `members`, all described truly."""
    names = {getattr(name, "filename", name): content for name, content in more}
    described = json.dumps(archives.described_by(members | names))
    path.write_bytes(
        archives.zip_bytes(
            ("metadata.json", described),
            *((name, data) for name, data in members.items() if name != "metadata.json"),
            *more,
        )
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("posters/a.jpg", "posters/a.jpg"),
        ("posters/a.jpg", "posters/A.JPG"),
        ("posters/\u00e9.jpg", "posters/e\u0301.jpg"),
        ("posters/stra\u00dfe.jpg", "posters/STRASSE.jpg"),
        ("posters/a.jpg/", "posters/a.jpg"),
    ],
)
def test_names_that_come_twice_are_refused(archive, members, first, second):
    content = b"" if first.endswith("/") else b"x"
    add(archive, members, (first, content), (second, b"x"))
    refuse(archive, "is there twice")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_description_is_refused(archive, members):
    add(archive, members, ("metadata.json", b"{}"))
    refuse(archive, "metadata.json is there twice")


def test_a_file_that_is_also_a_folder_is_refused(archive, members):
    add(archive, members, ("posters/a", b"x"), ("posters/a/b.jpg", b"x"))
    refuse(archive, "lies in what is not a folder")


def test_an_encrypted_member_is_refused(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    refuse(archive, "metadata.json is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_unknown_method_of_packing_is_refused(archive, members, method):
    archives.write(archive, members, method=method)
    refuse(archive, "is packed by an unknown method")


def test_more_members_than_the_limit_are_refused(archive, members, monkeypatch):
    monkeypatch.setattr(zip_reading, "MEMBERS_MAX", 3)
    refuse(archive, "it has more than 3 members")


def test_members_that_share_bytes_are_refused(archive, members):
    """The list names the bytes of one member twice: a way to pack a bomb very small."""
    add(archive, members, ("posters/a.jpg", b"same"), ("posters/b.jpg", b"same"))
    data = bytearray(archive.read_bytes())
    first = data.index(b"PK\x03\x04\x14", data.index(b"posters/w342/one.jpg"))
    listed = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, listed + 42, first)
    archive.write_bytes(data)
    refuse(archive, "shares bytes with another member")


@pytest.mark.parametrize("name", ["evil.sh", "database.db-wal", "posters.txt", "Settings.json"])
def test_a_member_of_another_name_is_refused(archive, members, name):
    if name == "Settings.json":
        members.pop("settings.json")
    refuse(archives.write(archive, members | {name: b"{}"}))


@pytest.mark.parametrize("name", ["__MACOSX/._database.db", ".DS_Store", "posters/Thumbs.db"])
def test_what_a_desktop_computer_adds_is_ignored_with_a_warning(archive, members, tmp_path, name):
    described = archives.described_by(members)
    archives.write(archive, members | {name: b"x"}, described)
    folder = tmp_path / "out"
    folder.mkdir()
    checked = unpacking.unpack(archive, folder)
    assert checked.warnings == [f"Ignored, for it is no part of a backup: {name}"]
    assert not (folder / name).exists()


def test_folders_and_another_order_and_program_are_accepted(archive, members, tmp_path):
    """As after unpacking it and packing it again by hand."""
    described = members.pop("metadata.json")
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("posters/", b"")
        file.writestr("posters/w342/", b"")
        for name, content in members.items():
            file.writestr(name, content)
        file.writestr("metadata.json", described)
    assert unpacking.check(path).warnings == []


# What metadata.json says.


@pytest.mark.parametrize(
    "content", [b"[]", b"", b"null", b"{}", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": "1"}']
)
def test_a_description_that_is_none_is_refused(archive, members, content):
    add_described(archive, members, content)
    refuse(archive, "metadata.json cannot be read")


@pytest.mark.parametrize("key", ["timestamp", "app_version"])
@pytest.mark.parametrize("text", ["\x1b]0;evil\x07", "a\nb", "x" * 201, "\u202eevil"])
def test_a_text_that_cannot_be_shown_is_refused(small, key, text):
    members = archives.members_of(small)
    refuse(archives.write(small, members, {key: text}), "holds what no backup does")


def test_the_version_of_a_newer_one_is_shown_harmlessly(archive, members):
    body = json.dumps({"version": 2, "app_version": "\x1b[2Jx\r\ny"}).encode()
    add_described(archive, members, body)
    assert refuse(archive).isprintable()


def test_rows_without_a_database_are_refused(small):
    members = archives.members_of(small)
    refuse(archives.write(small, members, {"rows": {"user": -5}}), "contradicts itself")


def add_described(path, members, content):
    path.write_bytes(
        archives.zip_bytes(
            ("metadata.json", content),
            *((name, data) for name, data in members.items() if name != "metadata.json"),
        )
    )


def test_a_huge_description_is_refused_before_it_is_read_whole(archive, members):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", b" " * (3 * MB))
    refuse(archive, "metadata.json is too large")


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"database_size_bytes": 5}, "contradicts itself"),
        ({"posters_count": 7}, "contradicts itself"),
        ({"posters_size_bytes": -1}, "contradicts itself"),
        ({"version": 0}, "contradicts itself"),
        ({"settings_count": 9}, "settings.json is not what metadata.json says"),
        ({"rows": {"user": 2}}, "has other rows"),
        ({"rows": {}}, "has other rows"),
        ({"schema": "0003_notes_and_several_lists"}, "has another schema"),
        ({"members": {}}, "contradicts itself"),
        ({"created_at": "yesterday"}, "cannot be read"),
        ({"timestamp": None}, "cannot be read"),
    ],
)
def test_a_description_that_lies_is_refused(archive, members, lie, why):
    refuse(archives.write(archive, members, lie), why)


@pytest.mark.parametrize("name", ["database.db", "settings.json", "posters/w342/one.jpg"])
@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("sha256", "0" * 64, "is damaged"),
        ("sha256", "", "describes"),
        ("sha256", "A" * 64, "describes"),
        ("size_bytes", -5, "describes"),
        ("size_bytes", 10**6, "has another size"),
        ("size_bytes", 0, "has another size"),
    ],
)
def test_a_wrong_size_or_digest_of_a_member_is_refused(archive, members, name, key, value, why):
    described = archives.described_by(members)
    described["members"][name][key] = value
    sizes = {name: member["size_bytes"] for name, member in described["members"].items()}
    described["database_size_bytes"] = sizes["database.db"]
    described["posters_size_bytes"] = sizes["posters/w342/one.jpg"]
    refuse(archives.write(archive, members, described), why)


@pytest.mark.parametrize("name", ["database.db", "settings.json", "posters/w342/one.jpg"])
def test_a_member_that_is_missing_or_not_described_is_refused(archive, members, name):
    described = archives.described_by(members)
    archives.write(archive, {key: data for key, data in members.items() if key != name}, described)
    refuse(archive, f"{name} is missing")
    rest = {key: data for key, data in members.items() if key != name}
    described = archives.described_by(rest)
    if name == "database.db":
        described["rows"] = {}
    archives.write(archive, members, described)
    refuse(archive, f"metadata.json does not name {name}")


def test_a_newer_archive_is_refused_by_its_version(archive, members):
    """Of which this version cannot know what its description holds."""
    newer = "This backup was made by a newer version of Movie Manager (9.0.0). Upgrade this server"
    add_described(archive, members, b'{"version": 2, "app_version": "9.0.0", "more": []}')
    refuse(archive, newer)
    archives.write(archive, members, {"schema": "0099_more", "app_version": "9.0.0"})
    refuse(archive, newer)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1}', b"x", b"[" * 100_000])
def test_settings_that_are_none_are_refused(archive, members, content):
    refuse(archives.write(archive, members | {"settings.json": content}), "settings.json")


# Bombs.


def bomb(path, members, name, says, bytes_in_all):
    """`name` says in the ZIP and in its description to have `says` bytes, and unpacks to more."""
    deflate = zlib.compressobj(1, wbits=-15)
    packed = b"".join(deflate.compress(bytes(MB)) for _ in range(bytes_in_all // MB))
    packed += deflate.flush()
    archives.write(path, members | {name: bytes(says)})
    with zipfile.ZipFile(path) as file:
        offset = file.getinfo(name).header_offset
        old = file.getinfo(name).compress_size
    data = path.read_bytes()
    start = offset + 30 + len(name)
    listed = data.index(b"PK\x01\x02")
    changed = bytearray(data[:start] + packed + data[start + old :])
    listed += len(packed) - old
    # Its size in both places, and the place of what follows.
    struct.pack_into("<L", changed, offset + 18, len(packed))
    place = changed.index(name.encode(), listed) - 46
    struct.pack_into("<L", changed, place + 20, len(packed))
    place = listed
    while changed[place : place + 4] == b"PK\x01\x02":
        (follows,) = struct.unpack_from("<L", changed, place + 42)
        if follows > offset:
            struct.pack_into("<L", changed, place + 42, follows + len(packed) - old)
        place += 46 + sum(struct.unpack_from("<3H", changed, place + 28))
    struct.pack_into("<L", changed, changed.rindex(b"PK\x05\x06") + 16, listed)
    path.write_bytes(changed)


@pytest.mark.parametrize("name", ["database.db", "posters/w342/one.jpg"])
def test_a_bomb_is_stopped_at_the_size_that_it_says(archive, members, tmp_path, name, monkeypatch):
    says = MB // 2
    bomb(archive, members, name, says, 100 * MB)
    produced = []
    read = zip_reading._unpacked

    def count(*args):
        for piece in read(*args):
            produced.append(len(piece))
            yield piece

    monkeypatch.setattr(zip_reading, "_unpacked", count)
    refuse(archive, f"{name} unpacks to more than its size")
    # Of both runs, with what was before it.
    assert sum(produced) < 8 * MB


def test_a_size_that_no_packing_reaches_is_refused(archive, members):
    """10 GB that are said to lie in a few bytes."""
    data = bytearray(archive.read_bytes())
    place = data.index(b"settings.json", data.index(b"PK\x01\x02")) - 46
    struct.pack_into("<L", data, place + 24, 2**32 - 2)
    archive.write_bytes(data)
    refuse(archive, "settings.json gives an impossible size")


def test_more_than_the_server_permits_is_refused_before_it_is_unpacked(archive):
    config.use(replace(config.current, archive_max="0 MB"))
    refuse(archive, "and MM_ARCHIVE_MAX permits 0.0 MB", error=TooLargeError)


# Room.


def test_without_room_for_it_nothing_is_unpacked(archive, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _folder: 2**20)
    refuse(archive, "Not enough disk space: ", error=NoRoomError)


def test_a_disk_that_gets_full_while_it_is_unpacked_leaves_nothing(archive, monkeypatch):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking, "_created", fail)
    refuse(archive, "Not enough disk space: ", error=NoRoomError)


# The database.


def change(members, statements):
    """The same members, with a database that these statements changed."""
    path = config.current.data_dir.parent / "changed.db"
    path.write_bytes(members["database.db"])
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.executescript(statements)
    changed = members | {"database.db": path.read_bytes()}
    path.unlink()
    return changed


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage" * 5000, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 50_000],
)
def test_garbage_for_a_database_is_refused(archive, members, content):
    refuse(archives.write(archive, members | {"database.db": content}), "database.db")


def test_another_programs_database_is_refused(archive, members):
    path = config.current.data_dir.parent / "other.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE moz_places (id INTEGER); ")
    members["database.db"] = path.read_bytes()
    archives.write(archive, members, {"rows": {"moz_places": 0}})
    refuse(archive, "database.db is not a database of Movie Manager")


@pytest.mark.parametrize("place", [0.2, 0.4, 0.6, 0.8])
def test_a_database_with_a_damaged_page_is_refused(archive, members, place):
    data = bytearray(members["database.db"])
    begin = int(len(data) * place) // 4096 * 4096
    data[begin : begin + 4096] = b"\xa5" * 4096
    refuse(archives.write(archive, members | {"database.db": bytes(data)}), "database.db")


def test_a_database_with_loose_ends_is_refused(archive, members):
    members = change(
        members, "INSERT INTO user_setting (user_id, key, value) VALUES ('nobody', 'size', '1')"
    )
    rows = json.loads(members["metadata.json"])["rows"] | {"user_setting": 1}
    archives.write(archive, members, {"rows": rows})
    refuse(archive, "user_setting: a row refers to no user")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (
            "CREATE TRIGGER evil AFTER INSERT ON movie BEGIN DELETE FROM movie; END",
            "holds a trigger",
        ),
        ("CREATE VIEW evil AS SELECT * FROM user", "holds a view"),
        ("CREATE VIRTUAL TABLE evil USING fts5(a)", "holds a rule of its own on evil"),
        ("CREATE TABLE evil (a CHECK (a > randomblob(10)))", "holds a rule of its own on evil"),
        ("CREATE TABLE evil (a CHECK/**/(abs(a)))", "holds a rule of its own on evil"),
        ("CREATE TABLE evil (a, b AS (a + 1))", "holds a rule of its own on evil"),
        ("ALTER TABLE user ADD COLUMN b GENERATED ALWAYS AS (1)", "a rule of its own on user"),
        ("CREATE TABLE evil (a)", "has other rows"),
        ("ALTER TABLE user ADD COLUMN evil TEXT", "are not those of Movie Manager"),
        ("DROP INDEX {index}", "are not those of Movie Manager"),
        ("CREATE INDEX evil ON user (abs(created_at))", "are not those of Movie Manager"),
        ("CREATE UNIQUE INDEX evil ON user (created_at)", "are not those of Movie Manager"),
        ("DELETE FROM title", "has other rows"),
        ("INSERT INTO schema_migration VALUES (9, '0099_more', 'now')", "newer version"),
        ("DELETE FROM schema_migration WHERE name LIKE '0002%'", "has another schema"),
        ("DELETE FROM schema_migration WHERE name LIKE '0004%'", "has another schema"),
    ],
)
def test_a_database_that_is_not_as_ours_is_refused(archive, members, statement, why):
    with closing(sqlite3.connect(config.current.data_dir / "mm.db")) as database:
        (index,) = database.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL "
            "AND tbl_name = 'movie'"
        ).fetchone()
    members = change(members, statement.format(index=index))
    refuse(archives.write(archive, members), why)


def test_a_table_that_nobody_knows_is_refused_though_its_rows_are_counted(archive, members):
    members = change(members, "CREATE TABLE evil (a)")
    rows = json.loads(members["metadata.json"])["rows"] | {"evil": 0}
    archives.write(archive, members, {"rows": rows})
    refuse(archive, "the tables of database.db are not those of Movie Manager")


def test_a_migration_that_fails_on_it_is_refused(archive, members, monkeypatch, tmp_path):
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder)
    (folder / "0099_fails.py").write_text(
        "def up(migrator, db):\n    db.execute_sql('UPDATE none SET a = 1')\n"
    )
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    refuse(archive, "no such table: none")


def test_a_database_of_another_encoding_is_refused(archive, members):
    """SQLite would take its pages into the database in use."""
    path = config.current.data_dir.parent / "other.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE a (b)")
    refuse(archives.write(archive, members | {"database.db": path.read_bytes()}), "encoding")


def test_a_database_with_large_pages_is_read(archive, members):
    members = change(members, "PRAGMA page_size = 65536; VACUUM")
    unpacking.check(archives.write(archive, members))


def test_what_lies_beside_the_chosen_parts_stays(archive, tmp_path):
    """A refused archive takes nothing but what it brought."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "restore.json").write_text("{}")
    data = bytearray(archive.read_bytes())
    data[data.index(archives.JPEG) + 9] ^= 1
    archive.write_bytes(data)
    with pytest.raises(InvalidError):
        unpacking.unpack(archive, folder)
    assert archives.left_in(folder) == ["restore.json"]


def test_what_is_there_already_is_neither_replaced_nor_deleted(archive, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    unpacking.unpack(archive, folder)
    before = archives.left_in(folder)
    with pytest.raises(FileExistsError):
        unpacking.unpack(archive, folder)
    assert archives.left_in(folder) == before


def test_one_of_a_zip_of_several_parts_is_refused(small):
    data = bytearray(small.read_bytes())
    struct.pack_into("<H", data, data.rindex(b"PK\x05\x06") + 4, 1)
    small.write_bytes(data)
    refuse(small, "it is one part of several")


def test_a_comment_does_no_harm(small):
    with zipfile.ZipFile(small, "a") as file:
        file.comment = b"from my old server"
    unpacking.check(small)


def test_reading_needs_no_more_than_a_piece_at_a_time(app, tmp_path):
    """Whatever a member says."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", bytes(5 * MB))
    with (tmp_path / "a.zip").open("rb") as file:
        (entry,) = zip_reading.entries(file)
        sizes = [len(piece) for piece in zip_reading.read(file, entry)]
    assert sum(sizes) == 5 * MB
    assert max(sizes) <= zip_reading.PIECE
