"""A small catalogue: films as IMDb lists them, in a file as the program makes it."""

from mm import config
from mm.schemas import CatalogueAbout, CatalogueChoice
from mm.services.catalogue import folding, store
from mm.services.catalogue.store import NewFilm

CHOICE = CatalogueChoice(chosen_at=1772366400.0)


def film(
    tconst,
    title,
    year=None,
    votes=None,
    rating=None,
    original_title=None,
    kind="movie",
    runtime=None,
    genres=None,
    directors=None,
    end_year=None,
    akas=(),
):
    """`genres` and `directors` are lists of names."""
    return NewFilm(
        tconst,
        kind,
        title,
        original_title,
        year,
        end_year,
        runtime,
        ",".join(genres) if genres else None,
        rating,
        votes,
        store.BETWEEN_NAMES.join(directors) if directors else None,
        folding.words(*akas),
    )


FILMS = [
    film(
        133093,
        "The Matrix",
        1999,
        2_100_000,
        8.7,
        runtime=136,
        genres=["Action", "Sci-Fi"],
        directors=["Lana Wachowski", "Lilly Wachowski"],
    ),
    film(234215, "The Matrix Reloaded", 2003, 640_000, 7.2, runtime=138, genres=["Action"]),
    film(106062, "Matrix", 1993, 1_500, 7.4, kind="tv", end_year=1993),
    film(
        114709,
        "Toy Story",
        1995,
        1_100_000,
        8.3,
        runtime=81,
        genres=["Adventure", "Animation", "Comedy"],
        directors=["John Lasseter"],
    ),
    film(84809, "The Toy", 1982, 18_000, 5.9, runtime=102, genres=["Comedy"]),
    film(78748, "Alien", 1979, 980_000, 8.5, runtime=117, genres=["Horror", "Sci-Fi"]),
    film(90605, "Aliens", 1986, 780_000, 8.4, runtime=137, genres=["Action"]),
    film(
        211915,
        "Amélie",
        2001,
        800_000,
        8.3,
        runtime=122,
        genres=["Comedy", "Romance"],
        original_title="Le fabuleux destin d'Amélie Poulain",
        directors=["Jean-Pierre Jeunet"],
        akas=["Die fabelhafte Welt der Amélie"],
    ),
    film(1856101, "Blade Runner 2049", 2017, 700_000, 8.0, runtime=164, genres=["Drama"]),
    film(145487, "Spider-Man", 2002, 900_000, 7.4, runtime=121, genres=["Action"]),
    film(108052, "Schindler's List", 1993, 1_500_000, 9.0, runtime=195, genres=["Drama"]),
    film(79817, "Rocky II", 1979, 240_000, 7.3, runtime=119, genres=["Drama"]),
    film(
        903747,
        "Breaking Bad",
        2008,
        2_400_000,
        9.5,
        kind="tv",
        end_year=2013,
        runtime=45,
        genres=["Crime", "Drama"],
    ),
    film(9999999, "A Film Nobody Voted For", 2024),
]


def put(films=FILMS, path=None, **about):
    """Make it the catalogue of the configuration in force; the most voted come first."""
    ranked = sorted(films, key=lambda film: (-(film.votes or 0), film.tconst))
    series = sum(film.kind == "tv" for film in ranked)
    values = {"built_at": 1772366400.0, "choice": CHOICE, "etags": {}} | about
    target = path or config.current.catalogue_file
    draft = target.with_name(f"{target.name}.draft")
    store.write(draft, ranked, CatalogueAbout(films=len(ranked) - series, series=series, **values))
    draft.replace(target)
    return target
