// memcached, the oldest client for node. It tells a server's no by an error or by false, never by an exception.
const { promisify } = require("util");
const Memcached = require("memcached");
const { want, refuses, passes, raw, range } = require("./round");

const [host, port] = process.argv.slice(2);
const mc = new Memcached(`${host}:${port}`, { timeout: 5000, maxValue: 2 << 20 });
const call = (name) => promisify(mc[name]).bind(mc);
const [set, get, add, replace, append, prepend, gets, cas] =
  ["set", "get", "add", "replace", "append", "prepend", "gets", "cas"].map(call);
const [incr, decr, touch, del, getMulti] = ["incr", "decr", "touch", "del", "getMulti"].map(call);

(async () => {
  for (const value of ["x", raw, "a\r\nEND\r\nVALUE x 0 1\r\n", "grüße", 42, { a: [1, null] }]) {
    want("set", await set("k", value, 0), true);
    want("get", await get("k"), value);
  }
  want("get of nothing", await get("nobody"), undefined);
  want("set of a long key", await set("k".repeat(250), "v", 0), true);
  want("get of a long key", await get("k".repeat(250)), "v");
  want("set of an odd key", await set("ké😀", "v", 0), true);
  want("get of an odd key", await get("ké😀"), "v");

  await refuses("add to something", /not stored/, add("k", "x", 0));
  want("add", await add("n1", "x", 0), true);
  await refuses("replace nothing", /not stored/, replace("n2", "x", 0));
  want("replace", await replace("n1", "b", 0), true);
  want("append", await append("n1", "c\0"), true);
  want("prepend", await prepend("n1", "a"), true);
  want("all of it", await get("n1"), "abc\0");
  await refuses("append to nothing", /not stored/, append("n2", "x"));

  const { cas: unique } = await gets("n1");
  want("cas", await cas("n1", "mine", unique, 0), true);
  want("cas again", await cas("n1", "theirs", unique, 0), false);
  want("who won", await get("n1"), "mine");

  await set("n", 35, 0);
  want("incr", await incr("n", 7), 42);
  want("decr", await decr("n", 3), 39);
  want("decr below 0", await decr("n", 100), 0);
  want("get a number that has become shorter", await get("n"), 0);
  want("incr far", await incr("n", 2 ** 31), 2 ** 31);
  want("incr of nothing", await incr("n2", 1), false);
  await refuses("incr of a word", /non-numeric/, incr("n1", 1));

  await Promise.all(range(300).map((i) => set(`many${i}`, `v${i}`, 0)));
  const many = Object.fromEntries(range(300).map((i) => [`many${i}`, `v${i}`]));
  want("get many", { ...(await getMulti([...Object.keys(many), "nobody"])) }, many);
  want("delete many", new Set(await Promise.all(range(150).map((i) => del(`many${i}`)))), new Set([true]));
  want("half of them", Object.keys(await getMulti(Object.keys(many))).length, 150);
  want("delete again", await del("many0"), false);

  const large = Buffer.concat(Array(2500).fill(raw)); // it sends them as UTF-8
  want("set large", await set("large", large, 0), true);
  want("get large", large.equals(await get("large")), true);

  await set("short", "s", 2);
  await set("longer", "l", 2);
  want("touch", await touch("longer", 100), true);
  want("touch nothing", await touch("nobody", 100), false);
  want("not over", await get("short"), "s");
  await passes(3);
  want("over", { ...(await getMulti(["short", "longer"])) }, { longer: "l" });

  const [version] = await call("version")();
  want("version", version.bugfix !== undefined, true); // it reads the last three numbers: gomemd's own
  const [stats] = await call("stats")();
  want("stats", stats.curr_items > 0, true);
  const [settings] = await call("settings")();
  want("settings", settings.maxconns, 1024);
  want("slabs", typeof (await call("slabs")()), "object");
  want("items", typeof (await call("items")()), "object");
  want("flush_all", await call("flush")(), [true]);
  want("get after it", await get("n1"), undefined);

  // The last thing, because it takes a SERVER_ERROR for a sick server, and asks it no more for a while.
  want("too large", await set("n1", "x".repeat(1 << 20), 0), false);
  process.exit(0);
})().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
