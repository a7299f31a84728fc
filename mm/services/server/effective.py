"""Stands in for the configuration in force."""

from mm.schemas import SettingsFile


def settings_file(secrets: bool) -> SettingsFile:
    return SettingsFile(1, {})
