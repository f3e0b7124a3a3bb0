export {
  type BatchResponse,
  Consumer,
  NotYet,
  type Options,
  type Outcome,
  RecordNotDone,
  type Result,
  type SqsRecord,
} from "./consumer.js";
export { type Category, type Customer, type EventType, type Method, type Money, type PaymentEvent, SCHEMA } from "./event.js";
export { EventError, parse, type Reason } from "./parse.js";
export { type Decision, decide, isStale, movementKey, type Row } from "./state.js";
export { MemoryStore, type Store, type Stored } from "./store.js";
