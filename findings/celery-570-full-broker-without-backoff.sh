#!/usr/bin/env bash
# Celery 5.7.0 reconnects to a Redis broker without memory six times in a row, each second, for as long as that lasts.
#
# The setting: a worker with `broker_channel_error_retry=True`, which lets it outlive a failover of Redis, and a server at its
# `maxmemory` with the policy `noeviction`, which answers reads and refuses writes.
#
# Expected: the pauses of `broker_connection_retry`, which grow by 2 s from attempt to attempt, as for a server that is away.
# Seen: a refused write restarts the consumer at once, up to six times within milliseconds. Then it logs CRITICAL `Frequent
# restarts detected` with a traceback, sleeps for one second, and begins again: several lines and a traceback each second, from
# each worker, and never a growing pause. The worker goes on as soon as there is memory.
# Versions: celery 5.7.0, kombu 5.7.0, redis 8.1.0 (client), Redis 7.0 as the server.
set -euo pipefail

folder=$(mktemp -d)
server="" worker=""
end() {
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

from celery import Celery

app = Celery("app", broker=f"redis://127.0.0.1:{os.environ['PORT']}/0")
app.conf.update(broker_channel_error_retry=True, broker_connection_retry_on_startup=True)
PYTHON

await() { # runs a command until it succeeds, for a minute at most
    for _ in $(seq 120); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.5
    done
    echo "not within a minute: $*" >&2
    cat worker.log >&2
    exit 1
}
set_memory() { # limits the memory of the server
    venv/bin/python -c "import redis, os; redis.Redis(port=int(os.environ['PORT'])).config_set('maxmemory', '$1')"
}

"$redis" --port "$PORT" --save "" --dir "$folder" --maxmemory-policy noeviction >/dev/null &
server=$!
await set_memory 1
venv/bin/celery --app app worker --loglevel INFO --pool solo >worker.log 2>&1 &
worker=$!
await grep -q "Frequent restarts detected" worker.log
sleep 10
attempts=$(grep -c "Cannot connect to" worker.log)
restarts=$(grep -c "Frequent restarts detected" worker.log)
pauses=$(grep -cE "Trying again in [0-9]+" worker.log || true)
echo "in about 10 s: $attempts refused attempts, $restarts times 'Frequent restarts detected', $pauses announced pauses"
kill -0 "$worker"
set_memory 0
await grep -q " ready\." worker.log
[[ $attempts -ge 30 && $restarts -ge 5 && $pauses -eq 0 ]]
