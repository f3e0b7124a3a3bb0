// The processor's work with Powertools for AWS Lambda (TypeScript): BatchProcessorSync, since no record's handler
// waits for anything; a handler called for each record.
//
//     rival.mjs FILE     told what to do on stdin, one line each: `go N`, `dump FILE` (as benches/src/bin/race.rs)

import { hash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { BatchProcessorSync, EventType, processPartialResponseSync } from "@aws-lambda-powertools/batch";

const MAX_MESSAGE_BYTES = 1_048_576;
const EXPONENTS = { JPY: 0, KRW: 0, CLP: 0, VND: 0, ISK: 0, KWD: 3, BHD: 3, JOD: 3, OMR: 3, TND: 3 };
// Medium from, high above, in major units.
const DEFAULT_LIMITS = [1_000, 10_000];
const LIMITS = {
  KWD: [300, 3_000],
  SEK: [10_000, 100_000],
  DKK: [10_000, 100_000],
  NOK: [10_000, 100_000],
  JPY: [100_000, 1_000_000],
  INR: [100_000, 1_000_000],
};
// Type, category and rank: how far a transaction is.
const KINDS = {
  "charge.succeeded": ["payment.succeeded", "payment", 16],
  "charge.refunded": ["refund.succeeded", "refund", 32],
  "charge.dispute.created": ["dispute.opened", "dispute", 41],
};
const CLAIM =
  'INSERT INTO "events" VALUE ' +
  "{'event_key': ?, 'event_id': ?, 'webhook_id': ?, 'claimed_at': ?, 'expires_at': ?}";
const MARK = `UPDATE "events" SET "state" = 'processed' SET webhook_id = ? WHERE event_key = ?`;
const CLAIMED_FOR_SECONDS = 90 * 86_400;
// What the clock says.
const NOW_MS = Date.UTC(2026, 0, 15, 12, 1);

const processor = new BatchProcessorSync(EventType.SQS);
let works = [];

const kindOf = (type, subject) => {
  if (type === "charge.succeeded" && subject.captured === false) return ["payment.authorized", "payment", 14];
  if (type === "charge.dispute.created" && subject.status?.startsWith("warning_")) {
    return ["dispute.warning", "dispute", 40];
  }
  const kind = KINDS[type];
  if (!kind) throw new Error("unknown event type");
  return kind;
};

const shortHash = (text) => hash("sha256", text).slice(0, 32);

// Stripe's amounts are integers; beyond 2^53 a double would not hold them.
const exact = (units) => {
  if (!Number.isSafeInteger(units)) throw new Error("inexact amount");
  return units;
};

const decimal = (units, exponent) => {
  if (exponent === 0) return String(units);
  const digits = String(Math.abs(units)).padStart(exponent + 1, "0");
  return `${units < 0 ? "-" : ""}${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
};

const tierOf = (units, currency, exponent) => {
  const [medium, high] = LIMITS[currency] ?? DEFAULT_LIMITS;
  const scale = 10 ** exponent;
  const size = Math.abs(units);
  return size > high * scale ? "high" : size >= medium * scale ? "medium" : "low";
};

const recordHandler = (record) => {
  const attributes = record.messageAttributes;
  const attribute = (name) => {
    const value = attributes[name]?.stringValue;
    if (value === undefined) throw new Error(name);
    return value;
  };
  if (attribute("encoding") !== "text") throw new Error("encoding");
  const body = JSON.parse(record.body);
  const notes = JSON.parse(attribute("receipt"));
  const request = JSON.parse(attribute("request"));
  const endpoint = attribute("endpoint");
  const provider = attribute("provider");
  const webhookId = attribute("webhook_id");
  const receivedText = attribute("received_at");
  const receivedMs = Date.parse(receivedText);
  if (Number.isNaN(receivedMs)) throw new Error("received_at");
  const subject = body.data.object;
  const [kind, category, rank] = kindOf(body.type, subject);
  const units =
    category === "refund"
      ? exact(subject.amount_refunded) - exact(body.data.previous_attributes.amount_refunded)
      : exact(subject.amount);
  const currency = subject.currency.toUpperCase();
  const exponent = EXPONENTS[currency] ?? 2;
  const transactionId = subject.payment_intent ?? subject.charge ?? subject.id;
  const occurredAt = new Date(body.created * 1000).toISOString().slice(0, 19);
  const key = `${endpoint}#${body.id}`;
  let movementId = transactionId;
  if (category === "refund") movementId = `${subject.id}:refunded:${subject.amount_refunded}`;
  else if (category === "dispute") movementId = subject.id;
  const occurrence = kind === "payment.authorized" ? String(units) : "";
  const effect = `${endpoint}#${kind}#${Buffer.byteLength(movementId)}:${movementId}#${occurrence}`;
  const details = subject.payment_method_details;
  const event = {
    schema: "tollgate.payment-event/1",
    id: `evt_${shortHash(key)}`,
    type: kind,
    category,
    endpoint,
    provider,
    provider_event_id: body.id,
    provider_event_type: body.type,
    webhook_id: webhookId,
    authenticity: notes.authenticity,
    transaction_id: transactionId,
    movement_id: movementId,
    effect_id: `eff_${shortHash(effect)}`,
    restates: null,
    amount: { minor_units: units, currency, exponent, value: decimal(units, exponent) },
    occurred_at: `${occurredAt}Z`,
    received_at: receivedText,
    superseded: false,
    risk_tier: tierOf(units, currency, exponent),
    provider_risk_score: subject.outcome?.risk_score ?? undefined,
    customer: {
      id: subject.customer ?? undefined,
      country: subject.billing_details?.address?.country ?? undefined,
    },
    method: {
      type: details?.type ?? undefined,
      brand: details?.card?.brand ?? undefined,
      country: details?.card?.country ?? undefined,
    },
    livemode: body.livemode,
    metadata: subject.metadata && Object.keys(subject.metadata).length > 0 ? subject.metadata : undefined,
  };
  const row = {
    webhook_id: webhookId,
    received_at: receivedText,
    source_ip: attribute("source_ip"),
    request,
    encoding: "text",
    body: record.body,
    receipt: {
      body_sha256: notes.body_sha256,
      endpoint,
      provider,
      authenticity: notes.authenticity,
      key_id: attribute("key_id"),
      signed_at: notes.signed_at ?? null,
      verified_at: receivedText,
    },
    events: [event],
    outcome: "processed",
  };
  const transaction = `${endpoint}#${transactionId}`;
  works.push({ key, transaction, occurredAt, rank, receivedMs, event, row });
};

// By time, then by rank.
const isBehind = (one, other) =>
  one.occurredAt < other.occurredAt || (one.occurredAt === other.occurredAt && one.rank < other.rank);

const handle = (payload) => {
  works = [];
  const response = processPartialResponseSync(JSON.parse(payload), recordHandler, processor);
  const newest = new Map();
  const claims = [];
  const claimedAt = `${new Date(NOW_MS).toISOString().slice(0, 19)}Z`;
  const expiresAt = String(Math.floor(NOW_MS / 1000) + CLAIMED_FOR_SECONDS);
  for (const work of works) {
    const { transaction, event } = work;
    const known = newest.get(transaction);
    if (known === undefined || isBehind(known, work)) newest.set(transaction, work);
    claims.push({
      Statement: CLAIM,
      Parameters: [
        { S: `effect:${event.effect_id}` },
        { S: event.id },
        { S: event.webhook_id },
        { S: claimedAt },
        { N: expiresAt },
      ],
    });
  }
  const [bus, transactions, ledger, archive] = [[], [], [], []];
  let lineBytes = 0;
  for (const work of works) {
    const { key, transaction, occurredAt, rank, receivedMs, event, row } = work;
    event.superseded = isBehind(work, newest.get(transaction));
    const isPayment = event.category === "payment";
    const detail = JSON.stringify(event);
    const item = {
      transaction_id: { S: transaction },
      sort_key: { S: `${isPayment ? 0 : 1}#${occurredAt}.000000000Z#${rank}#${event.id}` },
      event: { S: detail },
    };
    if (isPayment && event.customer.id !== undefined) {
      item.customer_key = { S: `${event.endpoint}#${event.customer.id}` };
      item.occurred_at = { S: `${occurredAt}.000000000Z` };
    }
    transactions.push(item);
    if (!event.superseded) {
      transactions.push({
        transaction_id: { S: transaction },
        sort_key: { S: "latest" },
        latest_at: { S: event.occurred_at },
        type: { S: event.type },
        event_id: { S: event.id },
      });
    }
    ledger.push({ Statement: MARK, Parameters: [{ S: event.webhook_id }, { S: key }] });
    bus.push({
      EventBusName: "payment-events-live",
      Source: "tollgate",
      DetailType: event.type,
      Detail: detail,
      Time: new Date(receivedMs),
    });
    let line = JSON.stringify(row);
    if (/[\ufffe\uffff]/.test(line)) line = line.replaceAll("\ufffe", "\\ufffe").replaceAll("\uffff", "\\uffff");
    const size = Buffer.byteLength(line);
    if (archive.length > 0 && lineBytes + 1 + size <= MAX_MESSAGE_BYTES) {
      archive.at(-1).push(line);
      lineBytes += 1 + size;
    } else {
      archive.push([line]);
      lineBytes = size;
    }
  }
  return {
    claims,
    bus,
    transactions,
    ledger,
    archive: archive.map((lines) => lines.join("\n")),
    failures: response.batchItemFailures.map((failure) => failure.itemIdentifier),
  };
};

const payload = readFileSync(process.argv[2]);
let last;
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(" ");
  if (command === "go") {
    const spent = [];
    for (let turn = 0; turn < Number(argument); turn += 1) {
      const began = process.hrtime.bigint();
      last = handle(payload);
      spent.push(Number(process.hrtime.bigint() - began));
    }
    last = undefined;
    process.stdout.write(`${JSON.stringify(spent)}\n`);
  } else if (command === "dump") {
    const outputs = handle(payload);
    for (const entry of outputs.bus) entry.Time = entry.Time.getTime();
    writeFileSync(argument, JSON.stringify(outputs));
    process.stdout.write("true\n");
  } else {
    throw new Error(`what is ${line}?`);
  }
}
