// Written by consumers/generate from infra/schema/payment-event.json and consumers/states.json: change those, not this.

export const SCHEMA = "tollgate.payment-event/1";

/**
 * The values of `type` that this version knows. A later Tollgate may publish others.
 */
export type EventType =
  | "payment.created"
  | "payment.pending"
  | "payment.requires_action"
  | "payment.authorized"
  | "payment.succeeded"
  | "payment.failed"
  | "payment.canceled"
  | "payment.expired"
  | "payment.capture_failed"
  | "payment.updated"
  | "payment.flagged"
  | "refund.pending"
  | "refund.succeeded"
  | "refund.failed"
  | "refund.canceled"
  | "refund.updated"
  | "dispute.warning"
  | "dispute.opened"
  | "dispute.updated"
  | "dispute.won"
  | "dispute.lost"
  | "dispute.closed"
  | "payout.pending"
  | "payout.succeeded"
  | "payout.failed"
  | "payout.canceled"
  | "payout.updated"
  | "subscription.created"
  | "subscription.updated"
  | "subscription.canceled"
  | "invoice.paid"
  | "invoice.payment_failed"
  | "payment.unrecognized";

/**
 * The values of `category` that this version knows. A later Tollgate may publish others.
 */
export type Category =
  | "payment"
  | "refund"
  | "dispute"
  | "payout"
  | "other";

/**
 * An exact amount of money.
 */
export interface Money {
  /**
   * The amount in units of 10^-`exponent` of the currency: cents for EUR. Up to 36 digits, and it may be negative:
   * read it as an integer of any size, never as a float.
   */
  readonly minor_units: bigint;
  /**
   * The ISO 4217 code in upper case. The sender's own text for a currency that ISO 4217 does not list.
   */
  readonly currency: string;
  /**
   * Decimals of the minor unit: 0 for JPY, 2 for EUR, 3 for KWD. Null where ISO 4217 does not list the currency and
   * the sender wrote an integer.
   */
  readonly exponent: number | null;
  /**
   * The same amount as exact decimal text in major units. Null where `exponent` is null.
   */
  readonly value: string | null;
}

/**
 * Who pays. Empty where the provider says nothing.
 */
export interface Customer {
  /**
   * The provider's customer or payer id. A card number in it is masked, and an e-mail address is replaced by `email:`
   * and a hash.
   */
  readonly id?: string;
  /**
   * The billing country, as the provider writes it: ISO 3166 alpha-2 at most providers.
   */
  readonly country?: string;
}

/**
 * What was paid with. Empty where the provider says nothing.
 */
export interface Method {
  /**
   * The kind of method, in the provider's word: `card`, `ideal`, …
   */
  readonly type?: string;
  /**
   * The card scheme or wallet, in the provider's word: `visa`, …
   */
  readonly brand?: string;
  /**
   * The country that issued the card, as the provider writes it.
   */
  readonly country?: string;
}

/**
 * What Tollgate publishes: the `detail` of an EventBridge event with source `tollgate` and the event's `type` as
 * detail-type, the record in the transactions table and the canonical event in the archive. Under one version fields
 * are only added: ignore those that you do not know.
 */
export interface PaymentEvent {
  /**
   * The name and version of this form.
   */
  readonly schema: "tollgate.payment-event/1";
  /**
   * The same on every copy and every retry. Drop repeats by it.
   */
  readonly id: string;
  /**
   * What happened, in one list for all providers.
   */
  readonly type: EventType | (string & {});
  /**
   * Decides where the event is routed.
   */
  readonly category: Category | (string & {});
  /**
   * The endpoint at which the webhook arrived.
   */
  readonly endpoint: string;
  /**
   * The provider whose event it is.
   */
  readonly provider: string;
  /**
   * The provider's id of it, or the documented composite where it has none.
   */
  readonly provider_event_id: string;
  /**
   * What the provider calls the event. Empty where it says nothing.
   */
  readonly provider_event_type: string;
  /**
   * The delivery that brought the event. Text order is the order of arrival.
   */
  readonly webhook_id: string;
  /**
   * Who says that it is true. `verified`: the sender, whose signature the body has. `retrieved`: the provider's API
   * told it, to an operator who asked for what was missing or, where `enriched` is true, for a signed webhook that
   * only named it. `authenticated`: a sender who holds the key; the body is not, or not wholly, signed.
   */
  readonly authenticity: "verified" | "retrieved" | "authenticated";
  /**
   * The provider's id of the payment, refund, dispute, payout or subscription that the event is about. The event's
   * `id` where the provider names none.
   */
  readonly transaction_id: string;
  /**
   * Other ids that the event names for the same transaction. Absent where it names none. Events that arrived before
   * it may have one of them as their `transaction_id`.
   */
  readonly transaction_aliases?: readonly string[];
  /**
   * The provider's id of what moved or is to move: the payment's own, the capture's, the refund's, the dispute's, the
   * payout's. All events of one refund have one, three refunds have three. The event's `id` where the provider names
   * none.
   */
  readonly movement_id: string;
  /**
   * The same on every event that tells the same effect: the movement reached this state. A provider may tell one
   * payment's success by three events.
   */
  readonly effect_id: string;
  /**
   * Null on the first event of an effect. On every later one the `id` of that first event: do not act on it again.
   */
  readonly restates: string | null;
  /**
   * The exact amount of this movement. Null where the provider sends none or names no currency (`amount_problem`),
   * and where it cannot be held exactly: the type is then `payment.unrecognized`.
   */
  readonly amount: Money | null;
  /**
   * Why `amount` is null although the provider sent one, in a short fixed phrase. Absent otherwise.
   */
  readonly amount_problem?: string;
  /**
   * When it happened, by the provider's clock. Equal to `received_at` where the provider does not say.
   */
  readonly occurred_at: string;
  /**
   * When the webhook arrived, by Tollgate's clock.
   */
  readonly received_at: string;
  /**
   * True when a later event of the same `transaction_id` was already known. Do not let this event replace a newer
   * state.
   */
  readonly superseded: boolean;
  /**
   * The size of the amount by the thresholds of its currency. `low`: below the medium threshold. `medium`: from the
   * medium to the high threshold, both included. `high`: above the high threshold. `unrated`: no amount.
   */
  readonly risk_tier: "unrated" | "low" | "medium" | "high";
  /**
   * The provider's own fraud score, on the provider's scale (Stripe: 0 to 100).
   */
  readonly provider_risk_score?: number;
  /**
   * Who pays. Empty where the provider says nothing.
   */
  readonly customer: Customer;
  /**
   * What was paid with. Empty where the provider says nothing.
   */
  readonly method: Method;
  /**
   * False in the provider's test mode, true in its live mode.
   */
  readonly livemode?: boolean;
  /**
   * The merchant's own names and values; text values only, at most 50 pairs and 16,384 bytes. Card numbers are
   * masked, e-mail addresses are replaced by `email:` and a hash, and names of card verification data are left out;
   * the endpoint's setting `metadata` says which names are kept.
   */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Why the type is `payment.unrecognized`, in a short fixed phrase. Absent for every other type.
   */
  readonly unrecognized?: string;
  /**
   * True where the webhook only named an object, such as a payment, and what the event says of it was fetched from
   * the provider's API. Absent otherwise.
   */
  readonly enriched?: boolean;
}

/** What `parse` checks: the schema without its descriptions. Integers of `bigint` are read as such. */
export const SPEC = {
  "type": "object",
  "required": [
    "schema",
    "id",
    "type",
    "category",
    "endpoint",
    "provider",
    "provider_event_id",
    "provider_event_type",
    "webhook_id",
    "authenticity",
    "transaction_id",
    "movement_id",
    "effect_id",
    "restates",
    "amount",
    "occurred_at",
    "received_at",
    "superseded",
    "risk_tier",
    "customer",
    "method"
  ],
  "properties": {
    "schema": {
      "const": "tollgate.payment-event/1"
    },
    "id": {
      "type": "string",
      "pattern": "^evt_[0-9a-f]{32}$"
    },
    "type": {
      "type": "string",
      "minLength": 1
    },
    "category": {
      "type": "string",
      "minLength": 1
    },
    "endpoint": {
      "type": "string",
      "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"
    },
    "provider": {
      "type": "string",
      "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"
    },
    "provider_event_id": {
      "type": "string"
    },
    "provider_event_type": {
      "type": "string"
    },
    "webhook_id": {
      "type": "string",
      "pattern": "^wh_[0-9A-HJKMNP-TV-Z]{26}$"
    },
    "authenticity": {
      "enum": [
        "verified",
        "retrieved",
        "authenticated"
      ]
    },
    "transaction_id": {
      "type": "string"
    },
    "transaction_aliases": {
      "type": "array",
      "items": {
        "type": "string"
      }
    },
    "movement_id": {
      "type": "string"
    },
    "effect_id": {
      "type": "string",
      "pattern": "^eff_[0-9a-f]{32}$"
    },
    "restates": {
      "type": [
        "string",
        "null"
      ],
      "pattern": "^evt_[0-9a-f]{32}$"
    },
    "amount": {
      "oneOf": [
        {
          "type": "null"
        },
        {
          "type": "object",
          "required": [
            "minor_units",
            "currency",
            "exponent",
            "value"
          ],
          "properties": {
            "minor_units": {
              "type": "integer"
            },
            "currency": {
              "type": "string",
              "minLength": 1,
              "maxLength": 12
            },
            "exponent": {
              "type": [
                "integer",
                "null"
              ],
              "minimum": 0
            },
            "value": {
              "type": [
                "string",
                "null"
              ],
              "pattern": "^-?[0-9]+(\\.[0-9]+)?$"
            }
          }
        }
      ]
    },
    "amount_problem": {
      "type": "string"
    },
    "occurred_at": {
      "type": "string",
      "format": "date-time"
    },
    "received_at": {
      "type": "string",
      "format": "date-time"
    },
    "superseded": {
      "type": "boolean"
    },
    "risk_tier": {
      "enum": [
        "unrated",
        "low",
        "medium",
        "high"
      ]
    },
    "provider_risk_score": {
      "type": "integer",
      "minimum": 0,
      "maximum": 65535
    },
    "customer": {
      "type": "object",
      "properties": {
        "id": {
          "type": "string"
        },
        "country": {
          "type": "string"
        }
      }
    },
    "method": {
      "type": "object",
      "properties": {
        "type": {
          "type": "string"
        },
        "brand": {
          "type": "string"
        },
        "country": {
          "type": "string"
        }
      }
    },
    "livemode": {
      "type": "boolean"
    },
    "metadata": {
      "type": "object",
      "additionalProperties": {
        "type": "string"
      }
    },
    "unrecognized": {
      "type": "string"
    },
    "enriched": {
      "type": "boolean"
    }
  }
} as const;

export const RANKS: Readonly<Record<string, number>> = {
  "payment.created": 1,
  "payment.pending": 2,
  "payment.requires_action": 2,
  "payment.authorized": 3,
  "payment.failed": 3,
  "payment.canceled": 4,
  "payment.expired": 4,
  "payment.capture_failed": 4,
  "payment.succeeded": 5,
  "refund.pending": 1,
  "refund.succeeded": 2,
  "refund.failed": 3,
  "refund.canceled": 3,
  "dispute.warning": 1,
  "dispute.opened": 2,
  "dispute.won": 3,
  "dispute.lost": 3,
  "dispute.closed": 3,
  "payout.pending": 1,
  "payout.succeeded": 2,
  "payout.failed": 3,
  "payout.canceled": 3,
  "subscription.created": 1,
  "subscription.canceled": 2,
  "invoice.payment_failed": 1,
  "invoice.paid": 2
};
export const BEGINS: ReadonlySet<string> = new Set(["payment.created", "payment.pending", "payment.requires_action", "payment.authorized", "refund.pending", "payout.pending"]);
export const SETTLED: ReadonlySet<string> = new Set(["payment.succeeded", "refund.succeeded", "payout.succeeded"]);
