"""The release command, which runs once before a rollout.

It checks that the queue is reachable. In an application with a database, it would run the migrations.
"""

from shop.queue import app


def main() -> None:
    """Connects to the queue. An error prevents the rollout."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=3, interval_start=0.2, interval_step=0.2)
    print("the queue answers: ready to be rolled out", flush=True)


if __name__ == "__main__":
    main()
