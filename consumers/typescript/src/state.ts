/** What is known of one movement of money, and what that says about an event of it. Pure: no clock, no I/O. */

import { BEGINS, type PaymentEvent, RANKS, SETTLED } from "./event.js";

/**
 * What to do with an event. `repeat`: it was handled. `restated`: its effect was handled, told by another event. `stale`: its
 * movement is past this state. `busy`: another event of its movement is being handled.
 */
export type Decision = "handle" | "repeat" | "restated" | "stale" | "busy";

/** All that a consumer keeps of one movement. Its JSON form is the same in the packages of all languages. */
export interface Row {
  /** The event that told it, by effect. */
  readonly done: Readonly<Record<string, string>>;
  /** The type of the last ranked event that was handled. */
  readonly state: string | null;
  /** When that happened: RFC 3339 with nine decimals. */
  readonly at: string | null;
  /** Who handles an event of the movement. */
  readonly owner: string | null;
  /** How long the owner may take: milliseconds since 1970. */
  readonly until: number;
}

export const NO_ROW: Row = { done: {}, state: null, at: null, owner: null, until: 0 };

/** `{endpoint}#{movement_id}`: two merchants' providers may use the same ids. */
export function movementKey(event: PaymentEvent): string {
  return `${event.endpoint}#${event.movement_id}`;
}

/** What to do with the event. `now` in milliseconds since 1970. */
export function decide(row: Row, event: PaymentEvent, now: number): Decision {
  if (Object.values(row.done).includes(event.id)) return "repeat";
  if (Object.hasOwn(row.done, event.effect_id)) return "restated";
  if (row.owner !== null && row.until > now) return "busy";
  return isStale(row, event) ? "stale" : "handle";
}

/**
 * Whether the movement is past the event's state.
 *
 * 1. A state of a higher rank is not stale.
 * 2. One of the same rank is, if it happened before the state that was reached.
 * 3. One of a lower rank is, unless the provider says that it happened later: a payment that fails after its success. What
 *    only begins a movement (`BEGINS`) is stale after a settled state (`SETTLED`) whatever its time.
 */
export function isStale(row: Row, event: PaymentEvent): boolean {
  const rank = rankOf(event.type);
  const reached = row.state === null ? undefined : rankOf(row.state);
  if (rank === undefined || reached === undefined || row.state === null || row.at === null || rank > reached) return false;
  const at = nineDecimals(event.occurred_at);
  if (rank === reached) return at < row.at;
  // Where the provider gives no time, `occurred_at` is that of the arrival and says nothing about the order.
  const isLater = at > row.at && event.occurred_at !== event.received_at;
  return !isLater || (BEGINS.has(event.type) && SETTLED.has(row.state));
}

/** Without the lease, if it is still this owner's. */
export function released(row: Row, owner: string): Row {
  return row.owner === owner ? { ...row, owner: null, until: 0 } : row;
}

/**
 * With the event's effect done and its state reached. Where the handler took longer than its lease, another event may have
 * brought the movement further meanwhile: that state stands.
 */
export function withDone(row: Row, event: PaymentEvent): Row {
  const done = { ...row.done, [event.effect_id]: event.id };
  if (rankOf(event.type) === undefined || isStale(row, event)) return { ...row, done };
  return { ...row, done, state: event.type, at: nineDecimals(event.occurred_at) };
}

/** So that text order is time order. */
export function nineDecimals(at: string): string {
  const [seconds = "", fraction = ""] = at.replace(/Z$/, "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}Z`;
}

function rankOf(type: string): number | undefined {
  return Object.hasOwn(RANKS, type) ? RANKS[type] : undefined;
}
