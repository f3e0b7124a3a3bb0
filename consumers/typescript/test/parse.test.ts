import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { EventError, parse, type Reason } from "../src/index.js";
import { readJson } from "../src/json.js";
import { event, type Fields, SAMPLES, setting, text } from "./common.js";

test("what Tollgate writes is read", () => {
  assert.ok(SAMPLES.length > 30);
  for (const line of SAMPLES) assert.deepEqual(plain(parse(line)), JSON.parse(line));
  const largest = SAMPLES.map((line) => parse(line).amount?.minor_units).find((units) => units === 10n ** 36n - 1n);
  assert.ok(largest, "an amount of 36 digits");
});

/** With what `JSON.parse` makes of large integers. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, one) => (typeof one === "bigint" ? Number(one) : one)));
}

test("what was published is read", (context) => {
  const file = setting("TOLLGATE_MESSAGES");
  if (!file) return context.skip("no messages: scripts/check/consumers has them written");
  const bodies = readFileSync(file, "utf8").trim().split("\n").map((line) => (JSON.parse(line) as { body: string }).body);
  assert.ok(bodies.length > 100);
  for (const body of bodies) {
    const units = /"minor_units":\s*(-?\d+)/.exec(body)?.[1];
    assert.equal(parse(body).amount?.minor_units.toString(), units);
  }
});

for (const units of ["0", "-1", "9007199254740993", "123456789012345678901234567890", `-${"9".repeat(36)}`]) {
  test(`money is an integer of any size: ${units}`, () => {
    const json = text({ amount: { minor_units: 0, currency: "EUR", exponent: null, value: null } });
    assert.equal(parse(json.replace('"minor_units":0', `"minor_units":${units}`)).amount?.minor_units, BigInt(units));
  });
}

test("an envelope and a bare event are the same", () => {
  const envelope = { version: "0", id: "1", "detail-type": "payment.succeeded", source: "tollgate", detail: event() };
  assert.deepEqual(parse(JSON.stringify(envelope, null, 2)), parse(text()));
});

test("unknown fields are left out and unknown types are kept", () => {
  const read = parse(text({ type: "payment.teleported", category: "space", warp: 9, customer: { id: "c", planet: "x" } }));
  assert.deepEqual([read.type, read.category, read.customer], ["payment.teleported", "space", { id: "c" }]);
  assert.ok(!("warp" in read) && !("livemode" in read));
});

test("a name of the merchant's is a name and nothing else", () => {
  const read = parse(text({ metadata: 0 }).replace('"metadata":0', '"metadata":{"__proto__":"p","constructor":"c"}'));
  assert.deepEqual(Object.entries(read.metadata ?? {}), [["__proto__", "p"], ["constructor", "c"]]);
});

const amount = (fields: Fields): Fields => ({ amount: { minor_units: 5, currency: "EUR", exponent: 2, value: null, ...fields } });
for (const [change, at] of [
  [{ id: "evt_1" }, "$.id"],
  [{ id: `evt_${"0".repeat(32)}\n` }, "$.id"],
  [{ id: null }, "$.id"],
  [{ type: "" }, "$.type"],
  [{ type: 1 }, "$.type"],
  [{ authenticity: "trusted" }, "$.authenticity"],
  [{ authenticity: ["verified"] }, "$.authenticity"],
  [{ restates: "" }, "$.restates"],
  [{ occurred_at: "2026-01-02 03:04:05" }, "$.occurred_at"],
  [{ occurred_at: "2026-01-02T03:04:05+01:00" }, "$.occurred_at"],
  [{ superseded: "false" }, "$.superseded"],
  [{ amount: 5 }, "$.amount"],
  [{ amount: {} }, "$.amount.minor_units"],
  [amount({ minor_units: 5.5 }), "$.amount.minor_units"],
  [amount({ minor_units: "5" }), "$.amount.minor_units"],
  [amount({ minor_units: true }), "$.amount.minor_units"],
  [amount({ currency: "" }), "$.amount.currency"],
  [amount({ exponent: -1 }), "$.amount.exponent"],
  [amount({ value: "5." }), "$.amount.value"],
  [{ provider_risk_score: 65536 }, "$.provider_risk_score"],
  [{ customer: null }, "$.customer"],
  [{ metadata: { order: 7 } }, "$.metadata.*"],
  [{ transaction_aliases: ["a", 1] }, "$.transaction_aliases[1]"],
  ...Object.keys(event()).filter((name) => name !== "schema").map((name) => [{ [name]: undefined }, `$.${name}`] as const),
] as [Fields, string][]) {
  test(`malformed events are refused: ${JSON.stringify(change)} ${at}`, () => refused(text(change), "malformed", at));
}

test("an amount is no float, however it is written", () => {
  for (const units of ["5.0", "5e2", "1e999"]) {
    refused(text(amount({})).replace('"minor_units":5', `"minor_units":${units}`), "malformed", "$.amount.minor_units");
  }
});

test("an integer that a number cannot hold is refused", () => {
  const json = text(amount({})).replace('"exponent":2', '"exponent":9007199254740993');
  refused(json, "malformed", "$.amount.exponent");
});

for (const [body, reason] of [
  ["", "not_json"],
  ["{", "not_json"],
  ["NaN", "not_json"],
  ["[".repeat(200_000), "not_json"],
  ["[".repeat(100_000) + "]".repeat(100_000), "not_json"],
  ["[]", "malformed"],
  ['"text"', "malformed"],
  ['{"detail-type": "x", "detail": null}', "malformed"],
  ["{}", "other_schema"],
  ['{"schema": "tollgate.payment-event/2"}', "other_schema"],
  ['{"schema": 1}', "other_schema"],
] as [string, Reason][]) {
  test(`what is no event is refused: ${body.slice(0, 40)}`, () => refused(body, reason));
}

test("an error holds nothing of the event", () => {
  assert.throws(() => parse(text({ customer: { id: ["Ada Lovelace"] } })), { message: "malformed at $.customer.id" });
});

test("JSON is read as JSON.parse reads it", () => {
  for (const json of [
    "null", " [ ] ", "{ }", "[[],{}]", '[1, "a,]}" , true ,false,null]', '{"a":{"b":[1,{"c":""}]},"":2,"a b":"\\"\\\\\\u00e9\\n"}',
    "1.5", "-0.1e-7", '"\u2028é😀"', '{"a":1,"a":2}', `"${"x\\n".repeat(400_000)}"`,
  ]) {
    assert.deepEqual(plain(readJson(json)), JSON.parse(json));
  }
});

function refused(body: string, reason: Reason, at?: string): void {
  assert.throws(
    () => parse(body),
    (error) => error instanceof EventError && error.reason === reason && (at === undefined || error.at === at),
  );
}
