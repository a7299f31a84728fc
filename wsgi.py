"""What gunicorn serves: `gunicorn wsgi:app`. Refuses to start while a migration is pending."""

from mm import create_app, locks, schema, starting

# With any other exit code, gunicorn would try again at once, for ever.
with starting.plainly(starting.GUNICORN_HALTS):
    app = create_app()
    schema.require_current()
# Known to a restore whose database is damaged: nobody may have it open then.
locks.share("running")
