"""The stand-in itself, where other tests do not show that it works."""

import subprocess
import sys

import pytest
import requests

from mm import config
from tests.support import standin as stand


def test_it_serves_small_pictures(standin):
    answer = requests.get(f"{standin.url}/t/p/w342/{stand.FILM_IDS[0]}.png", timeout=5)

    assert answer.headers["Content-Type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert requests.get(f"{standin.url}/t/p/w342/../x", timeout=5).status_code == 404


def test_it_refuses_the_key_bad(standin):
    params = {"api_key": "bad", "external_source": "imdb_id"}

    assert requests.get(f"{standin.url}/3/find/tt1", params=params, timeout=5).status_code == 401
    assert (
        requests.get(f"{standin.url}/omdb/?apikey=bad&i=tt1", timeout=5).json()["Error"]
        == "Invalid API key!"
    )


@pytest.mark.processes
def test_it_runs_as_a_process_of_its_own():
    command = [
        sys.executable,
        "-u",
        "-m",
        "tests.support.standin",
        "--port",
        "0",
        "--tmdb",
        '{"fault": "error"}',
    ]
    with subprocess.Popen(command, cwd=config.ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[-1]
            assert requests.get(f"{url}/3/find/tt1", timeout=5).status_code == 500
            assert requests.get(f"{url}/__stats__", timeout=5).json()["tmdb"] == 1
        finally:
            process.kill()
