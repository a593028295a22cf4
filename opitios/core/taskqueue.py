"""What it looks like when Celery's queue is away: kombu lets its driver's errors through."""

from kombu.exceptions import KombuError
from redis import RedisError

LOST = (RedisError, KombuError, OSError)
