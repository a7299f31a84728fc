"""One example of each body, shown in the OpenAPI document with its schema."""

import msgspec
from msgspec import Struct

from mm.schemas import (
    Account,
    AccountChange,
    AdminCredentials,
    ArchiveContents,
    ArchiveEntry,
    ArchiveList,
    ArchiveRequest,
    ArchiveRoom,
    ArchiveScheduleChange,
    ArchiveScheduleView,
    ArchiveValidation,
    BackupEntry,
    BackupList,
    BackupSettings,
    BackupSettingsChange,
    BegunArchive,
    BegunCheck,
    BegunRestore,
    CacheInfo,
    Change,
    Collection,
    CollectionConflict,
    CollectionExport,
    CollectionImport,
    CollectionMetadata,
    CollectionPreview,
    CollectionResult,
    Counts,
    Credentials,
    Document,
    ErrorDetail,
    Feed,
    FieldProblem,
    FilmOrder,
    Health,
    ImportedItem,
    ImportResult,
    ItemError,
    LibraryView,
    ListChange,
    ListDetails,
    ListedFilm,
    ListedFilmChange,
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
    NewView,
    NoteChange,
    OmdbData,
    PasswordChange,
    PersonChange,
    PersonEntry,
    PersonStats,
    PersonView,
    PinChange,
    PlannedItem,
    PlanView,
    Problem,
    RankingEntry,
    RankingView,
    RecommendationView,
    Refreshed,
    RemovedAccount,
    RestoreState,
    SearchResult,
    ServerJob,
    ServerRestore,
    SettingDifference,
    StatusChange,
    StatusView,
    SyncAction,
    SyncAnswer,
    SyncAnswers,
    SyncBatch,
    TmdbData,
    Token,
    UndoRequest,
    UnrankedView,
    Updated,
    ValidationDetail,
    ViewChange,
    ViewEntry,
    Vote,
    WatchChange,
    WatchEntry,
    WatchView,
)

FILM = "tt0111161"
USER = "6f0a5a4e-8d0f-4d63-9a6b-0d6a3c1c2f11"
LIST = "b1f3c1de-52b0-4a58-9d0a-7f6a0b1e5c22"
VIEW = "0d9c8f5e-3f67-4bb1-8d1c-0c8f7a4f5d33"
NOTE = "The subtitles are in French."
T = 1771000000.0
EMAIL, PASSWORD = "alice@example.org", "correct horse battery"
TOKEN = "eyJhbGciOiJIUzI1NiJ9…"
TITLE = "The Shawshank Redemption"
POSTER = "https://image.tmdb.org/t/p/w500/9cqNxx0GxF0bflZmeSMuL5tnGzr.jpg"
POSTER_SMALL = POSTER.replace("w500", "w185")
PLOT = "Imprisoned for a crime that he did not commit, a banker does not give up hope."

ACCOUNT = Account(id=USER, email=EMAIL, username="alice", created_at=T, is_active=True)
COUNTS = Counts(movies=1, people=1, lists=1)
BACKUP = BackupEntry(
    filename="2026-02-13.json",
    kind="scheduled",
    created_at=T,
    size_bytes=2048,
    counts=COUNTS,
    sha256="9f86d081884c7d65…",
    verified_at=T,
    state="verified",
)
TOKEN = "Zm9yIHlvdXIgZXllcyBvbmx5"
STAMP = "2026-02-13-04-00-02"
CONTENTS = ArchiveContents(
    has_database=True,
    users=3,
    movies=5000,
    database_size_bytes=31_457_280,
    posters_count=0,
    posters_size_bytes=0,
    settings_count=23,
)
ARCHIVE = ArchiveEntry(
    timestamp=STAMP,
    filename=f"moviemanager-backup-{STAMP}.zip",
    kind="scheduled",
    created_at=T,
    size_bytes=8_388_608,
    state="verified",
    contents=CONTENTS,
    app_version="0.2.0",
    sha256="9f86d081884c7d65…",
    verified_at=T,
)
ROOM = ArchiveRoom(needed=40_000_000, free=90_000_000_000, posters=0)
TMDB = TmdbData(
    tmdbId=278,
    imdbId=FILM,
    title=TITLE,
    year=1994,
    mediaType="movie",
    poster=POSTER,
    posterSmall=POSTER_SMALL,
    plot=PLOT,
    genres=["Drama", "Crime"],
    cast=["Tim Robbins", "Morgan Freeman"],
    director="Frank Darabont",
    runtime=142,
    voteAverage=8.7,
    voteCount=28000,
)
OMDB = OmdbData(
    imdbId=FILM,
    title=TITLE,
    year=1994,
    rated="R",
    released="14 Oct 1994",
    runtime="142 min",
    genres=["Drama"],
    director="Frank Darabont",
    writer="Stephen King, Frank Darabont",
    actors=["Tim Robbins", "Morgan Freeman"],
    plot=PLOT,
    language="English",
    country="United States",
    awards="Nominated for 7 Oscars.",
    poster=None,
    imdbRating=9.3,
    imdbVotes="2,900,000",
    rtRating=89,
    metascore=82,
    boxOffice="$28,767,189",
    production=None,
    website=None,
)
SEARCH_RESULT = SearchResult(
    id=278,
    title=TITLE,
    year=1994,
    mediaType="movie",
    poster=POSTER,
    posterSmall=POSTER_SMALL,
    overview=PLOT,
    voteAverage=8.7,
    voteCount=28000,
)
VOTE = RecommendationView(
    id=7,
    imdb_id=FILM,
    user_id=USER,
    person_id=5,
    person_name="Eve",
    person="Eve",
    date_recommended=T,
    vote_type=True,
)
WATCH = WatchView(
    imdb_id=FILM, user_id=USER, date_watched=T, my_rating=8.5, note=None, day_known=True
)
MOVIE = MovieView(
    imdb_id=FILM,
    user_id=USER,
    tmdb_data=TMDB,
    omdb_data=OMDB,
    media_type="movie",
    status="watched",
    custom_list_id=None,
    date_added=T,
    last_modified=T,
    recommendations=[VOTE],
    watch_history=WATCH,
    list_ids=[LIST],
    note=NOTE,
)
PERSON = PersonView(
    id=5,
    name="Eve",
    user_id=USER,
    is_trusted=True,
    color="#0a84ff",
    emoji="🎬",
    quick_key=None,
    last_modified=T,
    movie_count=1,
)
CUSTOM_LIST = ListView(
    id=LIST,
    user_id=USER,
    name="Favourites",
    color="#0a84ff",
    icon="star",
    position=0,
    created_at=T,
    last_modified=T,
    description="For rainy evenings",
)
CUSTOM_LIST_DETAILS = ListDetails(
    **msgspec.structs.asdict(CUSTOM_LIST), films=[ListedFilm(imdb_id=FILM, note=None)]
)
LIBRARY_VIEW = LibraryView(
    id=VIEW,
    user_id=USER,
    name="Unseen dramas",
    filters={"status": "toWatch", "genre": ["Crime", "Drama"]},
    position=0,
    last_modified=T,
)
DOCUMENT = Document(
    version=2,
    exported_at=T,
    movies=[
        MovieEntry(
            imdb_id=FILM,
            title=TITLE,
            year=1994,
            media_type="movie",
            status="watched",
            custom_list_id=None,
            date_added=T,
            last_modified=T,
            note=NOTE,
            recommendations=[Vote(person_name="Eve", date_recommended=T, vote_type=True)],
            watch_history=WatchEntry(date_watched=T, my_rating=8.5, note=None, day_known=True),
        )
    ],
    people=[
        PersonEntry(
            name="Eve",
            is_trusted=True,
            color="#0a84ff",
            emoji="🎬",
            quick_key=None,
            last_modified=T,
        )
    ],
    lists=[
        ListEntry(
            id=LIST,
            name="Favourites",
            color="#0a84ff",
            icon="star",
            position=0,
            created_at=T,
            last_modified=T,
            description="For rainy evenings",
            films=[ListedFilm(imdb_id=FILM, note=None)],
        )
    ],
    views=[
        ViewEntry(
            name="Unseen dramas",
            filters={"status": "toWatch", "genre": ["Crime", "Drama"]},
            position=0,
            last_modified=T,
        )
    ],
    rankings=[RankingEntry(imdb_id=FILM, liked=True, position=1, ranked_at=T)],
)
PROBLEM = Problem(path="movies[3].watch_history.my_rating", reason="11 is above 10")
ACTION = SyncAction(
    action="markWatched",
    data={"imdb_id": FILM, "my_rating": 8.5},
    timestamp=T,
    id="phone-1-0042",
)
ANSWER = SyncAnswer(success=True, last_modified=T)
COLLECTION = Collection(
    CollectionMetadata("1.0.0", "0.2.0", "people", "2026-02-13T16:26:40Z", 3),
    [
        {"name": "Eve", "is_trusted": True, "color": "#e11d48", "emoji": "🦊"},
        {"name": "Finn", "is_trusted": False, "color": "#0ea5e9", "emoji": None},
        {"name": "Zoe", "is_trusted": False, "color": "blue", "emoji": None},
    ],
)
ZOES_COLOR = ItemError("Zoe", "color: 'blue' is not a colour like #0a84ff")

EXAMPLES: tuple[Struct, ...] = (
    # Health and errors
    Health(
        status="healthy",
        timestamp=T,
        database="ok",
        worker="ok",
        last_backup=T,
        problems=[],
    ),
    ErrorDetail(detail="Movie not found"),
    ValidationDetail(
        detail=[
            FieldProblem(loc=["status"], msg="Invalid enum value 'seen'", type="value_error"),
        ]
    ),
    # Accounts
    Credentials(email=EMAIL, password=PASSWORD),
    AdminCredentials("the server's ADMIN_TOKEN"),
    Token(access_token=TOKEN),
    LogIn(access_token=TOKEN, user=ACCOUNT),
    ACCOUNT,
    ManagedAccount(
        id=USER,
        email=EMAIL,
        username="alice",
        created_at=T,
        is_active=True,
        is_admin=False,
        backup_enabled=True,
    ),
    NewAccount(email=EMAIL, username="alice", password=PASSWORD),
    AccountChange(is_active=False),
    RemovedAccount(backups=f"/srv/movies/data/backups/{USER}"),
    PasswordChange(current=PASSWORD, new="another horse battery"),
    # Films
    MOVIE,
    VOTE,
    WATCH,
    NewMovie(imdb_id=FILM, media_type="movie", recommenders=["Eve", "Oscar Winner/Nominee"]),
    NewRecommendation(person_name="Eve", vote_type=True),
    NewRecommendations(people=["Eve", "Kim"], vote_type=True),
    WatchChange(date_watched=T, my_rating=8.5),
    NoteChange(note=NOTE),
    StatusChange(status="custom", custom_list_id=LIST),
    StatusView(imdb_id=FILM, status="custom", custom_list_id=LIST, last_modified=T),
    # People, lists and the ranking
    PERSON,
    PersonStats(
        id=5,
        name="Eve",
        is_trusted=True,
        total_movies=1,
        watched_movies=1,
        average_rating=8.5,
        movies=[MOVIE],
        color="#0a84ff",
        emoji="🎬",
        quick_key=None,
    ),
    NewPerson(name="Eve", is_trusted=True, emoji="🎬"),
    PersonChange(is_trusted=True, emoji=None),
    CUSTOM_LIST,
    CUSTOM_LIST_DETAILS,
    NewList(name="Favourites", icon="star"),
    ListChange(position=2),
    ListedFilmChange(note="First of the evening"),
    FilmOrder(imdb_ids=[FILM, "tt0068646"]),
    LIBRARY_VIEW,
    NewView(name="Unseen dramas", filters={"status": "toWatch", "genre": "Drama"}),
    ViewChange(name="Dramas to watch"),
    RankingView(
        imdb_id=FILM,
        position=1,
        score=10.0,
        liked=True,
        ranked_at=T,
        title=TITLE,
        poster_path=POSTER,
        year="1994",
    ),
    NewRanking(imdb_id=FILM, position=1, liked=True),
    UnrankedView(imdb_id=FILM, title=TITLE, poster_path=POSTER, year="1994"),
    # Sync
    Feed(
        movies=[MOVIE],
        people=[PERSON],
        lists=[CUSTOM_LIST],
        views=[LIBRARY_VIEW],
        deleted_movie_ids=["tt0068646"],
        deleted_people=[9],
        deleted_lists=[],
        deleted_views=[],
        reset=False,
        has_more=False,
        next_offset=None,
        server_timestamp=T,
        timestamp=T,
    ),
    ACTION,
    SyncBatch(actions=[ACTION]),
    ANSWER,
    SyncAnswers(results=[ANSWER], server_timestamp=T),
    # The providers
    Refreshed(success=True, updated=Updated(tmdb=True, omdb=False), last_modified=T),
    SEARCH_RESULT,
    TMDB,
    OMDB,
    CacheInfo(current_size=12, max_size=500, ttl=3600),
    # Backups
    DOCUMENT,
    BackupSettings(
        backup_enabled=True, keep_daily=14, keep_weekly=8, keep_monthly=12, keep_yearly=0
    ),
    BackupSettingsChange(keep_weekly=8, keep_monthly=12),
    PinChange(pinned=True),
    UndoRequest(filename="2026-02-13T16-26-40-before-import.json"),
    # Collections
    CollectionExport(ids=[5, 7]),
    COLLECTION,
    CollectionImport(
        export=msgspec.to_builtins(COLLECTION),
        resolutions={"Eve": "overwrite"},
        bulk_resolution="rename",
    ),
    CollectionPreview(
        total_items=3,
        new_items=1,
        conflicts=[CollectionConflict("Eve", 5, "eve", "overwrite")],
        errors=[ZOES_COLOR],
        version_warning=None,
        warnings=[],
        items=[
            PlannedItem(
                "Eve",
                "overwritten",
                existing_id=5,
                existing_name="eve",
                differences=["becomes trusted", "emoji: none → 🦊"],
            ),
            PlannedItem("Finn", "imported"),
            PlannedItem("Zoe", "error", error=ZOES_COLOR.error),
        ],
    ),
    CollectionResult(
        total_items=3,
        imported=1,
        skipped=0,
        overwritten=1,
        renamed=0,
        errors=1,
        error_details=[ZOES_COLOR],
        imported_items=[
            ImportedItem("Eve", "Eve", 5, "overwritten"),
            ImportedItem("Finn", "Finn", 11, "imported"),
        ],
        version_warning=None,
        warnings=[],
        safety_backup="2026-02-13T16-26-40-before-import.json",
    ),
    BACKUP,
    BackupList(backups=[BACKUP], last_good=T, next_run=T + 86400, last_error=None),
    ArchiveRequest(include_posters=True),
    BegunArchive("5f0c", STAMP, f"/api/v1/system/backup/{STAMP}/download"),
    ARCHIVE,
    ArchiveList([ARCHIVE]),
    ArchiveValidation(
        valid=True,
        message="This archive can be restored.",
        app_version="0.1.0",
        backup_timestamp=STAMP,
        warnings=["Backup from older version, may have issues"],
        contents=CONTENTS,
    ),
    ArchiveScheduleView(
        enabled=True,
        time="04:00",
        days=["mon", "thu"],
        keep_last=7,
        include_posters=False,
        next_run=T + 86400,
        room=ROOM,
    ),
    ArchiveScheduleChange(enabled=True, time="04:00", keep_last=7),
    ServerRestore(timestamp=STAMP, restore_posters=False, confirm=True),
    BegunRestore("5f0c", f"/api/v1/system/restored/{TOKEN}", f"/restored/{TOKEN}"),
    RestoreState(
        state="done",
        archive=STAMP,
        started_at=T,
        message="Restored 3 accounts and 5,000 films.",
        finished_at=T + 20,
        differences=[
            SettingDifference(
                "TMDB_API_KEY",
                "TMDB_API_KEY was set there; enter it here on Server › Providers.",
            )
        ],
        users=3,
        movies=5000,
        safety="2026-02-13-09-14-55",
    ),
    BegunCheck("5f0c"),
    ServerJob(
        id="5f0c",
        kind="archive",
        state="done",
        done=31_457_280,
        total=31_457_280,
        message="",
        result={"timestamp": STAMP},
        created_at=T,
        finished_at=T + 4,
    ),
    ImportResult(
        success=True,
        movies_imported=1,
        people_imported=1,
        lists_imported=1,
        imported_counts=COUNTS,
        imdb_ids_needing_enrichment=[FILM],
        errors=[f"{PROBLEM.path}: {PROBLEM.reason}"],
        problems=[PROBLEM],
        warnings=[],
        safety_backup="2026-02-13T16-26-40-before-import.json",
    ),
    PlanView(
        mode="merge",
        conflicts="overwrite",
        library_version=42,
        counts={"movie": {"new": 1}},
        changes=[Change(kind="movie", outcome="new", label=FILM, key=FILM)],
        errors=[PROBLEM],
        warnings=[],
    ),
)


def add_to(schemas: dict[str, dict]) -> None:
    """Add its example to each schema of the OpenAPI document that has one."""
    examples = {type(example).__name__: msgspec.to_builtins(example) for example in EXAMPLES}
    for name, schema in schemas.items():
        if name in examples:
            schema["examples"] = [examples[name]]
        elif name.removesuffix("List") in examples:
            schema["examples"] = [[examples[name.removesuffix("List")]]]
