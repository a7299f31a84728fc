"""Any library, for hypothesis: as the documents that may hold one."""

from hypothesis import strategies as st

from mm.models import (
    STATUSES,
    CustomList,
    ListFilm,
    Movie,
    Person,
    Ranking,
    Recommendation,
    SavedView,
    Watch,
)
from tests.support.libraries import T, document

# What users may enter, by the columns that hold it: those of models.OWNED, a film's hint, and a
# film on a list. Small ranges where rows should meet.

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
names = texts.filter(lambda text: text.strip() not in ("", ".", ".."))
notes = st.none() | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
moments = st.floats(-3e9, 7e9, allow_nan=False).map(lambda value: round(value, 3))
# Not in the future: such a change date becomes the time at which the file is read.
changes = st.sampled_from([T - 100, T, T + 100]) | moments.map(lambda value: min(value, T))
flags = st.booleans()
positions = st.integers(-3, 9)
colors = st.sampled_from(["#000000", "#ABCDEF"])
some_names = st.sampled_from(["Ann", "ann ", "Bob", "Google Search", "Random Person"]) | names
filter_values = st.sampled_from(["Ann", "Bob", "list-1", "list-2", "Drama", ""])
COLUMNS = {
    Movie: {
        "media_type": st.sampled_from([None, "movie", "tv"]),
        "status": st.sampled_from(STATUSES),
        "date_added": moments,
        "last_modified": changes,
        "note": notes,
        "hint_title": st.none() | texts,
        "hint_year": st.none() | st.integers(1870, 2200),
    },
    Watch: {
        # Some at noon, some within twelve hours of it.
        "date_watched": st.integers(-6, 6).map(lambda part: 1_770_984_000.0 + part * 14_400)
        | moments,
        "my_rating": st.none() | st.floats(1, 10).map(lambda value: round(value, 1)),
        "note": notes,
        "day_known": flags,
    },
    Recommendation: {"date_recommended": moments, "vote_type": flags},
    Person: {
        "name": some_names,
        "is_trusted": flags,
        "color": colors,
        "emoji": st.sampled_from([None, "🎬"]),
        "last_modified": changes,
    },
    CustomList: {
        "name": st.sampled_from(["Horror", "Later", "Gifts"]),
        "color": colors,
        "icon": st.sampled_from(["star", "❤"]),
        "position": positions,
        "created_at": moments,
        "last_modified": changes,
        "description": notes,
    },
    ListFilm: {"note": notes},
    SavedView: {
        "name": some_names,
        "filters": st.dictionaries(
            st.sampled_from(["person", "not_person", "list", "not_list", "genre", "q"]),
            filter_values | st.lists(filter_values, max_size=3),
        ),
        "position": positions,
        "last_modified": changes,
    },
    Ranking: {"liked": flags, "position": positions, "ranked_at": moments},
}
numbers = st.integers(1, 9)
list_ids = st.sampled_from(["list-1", "list-2", "list-3"])


@st.composite
def documents(draw):
    """Any library: what a file may hold, whether or not its rows fit each other."""

    def row(table, **values):
        return draw(st.fixed_dictionaries(COLUMNS[table])) | values

    def some(strategy, most, key=None):
        return draw(st.lists(strategy, max_size=most, unique_by=key))

    movies = []
    for number in some(numbers, 6, lambda number: number):
        values = row(Movie, imdb_id=f"tt{number:07d}")
        values["title"], values["year"] = values.pop("hint_title"), values.pop("hint_year")
        if values["status"] == "custom":
            values["custom_list_id"] = draw(list_ids)
        values["recommendations"] = [
            row(Recommendation, person_name=name) for name in some(some_names, 3)
        ]
        values["watches"] = [row(Watch) for _ in range(draw(st.integers(0, 3)))]
        movies.append(values)
    lists = []
    for list_id in some(list_ids, 3, lambda list_id: list_id):
        films = [
            row(ListFilm, imdb_id=f"tt{number:07d}")
            for number in some(numbers, 6, lambda number: number)
        ]
        lists.append(row(CustomList, id=list_id, films=films))
    quick_keys = st.sampled_from([None, None, "youtube", "google"])
    people = [row(Person, quick_key=draw(quick_keys)) for _ in range(draw(st.integers(0, 4)))]
    views = [row(SavedView) for _ in range(draw(st.integers(0, 2)))]
    rankings = [row(Ranking, imdb_id=f"tt{number:07d}") for number in some(numbers, 6)]
    return document(movies, people, lists, views=views, rankings=rankings)
