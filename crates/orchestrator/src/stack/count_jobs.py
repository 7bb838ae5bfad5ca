"""Counts the jobs in the queue of Celery, in the image of a service of the stack.

Prints one line, `pb-deploy-jobs {"waiting": {QUEUE: COUNT}, "unacknowledged": COUNT}`. Exits with 0 if there are no jobs,
and with 3 if there are.

A queue is a list, with one more list for each other priority: its name, the bytes 0x06 and 0x16, and the priority. Jobs
that a worker has taken and not acknowledged are in the hash `unacked`. Lists of replies to remote control commands are
not queues.
"""

import json
import os
import sys
from collections import Counter

import redis

client = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"], socket_timeout=30, socket_connect_timeout=10)
waiting = Counter()
for key in client.scan_iter(count=1000, _type="list"):
    if not key.endswith(b".reply.celery.pidbox"):
        waiting[key.split(b"\x06\x16")[0].decode(errors="replace")] += client.llen(key)
unacknowledged = sum(client.hlen(key) for key in client.scan_iter(match="*unacked", count=1000, _type="hash"))
print("pb-deploy-jobs", json.dumps({"waiting": +waiting, "unacknowledged": unacknowledged}), flush=True)
sys.exit(3 if unacknowledged or +waiting else 0)
