#!/usr/bin/env python3
"""The operator at work that does not end, and behind slow connections. Run by run.sh."""

import datetime
import http.client
import os
import random
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

from place import HANDS, Place, eventually, ready
from slow import SlowWay

CHURN_SECONDS = int(os.environ.get("CHURN_SECONDS", 120))
# Changes in a second, and how many resources they are about.
RATE, RESOURCES = 100, 400
SEED = int(os.environ.get("SEED", random.randrange(1 << 32)))
# How long anything may take before it counts as never.
PATIENCE = 300


class Churn:
    """Somebody who applies and deletes, and knows what is to be there in the end."""

    def __init__(self, place):
        self.place, self.applied, self.changes, self.deletions = place, {}, 0, 0

    def run(self, hand):
        chance, end = random.Random(f"{SEED} {hand}"), time.monotonic() + CHURN_SECONDS
        names = [f"churn-{n:03}" for n in range(hand, RESOURCES, HANDS)]
        due = time.monotonic()
        while time.monotonic() < end:
            self.change(chance.choice(names), chance)
            due += HANDS / RATE
            time.sleep(max(0.0, due - time.monotonic()))

    def change(self, name, chance):
        """Each name is one thread's alone."""
        api, path = self.place.api, self.place.clients
        scope = f"scope-{chance.randrange(1000)}"
        if name not in self.applied:
            body = {"apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": name}}
            body["spec"] = {"grantTypes": ["client_credentials"], "scopes": [scope]}
            status, answer = api.ask("POST", path, body)
            if status == 409:  # the former one has not gone yet
                return
            assert status == 201, answer
            self.applied[name] = scope
        elif chance.random() < 0.3:
            api.do("DELETE", f"{path}/{name}")
            del self.applied[name]
            self.deletions += 1
        else:
            api.edit(path, name, {"scopes": [scope]})
            self.applied[name] = scope
        self.changes += 1


class Scenarios(unittest.TestCase):
    def test_47_churn_ends_in_what_was_applied_last_and_leaves_nothing_behind(self):
        with Place(controller_manager=True) as place:
            place.start()
            churn = Churn(place)
            failures = []

            def hand(number):
                try:
                    churn.run(number)
                except BaseException as failure:
                    failures.append(failure)

            hands = [threading.Thread(target=hand, args=(number,)) for number in range(HANDS)]
            began = time.monotonic()
            [one.start() for one in hands]
            [one.join() for one in hands]
            self.assertEqual(failures, [], f"SEED={SEED}")
            rate = churn.changes / (time.monotonic() - began)
            print(f"{churn.changes} changes, {rate:.0f} a second, {churn.deletions} of them deletions, SEED={SEED}", file=sys.stderr)
            self.assertGreater(churn.deletions, CHURN_SECONDS, "there was churn")
            ended = time.time()
            eventually("what was applied last", lambda: self.is_as_applied(place, churn.applied), PATIENCE, 1)
            print(f"as applied {time.time() - ended:.1f} s after the last change", file=sys.stderr)
            place.rest(PATIENCE)
            self.assertEqual(place.count("clients"), len(churn.applied), "no row is left behind")
            self.assertEqual(place.count("client_secrets", "state = 'current'"), len(churn.applied))

            def no_others():
                return {one["metadata"]["name"] for one in place.api.list(place.secrets)} == {
                    f"{name}-oauth2-client" for name in churn.applied
                }

            eventually("no Secret is left behind", no_others, PATIENCE, 1)
            writes = len(place.writes())
            place.operator.stop()
            place.start()
            place.rest(PATIENCE)
            self.assertEqual(len(place.writes()), writes, "nothing is left to do")

    def is_as_applied(self, place, applied):
        found = {one["metadata"]["name"]: one for one in place.api.list(place.clients)}
        if found.keys() != applied.keys() or not all(map(ready, found.values())):
            return False
        rows = place.sql("SELECT coalesce(string_agg(manager_name || '=' || (metadata::json ->> 'scope'), ' '), '') FROM clients")
        return dict(row.split("=") for row in rows.split()) == applied

    def test_48_behind_slow_connections_the_queue_stays_bounded_and_keys_turn_in_time(self):
        clients, sets, lead = 150, 20, 60
        with Place() as place:
            api = urllib.parse.urlsplit(place.api.config["clusters"][0]["cluster"]["server"])
            database = urllib.parse.urlsplit(place.dsn)
            to_api = SlowWay(api.hostname, api.port, 0.2)
            to_database = SlowWay(database.hostname, database.port or 5432, 0.05)
            dsn = place.dsn.replace(database.netloc, f"{database.netloc.rsplit('@', 1)[0]}@127.0.0.1:{to_database.port}")
            self.check_slowness(place, to_api, dsn)
            operator = place.start(server=f"https://127.0.0.1:{to_api.port}", dsn=dsn)

            # In between, all sets are made, and the clients come so that they are being made when keys are due.
            turn = (int(time.time() + lead + 75) // 60 + 1) * 60
            at = datetime.datetime.fromtimestamp(turn, datetime.UTC)
            rotation = {"schedule": f"{at.minute} {at.hour} * * *", "timeZone": "UTC", "publishBefore": f"{lead}s"}
            spec = {"algorithms": ["ES256"], "rotation": rotation}
            names = [f"set-{n}" for n in range(sets)]
            place.at_once(lambda name: place.api.create(place.key_sets, "JsonWebKeySet", name, spec), names)
            eventually("all sets have a key", lambda: place.count("keys") >= sets, 60)
            place.rest(60)
            eventually("the next keys are due soon", lambda: time.time() > turn - lead - 5, 200)
            spec = {"grantTypes": ["client_credentials"]}
            create = lambda n: place.api.create(place.clients, "OAuth2Client", f"client-{n}", spec)
            place.at_once(create, range(clients))

            in_time = f"active_at >= {turn} AND active_at < {turn + 60}"
            depths = []

            def all_done():
                depths.append(operator.metric("queue_depth", 'kind="OAuth2Client"') or 0)
                return place.count("clients") == clients and place.count("keys", in_time) == sets

            eventually("all clients, and all next keys", all_done, PATIENCE, 1)
            published = int(place.sql(f"SELECT max(published_at) FROM keys WHERE {in_time}"))
            print(f"next keys published {published - turn + lead} s after they were due", file=sys.stderr)
            self.assertLess(published, turn - lead + 60)
            self.assertGreater(max(depths), 8, "there was a queue")
            self.assertLessEqual(max(depths), clients, "each waits once")
            eventually("the queue is empty", lambda: operator.metric("queue_depth") == 0, PATIENCE)
            eventually("all are Ready", lambda: all(map(ready, place.api.list(place.clients))), PATIENCE, 1)

            def turned():
                active = [one["status"]["activeKeyId"] for one in place.api.list(place.key_sets)]
                kids = place.sql(f"SELECT string_agg(kid, ' ') FROM keys WHERE {in_time}").split()
                return sorted(active) == sorted(kids)

            eventually("all statuses say that the keys turned", turned, PATIENCE, 1)
            place.rest(PATIENCE)

    def check_slowness(self, place, to_api, dsn):
        began = time.monotonic()
        connection = http.client.HTTPSConnection(f"127.0.0.1:{to_api.port}", context=place.api.trust)
        connection.request("GET", "/version")
        connection.getresponse().read()
        self.assertGreater(time.monotonic() - began, 0.2, "the API server is far away")
        began = time.monotonic()
        place.sql("SELECT 1", dsn)
        self.assertGreater(time.monotonic() - began, 0.1, "the database is far away")


if __name__ == "__main__":
    # Connections are a thread's, and end with it.
    unittest.main(failfast=True, verbosity=2, warnings="ignore")
