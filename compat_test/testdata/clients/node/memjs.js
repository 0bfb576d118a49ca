// memjs, node's client for the binary protocol. Values come and go as bytes. It knows no cas and no request for several
// keys, and its prepend appends.
const memjs = require("memjs");
const { want, refuses, passes, raw, range } = require("./round");

const [host, port, way] = process.argv.slice(2);
const options = { timeout: 20, conntimeout: 20, retries: 1, logger: { log() {} } };
const login = way === "sasl" ? { username: "alice", password: "s3cret" } : {};
const mc = memjs.Client.create(`${host}:${port}`, { ...options, ...login });
const get = async (key) => (await mc.get(key)).value?.toString("latin1");
const stats = (key) => new Promise((resolve, reject) =>
  mc.statsWithKey(key, (err, _, stats) => (err ? reject(err) : resolve(stats))));

(async () => {
  for (const value of ["", "x", raw, "a\r\nEND\r\nVALUE x 0 1\r\n"]) {
    want("set", await mc.set("k", value), true);
    want("get", await get("k"), value.toString("latin1"));
  }
  want("flags", (await mc.get("k")).flags, Buffer.alloc(4));
  want("get of nothing", await mc.get("nobody"), { value: null, flags: null });
  for (const key of ["k".repeat(250), "ké😀", "a b\r\n\0"]) {
    want("set", await mc.set(key, "v"), true);
    want("get", await get(key), "v");
  }

  want("add to something", await mc.add("k", "x"), false);
  want("add", await mc.add("n1", "x"), true);
  want("replace nothing", await mc.replace("n2", "x"), false);
  want("replace", await mc.replace("n1", "b"), true);
  want("append", await mc.append("n1", "c\0"), true);
  want("all of it", await get("n1"), "bc\0");
  await refuses("append to nothing", /./, mc.append("n2", "x"));

  want("incr of nothing begins a count", await mc.increment("n", 7, { initial: 35 }), { success: true, value: 35 });
  want("incr", await mc.increment("n", 7, {}), { success: true, value: 42 });
  want("decr", await mc.decrement("n", 3, {}), { success: true, value: 39 });
  want("get it", await get("n"), "39");
  want("decr below 0", await mc.decrement("n", 100, {}), { success: true, value: 0 });
  await refuses("incr of a word", /non-numeric/, mc.increment("n1", 1, {}));

  // All of it at once, by one connection.
  await Promise.all(range(1000).map((i) => mc.set(`many${i}`, `v${i}`)));
  const values = () => Promise.all(range(1000).map((i) => get(`many${i}`)));
  want("get many", await values(), range(1000).map((i) => `v${i}`));
  want("delete many", await Promise.all(range(500).map((i) => mc.delete(`many${i}`))), Array(500).fill(true));
  want("half of them", (await values()).filter((v) => v).length, 500);
  want("delete again", await mc.delete("many0"), false);

  const large = Buffer.concat(Array(2000).fill(raw));
  want("set large", await mc.set("large", large), true);
  want("get large", large.equals((await mc.get("large")).value), true);
  await refuses("too large", /too large/i, mc.set("large", Buffer.concat(Array(4096).fill(raw))));
  want("what was there before", await get("large"), undefined);

  await mc.set("short", "s", { expires: 2 });
  await mc.set("longer", "l", { expires: 2 });
  want("touch", await mc.touch("longer", 100), true);
  want("touch nothing", await mc.touch("nobody", 100), false);
  want("not over", await get("short"), "s");
  await passes(3);
  want("over", [await get("short"), await get("longer")], [undefined, "l"]);

  want("version", (await stats("")).version.slice(0, 4), "1.6.");
  want("stats settings", (await stats("settings")).maxconns, "1024");
  want("flush_all", await mc.flush(), { [`${host}:${port}`]: true });
  want("get after it", await get("n1"), undefined);
  mc.close();

  if (way === "sasl") {
    for (const [username, password] of [["alice", "wrong"], ["nobody", "s3cret"]]) {
      const stranger = memjs.Client.create(`${host}:${port}`, { ...options, username, password });
      await refuses("a wrong password", /authentication failed/, stranger.get("k"));
    }
    const stranger = memjs.Client.create(`${host}:${port}`, { ...options, retries: 0 });
    await refuses("no password", /authentication failed/, stranger.get("k"));
  }
  process.exit(0);
})().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
