"""One example of each body, in the document beside its schema."""

import msgspec
from msgspec import Struct

from mm.schemas import (
    Account,
    AccountChange,
    AdminCredentials,
    BackupEntry,
    BackupList,
    BackupSettings,
    CacheInfo,
    Change,
    Counts,
    Credentials,
    Document,
    ErrorDetail,
    Feed,
    FieldProblem,
    Health,
    ImportResult,
    ListChange,
    ListEntry,
    ListView,
    LogIn,
    ManagedAccount,
    MovieEntry,
    MovieView,
    NewAccount,
    NewList,
    NewMovie,
    NewPerson,
    NewRanking,
    NewRecommendation,
    NewRecommendations,
    OmdbData,
    PasswordChange,
    PersonChange,
    PersonEntry,
    PersonStats,
    PersonView,
    PlanView,
    Problem,
    RankingEntry,
    RankingView,
    RecommendationView,
    Refreshed,
    RemovedAccount,
    SearchResult,
    StatusChange,
    StatusView,
    SyncAction,
    SyncAnswer,
    SyncAnswers,
    SyncBatch,
    TmdbData,
    Token,
    UnrankedView,
    Updated,
    ValidationDetail,
    ViewEntry,
    Vote,
    WatchChange,
    WatchEntry,
    WatchView,
)

FILM = "tt0111161"
USER = "6f0a5a4e-8d0f-4d63-9a6b-0d6a3c1c2f11"
LIST = "b1f3c1de-52b0-4a58-9d0a-7f6a0b1e5c22"
T = 1771000000.0
EMAIL, PASSWORD = "alice@example.org", "correct horse battery"
TOKEN = "eyJhbGciOiJIUzI1NiJ9…"
TITLE = "The Shawshank Redemption"
POSTER = "https://image.tmdb.org/t/p/w500/9cqNxx0GxF0bflZmeSMuL5tnGzr.jpg"
SMALL = POSTER.replace("w500", "w185")
PLOT = "Imprisoned for a crime that he did not commit, a banker does not give up hope."

account = Account(USER, EMAIL, "alice", T, True)
managed = ManagedAccount(USER, EMAIL, "alice", T, True, False, True)
counts = Counts(movies=1, people=1, lists=1)
backup = BackupEntry(
    "2026-02-13.json", "scheduled", T, 2048, counts, "9f86d081884c7d65…", T, "verified"
)
tmdb = TmdbData(
    278,
    FILM,
    TITLE,
    1994,
    "movie",
    POSTER,
    SMALL,
    PLOT,
    ["Drama", "Crime"],
    ["Tim Robbins", "Morgan Freeman"],
    "Frank Darabont",
    142,
    8.7,
    28000,
)
omdb = OmdbData(
    FILM,
    TITLE,
    1994,
    "R",
    "14 Oct 1994",
    "142 min",
    ["Drama"],
    "Frank Darabont",
    "Stephen King, Frank Darabont",
    ["Tim Robbins", "Morgan Freeman"],
    PLOT,
    "English",
    "United States",
    "Nominated for 7 Oscars.",
    None,
    9.3,
    "2,900,000",
    89,
    82,
    "$28,767,189",
    None,
    None,
)
result = SearchResult(278, TITLE, 1994, "movie", POSTER, SMALL, PLOT, 8.7, 28000)
vote = RecommendationView(7, FILM, USER, 5, "Eve", "Eve", T, True)
watch = WatchView(FILM, USER, T, 8.5)
movie = MovieView(FILM, USER, tmdb, omdb, "movie", "watched", None, T, T, [vote], watch)
person = PersonView(5, "Eve", USER, True, "#0a84ff", "🎬", None, T, 1)
stats = PersonStats(5, "Eve", True, 1, 1, 8.5, [movie], "#0a84ff", "🎬", None)
own_list = ListView(LIST, USER, "Favourites", "#0a84ff", "star", 0, T, T)
document = Document(
    2,
    T,
    [MovieEntry(FILM, "movie", "watched", None, T, T, [Vote("Eve", T, True)], WatchEntry(T, 8.5))],
    [PersonEntry("Eve", True, "#0a84ff", "🎬", None, T)],
    [ListEntry(LIST, "Favourites", "#0a84ff", "star", 0, T, T)],
    [ViewEntry("Unseen dramas", {"status": "toWatch", "genre": "Drama"}, 0, T)],
    [RankingEntry(FILM, True, 1, T)],
)
problem = Problem("movies[3].watch_history.my_rating", "11 is above 10")
new_film = Change("movie", "new", FILM, key=FILM)
action = SyncAction("markWatched", {"imdb_id": FILM, "my_rating": 8.5}, T, "phone-1-0042")
answer = SyncAnswer(True, T)
EXAMPLES: tuple[Struct, ...] = (
    Health("healthy", T, "ok", "ok", T, []),
    ErrorDetail("Movie not found"),
    ValidationDetail([FieldProblem(["status"], "Invalid enum value 'seen'", "value_error")]),
    Credentials(EMAIL, PASSWORD),
    AdminCredentials("the server's ADMIN_TOKEN"),
    Token(TOKEN),
    LogIn(TOKEN, account),
    account,
    managed,
    NewAccount(EMAIL, "alice", PASSWORD),
    AccountChange(is_active=False),
    RemovedAccount(f"/srv/movies/data/backups/{USER}"),
    PasswordChange(PASSWORD, "another horse battery"),
    movie,
    vote,
    watch,
    NewMovie(FILM, media_type="movie", recommenders=["Eve", "Oscar Winner/Nominee"]),
    NewRecommendation(person_name="Eve", vote_type=True),
    NewRecommendations(people=["Eve", "Kim"], vote_type=True),
    WatchChange(T, 8.5),
    StatusChange("custom", LIST),
    StatusView(FILM, "custom", LIST, T),
    person,
    stats,
    NewPerson("Eve", True, emoji="🎬"),
    PersonChange(is_trusted=True, emoji=None),
    own_list,
    NewList("Favourites", icon="star"),
    ListChange(position=2),
    RankingView(FILM, 1, 10.0, True, T, TITLE, POSTER, "1994"),
    NewRanking(FILM, 1, True),
    UnrankedView(FILM, TITLE, POSTER, "1994"),
    Feed([movie], [person], [own_list], ["tt0068646"], [9], [], False, False, None, T, T),
    action,
    SyncBatch([action]),
    answer,
    SyncAnswers([answer], T),
    Refreshed(True, Updated(True, False), T),
    result,
    tmdb,
    omdb,
    CacheInfo(12, 500, 3600),
    document,
    BackupSettings(True),
    backup,
    BackupList([backup], T, T + 86400, None),
    ImportResult(
        True,
        1,
        1,
        1,
        counts,
        [FILM],
        [f"{problem.path}: {problem.reason}"],
        [problem],
        [],
        "2026-02-13T16-26-40-before-import.json",
    ),
    PlanView("merge", "overwrite", 42, {"movie": {"new": 1}}, [new_film], [problem], []),
)


def add_to(schemas: dict[str, dict]) -> None:
    """To each schema that is a body or a row of one."""
    examples = {type(example).__name__: msgspec.to_builtins(example) for example in EXAMPLES}
    for name, schema in schemas.items():
        if name in examples:
            schema["examples"] = [examples[name]]
        elif name.removesuffix("List") in examples:
            schema["examples"] = [[examples[name.removesuffix("List")]]]
