"""The set-up of a server without an account: who may, and what its pages do."""


def test_every_page_leads_to_the_set_up(client):
    answer = client.get("/")
    assert (answer.status_code, answer.location) == (303, "/setup")
    answer = client.get("/setup")
    assert answer.status_code == 200
    assert "Create the administrator" in answer.text
