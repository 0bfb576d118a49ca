# bmemcached, a client all in Python for the binary protocol alone. It knows no append, prepend and touch.
import ssl
import sys
import bmemcached
from bmemcached.exceptions import MemcachedException
from round import passes, want

host, port, way = sys.argv[1:4]
more = {"sasl": lambda: dict(username="alice", password="s3cret"),
        "tls": lambda: dict(tls_context=ssl.create_default_context(cafile=sys.argv[4])),
        "binary": dict}[way]()
mc = bmemcached.Client(["%s:%s" % (host, port)], socket_timeout=20, **more)
raw = bytes(range(256))

for value in (b"", b"x", raw, b"a\r\nEND\r\nVALUE x 0 1\r\n", "grüße", 42, 1 << 70, True, {"a": [1, None]}):
    want("set", mc.set("k", value), True)
    want("get", mc.get("k"), value)
want("get of nothing", mc.get("nobody"), None)
for key in ("k" * 250, "k\r\n é😀\x01"):  # which only this protocol takes
    want("set", mc.set(key, b"v"), True)
    want("get", mc.get(key), b"v")

want("add to something", mc.add("k", b"x"), False)
want("add", mc.add("n1", b"x"), True)
want("replace nothing", mc.replace("n2", b"x"), False)
want("replace", mc.replace("n1", b"abc"), True)

value, unique = mc.gets("n1")
want("gets", value, b"abc")
want("cas", mc.cas("n1", b"mine", unique), True)
want("cas again", mc.cas("n1", b"theirs", unique), False)
want("who won", mc.get("n1"), b"mine")
want("cas of nothing", mc.cas("n2", b"x", unique), False)

def code(say):
    try:
        return say()
    except MemcachedException as e:
        return e.code


want("incr of nothing begins a count", mc.incr("n", 7, default=35), 35)
want("incr", mc.incr("n", 7), 42)
want("decr", mc.decr("n", 3), 39)
want("decr below 0", mc.decr("n", 100), 0)
want("incr far", mc.incr("n", (1 << 64) - 1), (1 << 64) - 1)
want("get it", mc.get("n"), str((1 << 64) - 1))
want("incr over the end", mc.incr("n", 9), 8)
want("incr of a word", code(lambda: mc.incr("n1", 1)), 6)

many = {"many%d" % i: b"v%d" % i for i in range(1000)}
want("set many", mc.set_multi(many), [])
want("get many", mc.get_multi(list(many) + ["nobody"]), many)
uniques = {unique for _, unique in mc.get_multi(list(many), get_cas=True).values()}
want("each has a unique of its own", len(uniques), 1000)
want("delete many", mc.delete_multi(list(many)[:500]), True)
want("half of them", len(mc.get_multi(list(many))), 500)
want("delete", mc.delete("many999"), True)
want("it is gone", mc.get("many999"), None)
value, unique = mc.gets("many998")
want("delete of another version", mc.delete("many998", cas=unique + 1), False)
want("delete of this version", mc.delete("many998", cas=unique), True)

large = raw * 2000
want("set large", mc.set("large", large, compress_level=0), True)
want("get large", mc.get("large"), large)
want("too large", code(lambda: mc.set("large", raw * 4096, compress_level=0)), 3)
want("what was there before", mc.get("large"), None)

mc.set("short", b"s", time=2)
mc.set("longer", b"l", time=100)
mc.incr("count", 1, default=1, time=2)
want("not over", mc.get("short"), b"s")
passes(3)
want("over", mc.get_multi(["short", "longer", "count"]), {"longer": b"l"})

(stats,) = mc.stats().values()
want("version", stats["version"].startswith(b"1.6."), True)
(settings,) = mc.stats("settings").values()
want("stats settings", settings["maxconns"], b"1024")
want("flush_all", mc.flush_all(), True)
want("get after it", mc.get("n"), None)
mc.disconnect_all()

if way == "sasl":
    def stranger(**who):
        return bmemcached.Client(["%s:%s" % (host, port)], socket_timeout=20, **who)

    for user, password in (("alice", "wrong"), ("nobody", "s3cret"), ("alice", " ")):
        want("a wrong password", code(lambda: stranger(username=user, password=password).get("k")), 0x20)
    want("no password", code(lambda: stranger().get("k")), 0x20)
