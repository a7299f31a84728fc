"""An archive of the database, and a restore of the whole server from it, as the command line does
both."""

from mm.services.server import archive_files, archives, restore


def archive():
    """The path of an archive of the database as it is now."""
    made = archives.create(settings=False)
    return archive_files.path_of(made.timestamp)


def restored(path, **parts):
    """Restore it; how that ended. Call it with no connection open, as another process would."""
    parts = {"posters": False, "settings": False, **parts}
    return restore.at_once(path, progress=lambda text: None, **parts)
