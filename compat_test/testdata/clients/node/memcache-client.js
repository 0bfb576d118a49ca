// memcache-client, which speaks by promises and asks for several keys in one line.
const { readFileSync } = require("fs");
const { MemcacheClient } = require("memcache-client");
const { want, refuses, passes, raw, range } = require("./round");

const [host, port, way, ca] = process.argv.slice(2);
const tls = way === "tls" ? { tls: { ca: readFileSync(ca) } } : {};
const mc = new MemcacheClient({ server: `${host}:${port}`, cmdTimeout: 5000, ignoreNotStored: false, ...tls });

// A get of nothing is undefined, a get of something has the value beside its line.
const get = async (key) => (await mc.get(key))?.value;

(async () => {
  for (const value of ["x", raw, "a\r\nEND\r\nVALUE x 0 1\r\n", "grüße", 42, { a: [1, null] }]) {
    want("set", await mc.set("k", value), ["STORED"]);
    want("get", await get("k"), value);
  }
  want("get of nothing", await get("nobody"), undefined);
  want("set of a long key", await mc.set("k".repeat(250), "v"), ["STORED"]);
  want("get of a long key", await get("k".repeat(250)), "v");

  await refuses("add to something", /NOT_STORED/, mc.add("k", "x"));
  want("add", await mc.add("n1", "x"), ["STORED"]);
  await refuses("replace nothing", /NOT_STORED/, mc.replace("n2", "x"));
  want("replace", await mc.replace("n1", "b"), ["STORED"]);
  want("append", await mc.append("n1", "c\0"), ["STORED"]);
  want("prepend", await mc.prepend("n1", "a"), ["STORED"]);
  want("all of it", await get("n1"), "abc\0");
  await refuses("append to nothing", /NOT_STORED/, mc.append("n2", "x"));

  const { casUniq } = await mc.gets("n1");
  want("cas", await mc.cas("n1", "mine", { casUniq }), ["STORED"]);
  await refuses("cas again", /EXISTS/, mc.cas("n1", "theirs", { casUniq }));
  want("who won", await get("n1"), "mine");
  await refuses("cas of nothing", /NOT_FOUND/, mc.cas("n2", "x", { casUniq }));

  await mc.set("n", "35");
  want("incr", await mc.incr("n", 7), "42");
  want("decr", await mc.decr("n", 3), "39");
  want("decr below 0", await mc.decr("n", 100), "0");
  want("get a number that has become shorter", await get("n"), "0 ");
  want("incr far", await mc.incr("n", 2 ** 53 - 1), "9007199254740991");
  await refuses("incr of nothing", /NOT_FOUND/, mc.incr("n2", 1));
  await refuses("incr of a word", /non-numeric/, mc.incr("n1", 1));

  await Promise.all(range(300).map((i) => mc.set(`many${i}`, `v${i}`)));
  const keys = range(300).map((i) => `many${i}`);
  const values = async () => Object.entries(await mc.get([...keys, "nobody"])).map(([key, { value }]) => [key, value]);
  want("get many", (await values()).sort(), keys.map((key) => [key, key.replace("many", "v")]).sort());
  await Promise.all(keys.slice(150).map((key) => mc.delete(key)));
  want("half of them", (await values()).length, 150);
  await refuses("delete again", /NOT_FOUND/, mc.delete("many299"));

  const large = Buffer.concat(Array(4000).fill(raw));
  want("set large", await mc.set("large", large), ["STORED"]);
  want("get large", large.equals(await get("large")), true);
  await refuses("too large", /object too large for cache/, mc.set("large", Buffer.concat(Array(4096).fill(raw))));
  want("what was there before", await get("large"), undefined);

  await mc.set("short", "s", { lifetime: 2 });
  await mc.set("longer", "l", { lifetime: 2 });
  want("touch", await mc.touch("longer", 100), ["TOUCHED"]);
  await refuses("touch nothing", /NOT_FOUND/, mc.touch("nobody", 100));
  want("not over", await get("short"), "s");
  await passes(3);
  want("over", Object.keys(await mc.get(["short", "longer"])), ["longer"]);

  for (const i of range(100)) mc.set(`quiet${i}`, "q", { noreply: true });
  mc.delete("quiet0", { noreply: true });
  want("set without a word", await get("quiet99"), "q");
  want("deleted without a word", await get("quiet0"), undefined);

  want("version", (await mc.version())[1].slice(0, 4), "1.6.");
  want("stats", (await mc.cmd("stats")).STAT.length > 50, true);
  want("a get by hand", (await mc.cmd("gat 100 longer")).longer.value, "l");
  want("flush_all", await mc.cmd("flush_all"), ["OK"]);
  want("get after it", await get("n1"), undefined);
  mc.shutdown();
})().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
