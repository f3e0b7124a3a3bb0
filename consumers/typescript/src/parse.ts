import { type PaymentEvent, SCHEMA, SPEC } from "./event.js";
import { type Json, type JsonObject, readJson } from "./json.js";

/** `other_schema`: another name or version. `malformed`: `at` says where. */
export type Reason = "not_json" | "other_schema" | "malformed";

/** The text is no payment event of this schema. The message holds no data of the event, so that it can be logged. */
export class EventError extends Error {
  override readonly name = "EventError";

  constructor(
    readonly reason: Reason,
    /** The place in the event, such as `$.amount.minor_units`. */
    readonly at = "$",
  ) {
    super(`${reason} at ${at}`);
  }
}

/**
 * The event in an SQS message's body: an EventBridge event with it in `detail`, or the payment event itself.
 *
 * Fields that the schema does not have are left out. A `type` or `category` that this version does not know is kept as it
 * is: give your `switch` a default. `amount.minor_units` is a bigint.
 *
 * @throws EventError
 */
export function parse(text: string): PaymentEvent {
  let value: Json;
  try {
    value = readJson(text);
  } catch {
    throw new EventError("not_json");
  }
  if (isObject(value) && "detail-type" in value && "detail" in value) value = value["detail"] as Json;
  if (!isObject(value)) throw new EventError("malformed");
  if (value["schema"] !== SCHEMA) throw new EventError("other_schema", "$.schema");
  return read(SPEC, value, "$") as PaymentEvent;
}

/** What the generated schema uses of JSON Schema. */
interface Spec {
  readonly type?: string | readonly string[];
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Spec>>;
  readonly additionalProperties?: Spec;
  readonly items?: Spec;
  readonly oneOf?: readonly Spec[];
}

// RFC 3339 in UTC, as Tollgate writes it: up to nine decimals.
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

function read(spec: Spec, value: Json, at: string): unknown {
  const check = (holds: boolean): void => {
    if (!holds) throw new EventError("malformed", at);
  };
  const inner = spec.oneOf?.at(-1);
  // Null or an object: so that what is wrong inside of it is named.
  if (inner) return value === null ? null : read(inner, value, at);
  check(spec.const === undefined || value === spec.const);
  check(spec.enum === undefined || (typeof value === "string" && spec.enum.includes(value)));
  const types = typeof spec.type === "string" ? [spec.type] : (spec.type ?? []);
  check(types.length === 0 || types.some((type) => is(type, value)));
  if (typeof value === "string") {
    const length = [...value].length;
    check(length >= (spec.minLength ?? 0) && length <= (spec.maxLength ?? length));
    check(spec.pattern === undefined || new RegExp(spec.pattern).test(value));
    check(spec.format !== "date-time" || TIME.test(value));
    return value;
  }
  if (typeof value === "bigint") {
    check(value >= (spec.minimum ?? value) && value <= (spec.maximum ?? value));
    // Of all integers only an amount may be beyond a number's 53 bits.
    if (at === "$.amount.minor_units") return value;
    check(Number.isSafeInteger(Number(value)));
    return Number(value);
  }
  if (Array.isArray(value)) return value.map((one, index) => read(spec.items ?? {}, one, `${at}[${index}]`));
  return isObject(value) ? readObject(spec, value, at) : value;
}

function readObject(spec: Spec, value: JsonObject, at: string): object {
  const made = Object.create(null) as Record<string, unknown>;
  if (!spec.properties) {
    // A name is the merchant's own and stays out of errors.
    for (const [name, one] of Object.entries(value)) made[name] = read(spec.additionalProperties ?? {}, one, `${at}.*`);
    return made;
  }
  for (const name of spec.required ?? []) {
    if (!(name in value)) throw new EventError("malformed", `${at}.${name}`);
  }
  for (const [name, field] of Object.entries(spec.properties)) {
    if (name in value) made[name] = read(field, value[name] as Json, `${at}.${name}`);
  }
  return { ...made };
}

function is(type: string, value: Json): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "integer":
      // 1.0 and 1e2 are numbers, which an amount never is.
      return typeof value === "bigint";
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    default:
      return typeof value === type;
  }
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
