"""What gunicorn serves: `gunicorn wsgi:app`. Refuses to start while a migration is pending."""

import sys

from mm import config, create_app, disk, schema

app = create_app()
try:
    with disk.exit_if_full(config.current.data_dir):
        schema.require_current()
except schema.SchemaError as error:
    sys.exit(str(error))
