"""What the tests of the API share."""

import pytest


@pytest.fixture
def phone(as_user, alice):
    """A client of the API that sends Alice's token."""
    return as_user(alice)
