"""The two forms of a 422 of the API."""

import re


def location(answer):
    """The field that was refused: of a wrong shape it is named by `loc`, and the sentence about a
    value begins with it."""
    assert answer.status_code == 422
    detail = answer.json["detail"]
    if isinstance(detail, list):
        return detail[0]["loc"]
    found = re.match(r"[\w.\[\]]+(?=: )", detail)
    assert found, detail
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", found[0])
    return [int(index) if index else name for index, name in parts]
