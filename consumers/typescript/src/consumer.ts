import { randomUUID } from "node:crypto";
import type { PaymentEvent } from "./event.js";
import { EventError, parse } from "./parse.js";
import { type Decision, decide, movementKey, NO_ROW, type Row, released, withDone } from "./state.js";
import type { Store } from "./store.js";

// Compare-and-swaps that fail one after another, each because another process made one. Then the message comes back.
const ATTEMPTS = 10;

/** Thrown by a handler: what the event is about is not there yet, such as the order's own row. The message comes back. */
export class NotYet extends Error {
  override readonly name = "NotYet";
}

/**
 * How a message ended.
 *
 * Done: `handled`; `repeat`, this event was handled before; `restated`, its effect was handled before, told by another event;
 * `stale`, its movement is past this state.
 *
 * It comes back: `busy`, another event of its movement is being handled; `not_yet`, the handler threw `NotYet`; `gave_up`, the
 * same at the last receive, so that the message goes to the queue's dead letters; `failed`, the handler or the store failed;
 * `refused`, no payment event of this schema.
 */
export type Outcome = "handled" | "repeat" | "restated" | "stale" | "busy" | "not_yet" | "gave_up" | "failed" | "refused";

const DONE: ReadonlySet<Outcome> = new Set(["handled", "repeat", "restated", "stale"]);

/** How a message ended, and what it was. */
export interface Result {
  readonly outcome: Outcome;
  /** Whether the message can be deleted. */
  readonly isDone: boolean;
  readonly event?: PaymentEvent;
  readonly error?: unknown;
}

/** Thrown by `Consumer.record` where the message must come back. */
export class RecordNotDone extends Error {
  override readonly name = "RecordNotDone";

  constructor(readonly result: Result) {
    super(result.outcome, { cause: result.error });
  }
}

/** What is used of an SQS record of Lambda. */
export interface SqsRecord {
  readonly messageId: string;
  readonly body: string;
  readonly eventSourceARN?: string;
  readonly attributes?: { readonly ApproximateReceiveCount?: string; readonly MessageGroupId?: string | undefined };
}

export interface BatchResponse {
  batchItemFailures: { itemIdentifier: string }[];
}

export interface Options {
  /**
   * How long a handler may take. No other event of its movement is handled meanwhile; where the process dies, the event is
   * handled again after that time. At least the function's timeout. 60 by default.
   */
  readonly leaseSeconds?: number;
  /** `maxReceiveCount` of the queue, at which `NotYet` becomes `gave_up`. 3 by default, as at Tollgate's queues. */
  readonly maxReceives?: number;
  /** Called with each result, for logs and metrics. */
  readonly report?: (result: Result) => void;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

/**
 * Calls `handle` once for each effect, with events of every type that its queue has. What it throws is a failure of that
 * message alone.
 */
export class Consumer {
  readonly #handle: (event: PaymentEvent) => unknown;
  readonly #store: Store;
  readonly #lease: number;
  readonly #maxReceives: number;
  readonly #report: (result: Result) => void;
  readonly #clock: () => number;
  /** The last event of each movement that is being handled here. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(handle: (event: PaymentEvent) => unknown, store: Store, options: Options = {}) {
    this.#handle = handle;
    this.#store = store;
    this.#lease = (options.leaseSeconds ?? 60) * 1000;
    this.#maxReceives = options.maxReceives ?? 3;
    this.#report = options.report ?? (() => {});
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * Handles the event of one message's body, unless its effect is done. Rejects with nothing but what `report` throws.
   *
   * `receives`: how often the message was received, this time included.
   */
  async consume(text: string, receives = 1): Promise<Result> {
    const result = await this.#result(text, receives);
    this.#report(result);
    return result;
  }

  /**
   * The same for an SQS record of a Lambda event: the record handler of Powertools' batch processors, which call it for all
   * records at once.
   *
   * @throws RecordNotDone where the message must come back.
   */
  readonly record = async (record: SqsRecord): Promise<Result> => {
    const result = await this.consume(record.body ?? "", receivesOf(record));
    if (!result.isDone) throw new RecordNotDone(result);
    return result;
  };

  /**
   * Handles an SQS event of Lambda, message by message, and returns what Lambda expects with `ReportBatchItemFailures`. On a
   * FIFO queue a group ends at its first failure: its later messages are not begun and come back, too.
   *
   * @throws Error where a message that must come back has no id: Lambda would delete it.
   */
  async batch(event: { readonly Records: readonly SqsRecord[] }): Promise<BatchResponse> {
    const batchItemFailures: { itemIdentifier: string }[] = [];
    const ended = new Set<string>();
    for (const record of event.Records) {
      const group = groupOf(record);
      const goesOn = group === undefined || !ended.has(group);
      if (goesOn && (await this.consume(record.body ?? "", receivesOf(record))).isDone) continue;
      if (!record.messageId) throw new Error("a message that must come back has no messageId");
      batchItemFailures.push({ itemIdentifier: record.messageId });
      if (group !== undefined) ended.add(group);
    }
    return { batchItemFailures };
  }

  async #result(text: string, receives: number): Promise<Result> {
    let event: PaymentEvent | undefined;
    try {
      event = parse(text);
      return await this.#oneAtATime(event, receives);
    } catch (error) {
      if (event) return { outcome: "failed", isDone: false, event, error };
      return { outcome: error instanceof EventError ? "refused" : "failed", isDone: false, error };
    }
  }

  /** After the events of its movement that came before it, so that those of one batch do not send each other back. */
  async #oneAtATime(event: PaymentEvent, receives: number): Promise<Result> {
    const key = movementKey(event);
    const before = this.#last.get(key);
    const mine = (async () => {
      await before?.catch(() => {});
      return await this.#once(event, receives);
    })();
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }

  async #once(event: PaymentEvent, receives: number): Promise<Result> {
    const [key, owner] = [movementKey(event), randomUUID()];
    const result = (outcome: Outcome, error?: unknown): Result => ({ outcome, isDone: DONE.has(outcome), event, error });
    const decision = await this.#claim(key, event, owner);
    if (decision !== "handle") return result(decision);
    try {
      await this.#handle(event);
    } catch (error) {
      // What cannot be released now is free when the lease ends.
      await this.#change(key, (row) => released(row, owner)).catch(() => {});
      if (!(error instanceof NotYet)) throw error;
      return result(receives < this.#maxReceives ? "not_yet" : "gave_up", error);
    }
    await this.#change(key, (row) => withDone(released(row, owner), event));
    return result("handled");
  }

  async #claim(key: string, event: PaymentEvent, owner: string): Promise<Decision> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const [row, version] = await this.#load(key);
      // Ours after a write whose answer was lost.
      if (row.owner === owner) return "handle";
      const now = this.#clock();
      const decision = decide(row, event, now);
      if (decision !== "handle") return decision;
      const leased: Row = { ...row, owner, until: now + this.#lease };
      if (await this.#store.save(key, JSON.stringify(leased), version)) return decision;
    }
    return "busy";
  }

  async #change(key: string, change: (row: Row) => Row): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const [row, version] = await this.#load(key);
      const [old, changed] = [JSON.stringify(row), JSON.stringify(change(row))];
      if (changed === old || (await this.#store.save(key, changed, version))) return;
    }
    throw new Error("the row of a movement changed too often");
  }

  async #load(key: string): Promise<[Row, number]> {
    const stored = await this.#store.load(key);
    return stored ? [JSON.parse(stored.text) as Row, stored.version] : [NO_ROW, 0];
  }
}

function receivesOf(record: SqsRecord): number {
  const text = record.attributes?.ApproximateReceiveCount;
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : 1;
}

/** The record's FIFO group. Messages of a standard queue may have a group, too, which does not order them. */
function groupOf(record: SqsRecord): string | undefined {
  return record.eventSourceARN?.endsWith(".fifo") ? (record.attributes?.MessageGroupId ?? "") : undefined;
}
