"""How fast an import's titles are filled from the catalogue, beside one UPDATE for each title.

    python -m tests.bench.bench_catalogue_fill [--films 5000] [--catalogue FILE] [--database URL]

Without a catalogue it makes a small one, in which the films are.
"""

import argparse
import tempfile
import time
from pathlib import Path

from mm import clock, config, models, schema
from mm.database import connect, db, insert_rows
from mm.models import Movie, Title, TitleJson, User
from mm.services.catalogue import store
from mm.services.enrichment import mapping, offline_titles, title_json
from tests.support import catalogue

ROUNDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--catalogue", type=Path)
    parser.add_argument("--database", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mm-bench-") as scratch:
        now = config.use(config.Config(data_dir=Path(scratch), database_url=args.database))
        config.prepare(now)
        connect(now.database)
        schema.upgrade()
        with db.connection_context():
            add_films(take_catalogue(args.catalogue, args.films))
            measure(args.films)
        db.obj.close()


def take_catalogue(path, count):
    """The ids of `count` of its films, far apart."""
    if path:
        config.current.catalogue_file.symlink_to(path.resolve())
    else:
        catalogue.put([catalogue.film(n, f"Film {n}", 1980, n, 7.0) for n in range(1, 2 * count)])
    with store.reading() as connection:
        [total] = connection.execute("SELECT count(*) FROM film").fetchone()
        step = f"rank % {max(1, total // count)} = 0"
        rows = connection.execute(f"SELECT tconst FROM film WHERE {step} LIMIT {count}")
        return [store.imdb_id_of(tconst) for (tconst,) in rows]


def add_films(imdb_ids):
    """One user who holds all of them."""
    user = User.create(
        email="b@b", email_key="b@b", username="b", username_key="b", password_hash="-"
    )
    at = clock.now()
    with db.atomic():
        models.ensure_titles(db.obj, imdb_ids)
        columns = [Movie.title, Movie.user, Movie.status]
        columns += [Movie.date_added, Movie.last_modified, Movie.updated_at]
        insert_rows(db.obj, columns, ((key, user.id, "toWatch", at, at, at) for key in imdb_ids))


def measure(count):
    """Both in turn, so that both meet the same machine."""
    seconds = {one_by_one: [], offline_titles.fill_new: []}
    for _ in range(ROUNDS):
        for work, measured in seconds.items():
            empty()
            began = time.perf_counter()
            filled = work()
            measured.append(time.perf_counter() - began)
            assert filled == count, filled
    began = time.perf_counter()
    offline_titles.renew()
    renewed = time.perf_counter() - began
    alone, at_once = (min(measured) for measured in seconds.values())
    print(f"{count:,} titles, the best of {ROUNDS}:")
    print(f"  an UPDATE for each: {alone:.3f} s")
    print(f"  fill_new:           {at_once:.3f} s, {alone / at_once:.1f} times as fast")
    print(f"  renew, nothing new: {renewed:.3f} s")


def one_by_one():
    """As straightforward as it gets, in one transaction too."""
    films = {}
    with store.reading() as connection:
        for (imdb_id,) in Title.select(Title.imdb_id).where(Title.source.is_null()).tuples():
            films |= store.find(connection, [imdb_id])
    with db.atomic():
        for imdb_id, film in films.items():
            columns = mapping.from_catalogue(film) | mapping.catalogue_ratings(film)
            Title.update(**columns, source="imdb").where(Title.imdb_id == imdb_id).execute()
            title_json.rebuild([imdb_id])
            updated_at = models.next_update(db.obj)
            Movie.update(updated_at=updated_at).where(Movie.title == imdb_id).execute()
    return len(films)


def empty():
    with db.atomic():
        nothing = {field.name: None for field in offline_titles.DESCRIBED}
        nothing |= {"genres": [], "directors": [], "search_text": "", "source": None}
        Title.update(nothing).execute()
        TitleJson.delete().execute()


if __name__ == "__main__":
    main()
