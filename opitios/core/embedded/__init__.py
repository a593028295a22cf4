"""Postgres and Redis from wheels, and the supervision of every process a stranger starts.

`child` starts a program that dies with its parent; `supervisor` keeps programs alive and stops them
in order; `postgres` and `redis` describe the two servers; `roles` makes logins and the database;
`runfolder` keeps what a run needs in `.run`. Nothing here knows a room: it takes values.
"""
