/** What the tests share: the cases of consumers/, and stores of each kind. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { CreateTableCommand, DeleteTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBStore } from "../src/dynamodb.js";
import { MemoryStore, type Store } from "../src/index.js";

export interface Step {
  readonly event?: Fields;
  readonly now?: number;
  readonly handler?: "ok" | "not_yet" | "fail" | "crash";
  readonly during?: readonly Step[];
  readonly receives?: number;
  readonly outcome: string;
}
export type Fields = Readonly<Record<string, unknown>>;

// From dist/test.
const CONSUMERS = new URL("../../../", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, CONSUMERS), "utf8");
export const SCENARIOS = JSON.parse(read("scenarios.json")) as {
  readonly base: Fields;
  readonly cases: readonly { readonly name: string; readonly steps: readonly Step[] }[];
};
/** Each line an event, written by `cargo run -p tollgate-testkit --example sample-events`. */
export const SAMPLES = read("events.jsonl").trim().split("\n");

/** The scenarios' event with these fields instead of its own. A number of an id is written out. */
export function event(fields: Fields = {}): Record<string, unknown> {
  const made: Record<string, unknown> = { ...SCENARIOS.base, ...fields };
  for (const [name, prefix] of [["id", "evt"], ["effect_id", "eff"], ["restates", "evt"]] as const) {
    const value = made[name];
    if (typeof value === "number") made[name] = `${prefix}_${value.toString(16).padStart(32, "0")}`;
  }
  return made;
}

export function text(fields: Fields = {}): string {
  return JSON.stringify(event(fields));
}

/** A setting of scripts/check/consumers. In CI its absence is a failure. */
export function setting(name: string): string | undefined {
  const value = process.env[name];
  if (!value && process.env["CI"]) throw new Error(`${name} is not set: run scripts/check/consumers`);
  return value || undefined;
}

/** Makes empty stores, in a table that is made at the first and gone at the end. */
export class Stores {
  readonly endpoint = setting("TOLLGATE_AWS_ENDPOINT");
  readonly kinds = this.endpoint ? ["memory", "dynamodb"] : ["memory"];
  #table: Promise<{ client: DynamoDBClient; name: string }> | undefined;

  async make(kind: string): Promise<Store> {
    if (kind === "memory") return new MemoryStore();
    this.#table ??= this.#create();
    const { client, name } = await this.#table;
    const [store, prefix] = [new DynamoDBStore(client, name), randomUUID()];
    return {
      load: (key) => store.load(prefix + key),
      save: (key, row, expected) => store.save(prefix + key, row, expected),
    };
  }

  async close(): Promise<void> {
    const table = await this.#table;
    await table?.client.send(new DeleteTableCommand({ TableName: table.name }));
    table?.client.destroy();
  }

  async #create(): Promise<{ client: DynamoDBClient; name: string }> {
    const client = new DynamoDBClient({
      endpoint: this.endpoint as string,
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
    });
    const name = `consumed-${randomUUID()}`;
    await client.send(
      new CreateTableCommand({
        TableName: name,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [{ AttributeName: "movement", AttributeType: "S" }],
        KeySchema: [{ AttributeName: "movement", KeyType: "HASH" }],
      }),
    );
    return { client, name };
  }
}
