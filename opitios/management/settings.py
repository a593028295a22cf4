"""Django's settings for `quickstart` and `doctor`: no secret, no database, no room.

They start, stop and examine a gateway that may have no settings yet, or broken ones.
"""

INSTALLED_APPS = ["opitios.management.apps.OperatorConfig"]
USE_TZ = True
TIME_ZONE = "UTC"
