"""What gunicorn serves: `gunicorn wsgi:app`. Refuses to start while a migration is pending."""

import sys

from mm import config, create_app, disk, locks, schema

app = create_app()
try:
    with disk.exit_if_full(config.current.data_dir):
        schema.require_current()
except schema.SchemaError as error:
    sys.exit(str(error))
# Known to a restore whose database is damaged: nobody may have it open then.
locks.share("running")
