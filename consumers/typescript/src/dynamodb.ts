import { type AttributeValue, type DynamoDBClient, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { Store, Stored } from "./store.js";

const DAY = 86_400;

/**
 * Rows in a DynamoDB table with the partition key `movement` (a string) and TTL on `expires_at`: one item for each movement.
 * An event takes a consistent read and two writes, of a unit each up to 1 KB.
 */
export class DynamoDBStore implements Store {
  readonly #client: Pick<DynamoDBClient, "send">;
  readonly #table: string;
  readonly #keep: number;

  /** `keepDays`: after that long without a change DynamoDB removes the item, and a repeat would be handled again. */
  constructor(client: Pick<DynamoDBClient, "send">, table: string, { keepDays = 400 } = {}) {
    this.#client = client;
    this.#table = table;
    this.#keep = keepDays * DAY;
  }

  async load(key: string): Promise<Stored | undefined> {
    const { Item: item } = await this.#client.send(
      new GetItemCommand({ TableName: this.#table, Key: { movement: { S: key } }, ConsistentRead: true }),
    );
    const [text, version] = [item?.["row"]?.S, item?.["version"]?.N];
    return text === undefined || version === undefined ? undefined : { text, version: Number(version) };
  }

  async save(key: string, text: string, expected: number): Promise<boolean> {
    const item: Record<string, AttributeValue> = {
      movement: { S: key },
      row: { S: text },
      version: { N: String(expected + 1) },
      expires_at: { N: String(Math.floor(Date.now() / 1000) + this.#keep) },
    };
    const condition = expected
      ? {
          ConditionExpression: "#version = :expected",
          ExpressionAttributeNames: { "#version": "version" },
          ExpressionAttributeValues: { ":expected": { N: String(expected) } },
        }
      : { ConditionExpression: "attribute_not_exists(movement)" };
    try {
      await this.#client.send(new PutItemCommand({ TableName: this.#table, Item: item, ...condition }));
      return true;
    } catch (error) {
      if (error instanceof Error && error.name === "ConditionalCheckFailedException") return false;
      throw error;
    }
  }
}
