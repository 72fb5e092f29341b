"""The agent: what runs in the project's own interpreter, wherever that lives.

``conversation`` sends these modules' text over standard input, followed by one JSON line, the
request; the library never imports them for their functions. Python 3.9 or newer, the standard
library, and what every Alembic project has: alembic (1.7 or newer) and sqlalchemy (1.4 to 2.1),
with any driver.

Answers are JSON lines on the original standard output. Whatever the project prints goes to
standard error instead. When standard input closes, whoever sent the request is gone, and the
agent ends at once, so that nothing runs on unseen in a container.

Two rules keep a replay away from the target. Every SQLAlchemy engine is sent to the request's
address, whatever its own URL says, at the ``do_connect`` event. Every connection that a driver is
asked for directly is denied unless it goes to that same address.
"""
