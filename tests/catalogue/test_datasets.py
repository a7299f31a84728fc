"""The stand-in for the host of IMDb's datasets, where other tests do not show that it works."""

import gzip
import json
import subprocess
import sys

import pytest
import requests

from mm import config
from tests.support import datasets as stand


def test_its_files_have_the_form_of_imdbs_files(datasets):
    answer = requests.get(f"{datasets.url}/title.basics.tsv.gz", timeout=5)

    header, *lines = gzip.decompress(answer.content).decode().splitlines()
    assert header.split("\t")[:3] == ["tconst", "titleType", "primaryTitle"]
    assert "tt0114709\tmovie\tToy Story\tToy Story\t0\t1995\t\\N\t81\t" in "\n".join(lines)
    assert 'movie\t"Quotes" Are Characters\t' in "\n".join(lines)
    assert lines == sorted(lines)
    assert {line.count("\t") for line in lines} == {8}


def test_it_answers_for_a_part_and_for_what_is_known(datasets):
    url, etag = f"{datasets.url}/title.ratings.tsv.gz", datasets.etags["title.ratings"]
    whole = datasets.bodies["title.ratings"]

    part = requests.get(url, headers={"Range": "bytes=10-", "If-Range": etag}, timeout=5)
    assert (part.status_code, part.content) == (206, whole[10:])
    assert part.headers["Content-Range"] == f"bytes 10-{len(whole) - 1}/{len(whole)}"
    other = requests.get(url, headers={"Range": "bytes=10-", "If-Range": '"x"'}, timeout=5)
    assert (other.status_code, other.content) == (200, whole)
    beyond = requests.get(url, headers={"Range": "bytes=999999-"}, timeout=5)
    assert beyond.status_code == 416
    known = requests.get(url, headers={"If-None-Match": etag}, timeout=5)
    assert (known.status_code, known.content) == (304, b"")
    assert [status for _, _, status in datasets.asked] == [206, 200, 416, 304]
    assert datasets.sent["title.ratings"] == 2 * len(whole) - 10


def test_another_day_has_other_etags(datasets):
    before = dict(datasets.etags)

    datasets.put({"title.ratings": stand.ROWS["title.ratings"][:5]})

    changed = [name for name in stand.NAMES if datasets.etags[name] != before[name]]
    assert changed == ["title.ratings"]


@pytest.mark.processes
def test_it_runs_as_a_process_of_its_own_on_files_of_a_folder(tmp_path):
    rows = stand.rows_of([stand.title("tt0000009", "Miss Jerry", 1894)])
    stand.write_files(tmp_path, rows)
    fault = json.dumps({"kind": "error", "times": 1})
    command = [sys.executable, "-m", "tests.support.datasets", "--port", "0"]
    options = ["--from", tmp_path, "--fault", fault]
    with subprocess.Popen(
        [*command, *options], cwd=config.ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().split()[-1]
            assert requests.get(f"{url}/title.basics.tsv.gz", timeout=5).status_code == 500
            answer = requests.get(f"{url}/title.basics.tsv.gz", timeout=5)
            assert b"Miss Jerry" in gzip.decompress(answer.content)
        finally:
            process.terminate()
