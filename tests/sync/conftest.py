"""A phone's requests, without the phone."""

import pytest


@pytest.fixture
def asked(as_user):
    """For a user, a function that sends a request and returns the JSON of the answer, a 200."""

    def of(user):
        client = as_user(user)

        def ask(method, path, json=None):
            answer = client.open(path, method=method, json=json)
            assert answer.status_code == 200, answer.text
            return answer.json

        return ask

    return of
