"""What the pages show of the time and the zone of the nightly backups."""

from dataclasses import replace

from mm import clock, config
from mm.routes import setting_fields
from mm.services import settings
from mm.services.backup import schedule
from mm.services.server import backup_time, time_zones


def time_context(
    typed: dict[str, str] | None = None, problems: dict[str, str] | None = None
) -> dict:
    """For `admin/_backup_time.html`. `typed`: what stands in the fields, by variable, else what is
    in force."""
    fields = setting_fields.of(backup_time.VARIABLES, typed)
    if fields["backup_time"].is_fixed or not typed:
        # As a browser's field for times takes it; the environment may say 3:00.
        fields["backup_time"] = replace(fields["backup_time"], text=_time_of_day())
    return {
        "fields": fields,
        "problems": problems or {},
        "common_zones": time_zones.common(),
        "zones": time_zones.by_region(),
        "zone_is_default": settings.source_of("TZ") == "default" and not typed,
        "zone_in_force": config.current.timezone,
        "now": clock.now(),
        "next_backups": schedule.next_slot(clock.now()),
    }


def time_words() -> str:
    """ "03:00 (Europe/Berlin)"."""
    return f"{_time_of_day()} ({config.current.timezone})"


def _time_of_day() -> str:
    hour, minute = config.backup_minutes(config.current.backup_time)
    return f"{hour:02}:{minute:02}"
