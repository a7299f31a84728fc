"""What gunicorn serves: `gunicorn wsgi:app`. Refuses to start while a migration is pending."""

import sys

from mm import create_app, schema

app = create_app()
try:
    schema.require_current()
except schema.SchemaError as error:
    sys.exit(str(error))
