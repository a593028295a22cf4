"""Django's settings for `quickstart`, `doctor` and `tail`: no secret, no database, no room.

They start, stop, examine and watch a gateway that may have no settings here, or broken ones.
"""

INSTALLED_APPS = ["opitios.management.apps.OperatorConfig"]
USE_TZ = True
TIME_ZONE = "UTC"
