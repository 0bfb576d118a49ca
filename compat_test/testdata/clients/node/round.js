// What the rounds in JavaScript share.
const { deepStrictEqual } = require("assert");

exports.want = (what, got, wanted) => deepStrictEqual(got, wanted, `${what}: ${show(got)}, want ${show(wanted)}`);

const show = (value) => String(Buffer.isBuffer(value) ? value.toString("latin1") : JSON.stringify(value)).slice(0, 200);

exports.refuses = async (what, pattern, promise) => {
  const said = await promise.then((v) => `no error, but ${show(v)}`, (err) => String(err.message || err));
  if (!pattern.test(said)) throw new Error(`${what}: ${said.slice(0, 200)}, want ${pattern}`);
};

// passes lets the test move the server's clock.
exports.passes = (seconds) =>
  new Promise((resolve) => {
    process.stdin.once("data", () => {
      process.stdin.destroy(); // or it keeps the script from ending
      resolve();
    });
    console.log(`pass ${seconds}`);
  });

exports.raw = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
exports.range = (n) => Array.from({ length: n }, (_, i) => i);
