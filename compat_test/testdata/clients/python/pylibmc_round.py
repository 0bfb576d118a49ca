# pylibmc: libmemcached under Python, with its text protocol and with its binary one.
import sys
import pylibmc
from round import passes, want, refuses

server, way = "%s:%s" % (sys.argv[1], sys.argv[2]), sys.argv[3]
login = dict(username="alice", password="s3cret") if way == "sasl" else {}
mc = pylibmc.Client([server], binary=way != "text", behaviors={"cas": True}, **login)
raw = bytes(range(256))

# values of every kind; the type travels in the flags
for value in (b"", b"x", raw, b"a\r\nEND\r\nVALUE x 0 1\r\n", "grüße", 42, 1 << 70, True, {"a": [1, None]}):
    want("set", mc.set("k", value), True)
    want("get", mc.get("k"), value)
want("get of nothing", mc.get("nobody"), None)
for key in (b"k" * 250, b"k\xc3\xa9\xf0\x9f\x98\x80\xff\x01"):
    want("set", mc.set(key, b"v"), True)
    want("get", mc.get(key), b"v")

want("add to something", mc.add("k", b"x"), False)
want("add", mc.add("n1", b"x"), True)
if way == "text":
    want("replace nothing", mc.replace("n2", b"x"), False)
else:
    refuses("replace nothing", pylibmc.NotFound, lambda: mc.replace("n2", b"x"))
want("replace", mc.replace("n1", b"b"), True)
want("append", mc.append("n1", b"c\x00"), True)
want("prepend", mc.prepend("n1", b"a"), True)
want("all of it", mc.get("n1"), b"abc\x00")
want("append to nothing", mc.append("n2", b"x"), False)

value, unique = mc.gets("n1")
want("cas", mc.cas("n1", b"mine", unique), True)
want("cas again", mc.cas("n1", b"theirs", unique), False)
want("who won", mc.get("n1"), b"mine")
refuses("cas of nothing", pylibmc.NotFound, lambda: mc.cas("n2", b"x", unique))

mc.set("n", 35)
want("incr", mc.incr("n", 7), 42)
want("decr", mc.decr("n", 3), 39)
want("decr below 0", mc.decr("n", 100), 0)
want("get a number that has become shorter", int(mc.get("n")), 0)
want("incr far", mc.incr("n", (1 << 31) - 1), (1 << 31) - 1)
mc.set("n", (1 << 64) - 1)
want("incr over the end", mc.incr("n", 9), 8)
refuses("incr of nothing", pylibmc.NotFound, lambda: mc.incr("n2"))
refuses("incr of a word", pylibmc.ClientError if way == "text" else pylibmc.UnknownReadFailure, lambda: mc.incr("n1"))

many = {"many%d" % i: b"v%d" % i for i in range(500)}
want("set many", mc.set_multi(many), [])
want("get many", mc.get_multi(list(many) + ["nobody"]), many)
want("delete many", mc.delete_multi(list(many)[:250]), True)
want("half of them", len(mc.get_multi(list(many))), 250)
want("delete", mc.delete("many499"), True)
want("delete again", mc.delete("many499"), False)

large = raw * 4000
want("set large", mc.set("large", large), True)
want("get large", mc.get("large"), large)
refuses("too large", pylibmc.TooBig, lambda: mc.set("large", large + raw * 96))
want("what was there before", mc.get("large"), None)

mc.set("short", b"s", time=2)
mc.set("longer", b"l", time=2)
want("touch", mc.touch("longer", 100), True)
want("touch nothing", mc.touch("nobody", 100), False)
want("not over", mc.get("short"), b"s")
passes(3)
want("over", mc.get_multi(["short", "longer"]), {"longer": b"l"})

(_, stats), = mc.get_stats()
want("version", stats["version"].startswith(b"1.6."), True)

want("flush_all", mc.flush_all(), True)
want("get after it", mc.get("n"), None)

if way == "sasl":
    for login in (dict(username="alice", password="wrong"), dict(username="nobody", password="s3cret"), {}):
        stranger = pylibmc.Client([server], binary=True, **login)
        refuses("a wrong password, or none", pylibmc.Error, lambda: stranger.set("k", b"x"))
    want("what has come of it", mc.get("k"), None)
