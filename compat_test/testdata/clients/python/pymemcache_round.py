# pymemcache, a client all in Python.
import ssl
import sys
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError
from round import passes, want, refuses

host, port, way = sys.argv[1:4]
context = ssl.create_default_context(cafile=sys.argv[4]) if way == "tls" else None
mc = Client((host, int(port)), default_noreply=False, timeout=5, tls_context=context)
raw = bytes(range(256))

for value in (b"", b"x", raw, b"a\r\nEND\r\nVALUE x 0 1\r\n"):
    want("set", mc.set("k", value, flags=4294967295), True)
    want("get", mc.get("k"), value)
want("get of nothing", mc.get("nobody"), None)
for key in (b"k" * 250, b"k\xc3\xa9\xf0\x9f\x98\x80\xff\x01"):
    want("set", mc.set(key, b"v"), True)
    want("get", mc.get(key), b"v")

want("add to something", mc.add("k", b"x"), False)
want("add", mc.add("n1", b"x"), True)
want("replace nothing", mc.replace("n2", b"x"), False)
want("replace", mc.replace("n1", b"b"), True)
want("append", mc.append("n1", b"c\x00"), True)
want("prepend", mc.prepend("n1", b"a"), True)
want("all of it", mc.get("n1"), b"abc\x00")
want("append to nothing", mc.append("n2", b"x"), False)

value, unique = mc.gets("n1")
want("cas", mc.cas("n1", b"mine", unique), True)
want("cas again", mc.cas("n1", b"theirs", unique), False)
want("who won", mc.get("n1"), b"mine")
want("cas of nothing", mc.cas("n2", b"x", unique), None)

mc.set("n", "35")
want("incr", mc.incr("n", 7), 42)
want("decr", mc.decr("n", 3), 39)
want("decr below 0", mc.decr("n", 100), 0)
want("get a number that has become shorter", mc.get("n"), b"0 ")
want("incr far", mc.incr("n", (1 << 64) - 1), (1 << 64) - 1)
want("incr over the end", mc.incr("n", 9), 8)
want("incr of nothing", mc.incr("n2", 1), None)
refuses("incr of a word", MemcacheClientError, lambda: mc.incr("n1", 1))

many = {"many%d" % i: b"v%d" % i for i in range(500)}
want("set many", mc.set_many(many), [])
want("get many", mc.get_many(list(many) + ["nobody"]), many)
want("gets many", {k: v for k, (v, _) in mc.gets_many(list(many)).items()}, many)
want("delete many", mc.delete_many(list(many)[:250]), True)
want("half of them", len(mc.get_many(list(many))), 250)
want("delete", mc.delete("many499"), True)
want("delete again", mc.delete("many499"), False)

large = raw * 4000
want("set large", mc.set("large", large), True)
want("get large", mc.get("large"), large)
refuses("too large", MemcacheServerError, lambda: mc.set("large", large + raw * 96))
want("what was there before", mc.get("large"), None)

mc.set("short", b"s", expire=2)
mc.set("longer", b"l", expire=2)
want("touch", mc.touch("longer", 100), True)
want("touch nothing", mc.touch("nobody", 100), False)
want("not over", mc.get("short"), b"s")
passes(3)
want("over", mc.get_many(["short", "longer"]), {"longer": b"l"})

for i in range(100):
    mc.set("quiet%d" % i, b"q", noreply=True)
mc.delete("quiet0", noreply=True)
mc.incr("n", 1, noreply=True)
mc.touch("quiet1", -1, noreply=True)
want("set without a word", mc.get("quiet99"), b"q")
want("deleted, and ended", mc.get_many(["quiet0", "quiet1"]), {})
want("counted without a word", mc.get("n"), b"9                   ")

want("version", mc.version().startswith(b"1.6."), True)
stats = mc.stats()
want("stats", (stats[b"threads"] > 0, stats[b"curr_items"] > 0), (True, True))
want("stats settings", mc.stats("settings")[b"maxconns"], 1024)
want("flush_all", mc.flush_all(), True)
want("get after it", mc.get("n"), None)
mc.quit()
