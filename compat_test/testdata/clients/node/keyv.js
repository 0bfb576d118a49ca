// keyv, which keeps what it is given in memcached by @keyv/memcache, and this by memjs in the binary protocol.
const { Keyv } = require("keyv");
const { KeyvMemcache } = require("@keyv/memcache");
const { want, passes, range } = require("./round");

const [host, port, way] = process.argv.slice(2);
const login = way === "sasl" ? "alice:s3cret@" : "";
const keyv = new Keyv({ store: new KeyvMemcache(`${login}${host}:${port}`, { timeout: 20 }), namespace: "ns" });
keyv.on("error", (err) => {
  throw err;
});

(async () => {
  want("get of nothing", await keyv.get("nobody"), undefined);
  for (const value of ["", "x", 42, true, { a: [1, null] }, "a\r\nEND\r\n", "x".repeat(500_000)]) {
    want("set", await keyv.set("k", value), true);
    want("get", await keyv.get("k"), value);
  }
  want("has", [await keyv.has("k"), await keyv.has("nobody")], [true, false]);
  want("delete", await keyv.delete("k"), true);
  want("delete again", await keyv.delete("k"), false);

  await Promise.all(range(100).map((i) => keyv.set(`many${i}`, i)));
  want("get many", await keyv.get(range(101).map((i) => `many${i}`)), [...range(100), undefined]);
  want("delete many", await keyv.delete(range(50).map((i) => `many${i}`)), true);
  want("half of them", (await keyv.get(range(100).map((i) => `many${i}`))).filter((v) => v).length, 50);

  await keyv.set("short", "s", 60_000);
  await keyv.set("longer", "l", 600_000);
  want("not over", await keyv.get("short"), "s");
  await keyv.clear();
  want("get after clear", await keyv.get("longer"), undefined);
  process.exit(0);
})().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
