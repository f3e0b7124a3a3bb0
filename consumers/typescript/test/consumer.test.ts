import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  BatchProcessor,
  EventType,
  processPartialResponse,
  SqsFifoPartialProcessorAsync,
} from "@aws-lambda-powertools/batch";
import type { SQSEvent } from "aws-lambda";
import { Consumer, MemoryStore, NotYet, type Result, type Store } from "../src/index.js";
import { SCENARIOS, type Step, Stores, text } from "./common.js";

const stores = new Stores();
after(() => stores.close());

for (const kind of stores.kinds) {
  for (const { name, steps } of SCENARIOS.cases) {
    test(`${name} (${kind})`, async () => {
      const shared = await stores.make(kind);
      let now = 0;
      const take = async (step: Step): Promise<void> => {
        now = step.now ?? now;
        let [calls, isDead] = [0, false];
        const store = mortal(shared, () => isDead);
        const handle = async (): Promise<void> => {
          calls++;
          for (const inner of step.during ?? []) await take(inner);
          if (step.handler === "not_yet") throw new NotYet();
          if (step.handler === "fail") throw new Error("no");
          isDead = step.handler === "crash";
        };
        const result = await new Consumer(handle, store, { clock: () => now * 1000 }).consume(text(step.event), step.receives);
        assert.equal(result.outcome, step.outcome, JSON.stringify(step));
        assert.equal(calls === 1, ["handled", "failed", "not_yet", "gave_up"].includes(step.outcome));
      };
      for (const step of steps) await take(step);
    });
  }

  test(`fifty tellings at once, by consumers that do not know each other, are one effect (${kind})`, async () => {
    const store = await stores.make(kind);
    let calls = 0;
    const deliver = async (id: number): Promise<void> => {
      const consumer = new Consumer(() => calls++, store);
      while (!(await consumer.consume(text({ id }))).isDone);
    };
    await Promise.all(Array.from({ length: 50 }, (_, index) => deliver(index + 1)));
    assert.equal(calls, 1);
  });
}

/** A store whose process can die: no call reaches the database any more. */
function mortal(store: Store, isDead: () => boolean): Store {
  const alive = (): Store => {
    if (isDead()) throw new Error("dead");
    return store;
  };
  return {
    load: async (key) => alive().load(key),
    save: async (key, row, expected) => alive().save(key, row, expected),
  };
}

for (const lost of [1, 2]) {
  test(`write ${lost}, whose answer was lost, is known`, async () => {
    // An SDK sends such a write again, and is told that the condition does not hold.
    const store = new MemoryStore();
    let saves = 0;
    const forgetful: Store = {
      load: (key) => store.load(key),
      save: async (key, row, expected) => (await store.save(key, row, expected)) && ++saves !== lost,
    };
    assert.equal((await new Consumer(() => {}, forgetful).consume(text())).outcome, "handled");
    assert.equal((await new Consumer(() => {}, forgetful).consume(text())).outcome, "repeat");
  });
}

const ARN = "arn:aws:sqs:eu-west-1:123456789012:payments";

/** A Lambda event; `groups` has a letter for each message. */
function sqs(bodies: readonly string[], arn = ARN, groups = ""): SQSEvent {
  return {
    Records: bodies.map((body, index) => ({
      messageId: `m${index}`,
      receiptHandle: "r",
      body,
      attributes: {
        ApproximateReceiveCount: "1",
        SentTimestamp: "0",
        SenderId: "s",
        ApproximateFirstReceiveTimestamp: "0",
        ...(groups ? { MessageGroupId: groups.charAt(index) } : {}),
      },
      messageAttributes: {},
      md5OfBody: "",
      eventSource: "aws:sqs",
      eventSourceARN: arn,
      awsRegion: "eu-west-1",
    })),
  };
}

/** A consumer whose handler fails for the events of these numbers. */
function failing(...wrong: number[]): Consumer {
  const ids = new Set(wrong.map((number) => `evt_${number.toString(16).padStart(32, "0")}`));
  return new Consumer((event) => {
    if (ids.has(event.id)) throw new Error("no");
  }, new MemoryStore());
}

/** Events of a movement each. */
const numbered = (...numbers: number[]): string[] =>
  numbers.map((number) => text({ id: number, effect_id: number, movement_id: `pi_${number}` }));

const failures = (response: { batchItemFailures: { itemIdentifier: string }[] }): string[] =>
  response.batchItemFailures.map((one) => one.itemIdentifier);

test("the failed messages of a batch come back", async () => {
  assert.deepEqual(failures(await failing(2).batch(sqs([...numbered(1, 2, 3), "{}"]))), ["m1", "m3"]);
  assert.deepEqual(failures(await failing().batch(sqs([]))), []);
});

test("a FIFO group ends at its first failure and no other does", async () => {
  const fifo = sqs(numbered(1, 2, 3, 4, 5), `${ARN}.fifo`, "abaab");
  assert.deepEqual(failures(await failing(1).batch(fifo)), ["m0", "m2", "m3"]);
  // Groups of a standard queue do not order it.
  assert.deepEqual(failures(await failing(1).batch(sqs(numbered(1, 2, 3), ARN, "aaa"))), ["m0"]);
});

test("a message without id fails the batch", async () => {
  const event = sqs(["{}"]);
  for (const record of event.Records) record.messageId = "";
  await assert.rejects(failing().batch(event), /messageId/);
});

test("Powertools' batch processor takes the consumer", async () => {
  const processor = new BatchProcessor(EventType.SQS);
  // Two tellings of one effect, which Powertools starts at once.
  const event = sqs([...numbered(1, 2, 3), "{}", text({ id: 9, effect_id: 1, movement_id: "pi_1" })]);
  const response = await processPartialResponse(event, failing(2).record, processor);
  assert.deepEqual(failures(response).sort(), ["m1", "m3"]);
});

test("Powertools' FIFO processor takes the consumer", async () => {
  const fifo = sqs(numbered(1, 2, 3, 4, 5), `${ARN}.fifo`, "abaab");
  const response = await processPartialResponse(fifo, failing(1).record, new SqsFifoPartialProcessorAsync(), {
    skipGroupOnError: true,
  });
  assert.deepEqual(failures(response), ["m0", "m2", "m3"]);
});

test("results are reported, and waiting counts the receives", async () => {
  const results: Result[] = [];
  const handle = (): void => {
    throw new NotYet();
  };
  const consumer = new Consumer(handle, new MemoryStore(), { report: (result) => results.push(result) });
  for (const receives of ["1", "3", ""]) {
    const event = sqs([text()]);
    for (const record of event.Records) record.attributes.ApproximateReceiveCount = receives;
    assert.deepEqual(failures(await consumer.batch(event)), ["m0"]);
  }
  await consumer.batch(sqs(['{"schema":"other"}']));
  assert.deepEqual(results.map((result) => result.outcome), ["not_yet", "gave_up", "not_yet", "refused"]);
  assert.ok(results[0]?.event && !results[3]?.event && results[3]?.error);
});
