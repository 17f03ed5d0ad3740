#!/usr/bin/env python3
"""What so many resources cost the operator, and how long they take. Prints a table.

Counts and states are assertions. Times and memory depend on the machine: they stand in the table beside the aim, and one
that misses it by far is a failure in the end.

Usage: measure.py CLIENTS [KEY-SETS]
"""

import base64
import collections
import datetime
import math
import os
import sys
import time

from place import Place, eventually, processor_time, ready, reason

# For how many clients there is an aim, in seconds or MiB.
AIMS = {
    "ready": {1000: 15, 5000: 90},
    "edited": {1000: 8},
    "deleted": {1000: 15},
    "restarted": {1000: 3},
    "memory": {1000: 64, 5000: 150},
}
# A miss by this factor is a failure.
FAR = float(os.environ.get("FAR", 2))
# The most requests that change something, for a new client: finalizer, Secret, status and an event.
MOST_WRITES = 4
# How long nothing may be written where nothing changed.
STEADY = 60
# From when a key is published until it becomes active: as short as a test has patience for.
LEAD = 60


class Table:
    def __init__(self, clients):
        self.clients, self.rows, self.missed = clients, [], []

    def tell(self, what, value, unit, aim=None):
        wanted = AIMS.get(aim, {}).get(self.clients) if isinstance(aim, str) else aim
        number = str(value) if isinstance(value, int) else f"{value:.1f}"
        self.rows.append((what, f"{number} {unit}".strip(), f"{wanted} {unit}".strip() if wanted else ""))
        print(f"  {what}: {number} {unit}" + (f" (aim {wanted})" if wanted else ""), file=sys.stderr, flush=True)
        if wanted and value > FAR * wanted:
            self.missed.append(f"{what}: {value:.1f} {unit}, aim {wanted}")

    def print(self):
        print(f"| {self.clients} clients | | aim |\n|---|--:|--:|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")


class Measurement:
    def __init__(self, place, clients):
        self.place, self.n = place, clients
        self.names = [f"client-{n:05}" for n in range(clients)]
        # How long may anything take before it counts as never.
        self.patience = 120 + clients // 4
        self.table = Table(clients)

    def create(self):
        """All at once, with one among them that cannot have its Secret."""
        place, api = self.place, self.place.api
        foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "somebody-elses"}}
        api.do("POST", place.secrets, foreign)
        began = time.time()
        used = processor_time(place.operator.process.pid), place.server_processor_time(), self.transactions()
        spec = {"grantTypes": ["client_credentials"], "scopes": ["read"]}
        bad = spec | {"secret": {"name": "somebody-elses"}}

        def create(name):
            if name == self.names[self.n // 2]:
                api.create(place.clients, "OAuth2Client", "bad", bad)
            api.create(place.clients, "OAuth2Client", name, spec)

        created = place.at_once(create, self.names)
        done = eventually("all have a status", lambda: self.statuses(began), self.patience)
        last = place.rest(self.patience)
        self.table.tell("created and Ready with its Secret, after the last create", done - created, "s", "ready")
        self.table.tell("the same, after the first create", done - began, "s")
        self.check_ready()
        self.check_writes(began)
        reads = len(place.all_requests(began)) - len(place.writes(began))
        self.table.tell("API reads for each", reads / self.n, "")
        per_client = 1000 / self.n
        self.table.tell("transactions for each", (self.transactions() - used[2]) / self.n, "")
        mine = processor_time(place.operator.process.pid) - used[0]
        self.table.tell("processor time of the operator for each", mine * per_client, "ms")
        self.table.tell("of the API server", (place.server_processor_time() - used[1]) * per_client, "ms")
        self.table.tell("until the operator rests, after the last create", last.done - created, "s")

    def statuses(self, since):
        """When the last resource got its first status; nothing as long as one has none."""
        first = {}
        for one in self.place.requests(since):
            if one.verb == "patch" and one.resource == "oauth2clients/status" and one.code == 200:
                first.setdefault(one.name, one.done)
        return max(first.values()) if len(first) == self.n + 1 else None

    def check_ready(self):
        place = self.place
        found = {one["metadata"]["name"]: one for one in place.api.list(place.clients)}
        assert reason(found.pop("bad")) == "SecretConflict", "the bad one is answered"
        not_ready = [name for name in self.names if not ready(found[name])]
        assert not not_ready, f"not Ready: {not_ready[:5]}"
        secrets = {one["metadata"]["name"]: one.get("data", {}) for one in place.api.list(place.secrets)}
        for name in self.names:
            secret = secrets[found[name]["status"]["secretName"]]
            assert base64.b64decode(secret["CLIENT_ID"]).decode() == found[name]["status"]["clientId"], name
            assert len(base64.b64decode(secret["CLIENT_SECRET"])) >= 26, name
        assert place.count("clients") == place.count("client_secrets", "state = 'current'") == self.n

    def check_writes(self, since):
        writes = self.place.writes(since)
        of_each = collections.defaultdict(list)
        for one in writes:
            of_each[one.name[: len(self.names[0])]].append(f"{one.verb} {one.resource} {one.code}")
        most = max(len(of_each[name]) for name in self.names)
        self.table.tell("API writes for each, at most", most, "", MOST_WRITES)
        many = {name: of_each[name] for name in self.names if len(of_each[name]) > MOST_WRITES}
        assert not many, f"{len(many)} took more than {MOST_WRITES} writes: {list(many.items())[:2]}"
        assert len(writes) <= MOST_WRITES * (self.n + 1), f"{len(writes)} writes in all"

    def transactions(self):
        return int(self.place.sql("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()"))

    def memory(self, when):
        self.table.tell(f"memory {when}", self.place.operator.memory(), "MiB", "memory")
        self.table.tell(f"memory {when}, its own", self.place.operator.memory("RssAnon"), "MiB")
        self.table.tell(f"memory {when}, the most until then", self.place.operator.memory("VmHWM"), "MiB")

    def edit(self):
        place = self.place
        spec = {"scopes": ["read", "write"]}
        began = time.time()
        edited = place.at_once(lambda name: place.api.edit(place.clients, name, spec), self.names)
        here = lambda: place.count("clients", "metadata LIKE '%read write%'") == self.n
        eventually("all edits are in the database", here, self.patience)
        done = time.time()
        place.rest(self.patience)
        self.table.tell("edited and in the database, after the last edit", done - edited, "s", "edited")
        self.table.tell("the same, after the first edit", done - began, "s")
        self.table.tell("API writes for each edit", len(place.writes(began)) / self.n, "")
        self.check_ready()

    def stand_still(self):
        place = self.place
        began, used = time.time(), processor_time(place.operator.process.pid)
        time.sleep(STEADY)
        writes = place.writes(began)
        assert not writes, f"written where nothing changed: {writes[:3]}"
        self.table.tell(f"API writes in {STEADY} s in which nothing changes", len(writes), "")
        used = processor_time(place.operator.process.pid) - used
        self.table.tell("processor time in them", used * 100 / STEADY, "%")

    def restart(self):
        place = self.place
        place.operator.stop()
        operator = place.start()
        last = place.rest(self.patience)
        requests, writes = place.all_requests(operator.started), place.writes(operator.started)
        assert len(requests) > self.n, "it looks at all"
        assert not writes, f"a restart writes: {writes[:3]}"
        self.table.tell("restarted and at rest, without a write", last.done - operator.started, "s", "restarted")

    def turn(self, sets):
        """So many key sets, whose next keys become active in the same minute."""
        place, names = self.place, [f"set-{n:05}" for n in range(sets)]
        minutes = math.ceil((time.time() + LEAD + 90 + sets / 8) / 60)
        turn = datetime.datetime.fromtimestamp(minutes * 60, datetime.UTC)
        rotation = {"schedule": f"{turn.minute} {turn.hour} * * *", "timeZone": "UTC", "publishBefore": f"{LEAD}s"}
        spec = {"algorithms": ["ES256"], "rotation": rotation}
        create = lambda name: place.api.create(place.key_sets, "JsonWebKeySet", name, spec)
        began = time.time()
        place.at_once(create, names)
        made = "active_at < {0} AND retired_at IS NULL".format(minutes * 60)
        eventually("all have a key", lambda: place.count("keys", made) >= sets, self.patience)
        self.table.tell(f"{sets} key sets with a key, after the first create", time.time() - began, "s")
        place.rest(self.patience)
        assert time.time() < minutes * 60 - LEAD, "there was time enough"
        # Whoever published late, and so would make all others wait for its key, is not within the minute.
        in_time = f"active_at >= {minutes * 60} AND active_at < {minutes * 60 + 60}"
        due = lambda: place.count("keys", in_time) == sets
        eventually("all have a next key that becomes active in the minute", due, minutes * 60 + 60 - time.time(), 1)
        last = int(place.sql(f"SELECT max(active_at) FROM keys WHERE {in_time}"))
        self.table.tell("the last of their next keys becomes active, after the first could", last - minutes * 60, "s", 60)
        kids = dict(self.kids(in_time))

        def turned():
            return all(one.get("status", {}).get("activeKeyId") == kids[one["metadata"]["name"]] for one in place.api.list(place.key_sets))

        eventually("all statuses say so", turned, minutes * 60 + 120 - time.time(), 2)
        self.table.tell("all their statuses say so, after", time.time() - minutes * 60, "s")

    def kids(self, which):
        text = self.place.sql(f"SELECT string_agg(set_name || '=' || kid, ' ') FROM keys WHERE {which}")
        return (pair.rsplit("=", 1) for pair in text.split())

    def delete(self):
        place = self.place
        began = time.time()
        deleted = place.at_once(lambda name: place.api.do("DELETE", f"{place.clients}/{name}"), ["bad", *self.names])
        gone = lambda: place.count("clients") == 0 and not place.api.list(place.clients)
        eventually("all are gone", gone, self.patience, 0.3)
        done = time.time()
        self.table.tell("deleted, no row and no finalizer left, after the last delete", done - deleted, "s", "deleted")
        self.table.tell("the same, after the first delete", done - began, "s")
        assert place.count("client_secrets") == 0
        place.rest(self.patience)
        self.table.tell("API writes for each delete", len(place.writes(began)) / self.n, "")


def main():
    clients = int(sys.argv[1])
    key_sets = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(f"{clients} clients", file=sys.stderr, flush=True)
    with Place() as place:
        place.start()
        measurement = Measurement(place, clients)
        measurement.create()
        measurement.memory("when all are Ready")
        measurement.edit()
        measurement.stand_still()
        measurement.memory("after edits and a quiet minute")
        measurement.restart()
        measurement.memory("after the restart")
        if key_sets:
            measurement.turn(key_sets)
        measurement.delete()
    measurement.table.print()
    if measurement.table.missed:
        sys.exit("missed by far: " + "; ".join(measurement.table.missed))


if __name__ == "__main__":
    main()
