"""A list that is shown by a link, as the file that whoever has the link may take along."""

import io

from mm.models import Job, ListShare, User
from mm.schemas import Collection, CollectionKind
from mm.services.collections import envelope, importing, lists

KIND: CollectionKind = "lists"


def file_of(shared: ListShare) -> Collection:
    """The list alone; its description and its notes only where the link shows them."""
    row = shared.custom_list
    items = lists.export(row.user_id, [row.id])
    if not shared.shows_notes:
        for item in items:
            item.description = None
            for film in item.films:
                film.note = None
    return envelope.written(KIND, items)


def keep(user: User, shared: ListShare) -> Job:
    """The list as a file that waits for `user` to look at what its import would do. Raises as
    `importing.receive`."""
    data = envelope.encode(file_of(shared))
    owner = shared.custom_list.user.username
    return importing.receive(user, KIND, io.BytesIO(data), f"List shared by {owner}")
