#!/usr/bin/env bash
# Celery 5.7.0 stores a task that returned as FAILURE if its result backend did not answer for a while.
#
# The setting: Redis as broker and result backend, a prefork worker, and the socket timeouts that keep a worker from waiting
# for ever on a connection that nobody answers (`redis_socket_timeout`, `broker_transport_options`). Redis is suspended
# while the task runs, and continues 20 s later. The function of the task has returned by then, once and without an error.
#
# Expected: the state SUCCESS, stored late, or at least a state that does not say that the task failed.
# Seen: the state FAILURE with the TimeoutError of the backend as the exception of the task, so that a caller repeats work
# that was done, and `link_error` callbacks run. With `result_backend_always_retry=True` the state is SUCCESS.
# Versions: celery 5.7.0, kombu 5.7.0, redis 8.1.0 (client), Redis 7.0 as the server.
set -euo pipefail

folder=$(mktemp -d)
server="" worker=""
end() {
    [[ -z $server ]] || kill -CONT "$server" 2>/dev/null || true
    kill $server $worker 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "celery[redis]==5.7.0" kombu==5.7.0 redis==8.1.0 packaging
export PORT PYTHONDONTWRITEBYTECODE=1
PORT=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

# The installed server, or that of Debian's packages, unpacked and not installed.
redis=$(command -v redis-server || command -v valkey-server || true)
if [[ -z $redis ]]; then
    apt-get download redis-server redis-tools libjemalloc2 liblzf1 >&2
    for package in *.deb; do dpkg -x "$package" redis; done
    redis=redis/usr/bin/redis-server
    LD_LIBRARY_PATH=$folder/redis/usr/lib/$(uname -m)-linux-gnu
    export LD_LIBRARY_PATH
fi

cat >app.py <<'PYTHON'
import os
import time

from celery import Celery

url = f"redis://127.0.0.1:{os.environ['PORT']}/0"
app = Celery("app", broker=url, backend=url)
app.conf.update(
    broker_transport_options={"socket_timeout": 3, "socket_connect_timeout": 2},
    redis_socket_timeout=3,
    redis_socket_connect_timeout=2,
    broker_connection_retry_on_startup=True,
    result_backend_always_retry=bool(os.environ.get("RETRY")),
)


@app.task
def work():
    open("started", "w").close()
    time.sleep(2)
    with open("returned", "a") as file:
        print(work.request.id, file=file)
    return "value"
PYTHON

await() { # runs a command until it succeeds, for a minute at most
    for _ in $(seq 120); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    echo "not within a minute: $*" >&2
    [[ ! -e worker.log ]] || cat worker.log >&2
    exit 1
}
done_state() { # stores the state of a task, once it has one
    venv/bin/python -c 'import sys; from app import app; print(app.AsyncResult(sys.argv[1]).state)' "$1" >state
    ! grep -qE 'PENDING|STARTED' state
}
state() { # the state of a task after Redis was suspended for 20 s while it ran
    rm -f started
    "$redis" --port "$PORT" --save "" --dir "$folder" >/dev/null & server=$!
    await python3 -c "import socket; socket.create_connection(('127.0.0.1', $PORT), 1)"
    venv/bin/celery -A app worker -c 1 -l INFO --without-gossip --without-mingle >worker.log 2>&1 & worker=$!
    await grep -q ' ready' worker.log
    local id
    id=$(venv/bin/python -c 'from app import work; print(work.delay().id)')
    await test -e started
    kill -STOP "$server"
    sleep 20
    kill -CONT "$server"
    await done_state "$id"
    [[ $(grep -c "$id" returned) == 1 ]]
    kill "$worker"
    wait "$worker" 2>/dev/null || true
    kill "$server"
    wait "$server" 2>/dev/null || true
    server="" worker=""
}

state
default=$(cat state)
RETRY=1 state
retried=$(cat state)
echo "state of a task that returned once: $default; with result_backend_always_retry: $retried"
[[ $default == FAILURE && $retried == SUCCESS ]]
