// The providers' official Node SDKs as oracles, over bodies of our own.
//
//   node sdk.mjs make           writes node.jsonl: signatures and the SDKs' verdicts on them
//   node sdk.mjs check FILE...  every webhook in FILE (signed by us) must be valid to the SDK of its provider
//
// SDK_HOME is the folder whose node_modules holds the SDKs. SDKs that only verify are given an HMAC of ours to
// judge: the verdict is always the SDK's. The clock stands still.

import { createHash, createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NOW = 1760000000;
const URL_SIGNED = "https://hooks.example.com/webhook/square?merchant=caf%C3%A9";
const HERE = dirname(fileURLToPath(import.meta.url));
const HOME = process.env.SDK_HOME ?? HERE;
const require = createRequire(join(HOME, "package.json"));

const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length === 0 ? [NOW * 1000] : args));
  }
  static now() {
    return NOW * 1000;
  }
};

const octokit = await import(pathToFileURL(join(HOME, "node_modules/@octokit/webhooks-methods/dist-node/index.js")));
const Stripe = require("stripe").default ?? require("stripe");
const standardwebhooks = require("standardwebhooks");
const svix = require("svix");
const { hmacValidator } = require("@adyen/api-library");
const { WebhooksHelper } = require("square");
const Razorpay = require("razorpay");
const braintree = require("braintree");
const { Paddle } = require("@paddle/paddle-node-sdk");
const { WebhookSignatureValidator } = require(join(HOME, "node_modules/mercadopago/dist/utils/webhook/index.js"));
const { Cashfree, CFEnvironment } = require("cashfree-pg");
const { basicAuthValidator } = require(join(HOME, "node_modules/chargebee/cjs/resources/webhook/auth.js"));
const { CommonUtils } = require(
  join(HOME, "node_modules/pg-sdk-node", "dist/common/CommonUtils.js"),
);
const { webhooks: polar } = require("@polar-sh/sdk/2026-04");
const coinbase = require("coinbase-commerce-node").Webhook;
const gocardless = require("gocardless-nodejs/webhooks");
require("@shopify/shopify-api/adapters/node");
const { shopifyApi } = require("@shopify/shopify-api");

const hex = (key, content, algorithm = "sha256") => createHmac(algorithm, key).update(content).digest("hex");
const base64 = (key, content) => createHmac("sha256", key).update(content).digest("base64");
const stripe = new Stripe("sk_test_unused");
const adyen = new hmacValidator();
const gateway = (key) =>
  new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox,
    merchantId: "m",
    publicKey: "tollgate_public",
    privateKey: key,
  });
const shopify = (key) =>
  shopifyApi({
    apiKey: "key",
    apiSecretKey: key,
    apiVersion: "2025-07",
    hostName: "hooks.example.com",
    isEmbeddedApp: false,
    logger: { log: () => {} },
  });

const standard = (library, prefix) => ({
  window: 300,
  key: `whsec_${Buffer.from("twenty-four bytes of key").toString("base64")}`,
  wrong: `whsec_${Buffer.from("twenty-four other bytes.").toString("base64")}`,
  sign: (body, key, at) => ({
    headers: {
      [`${prefix}-id`]: "msg_tollgate",
      [`${prefix}-timestamp`]: String(at),
      [`${prefix}-signature`]: new library(key).sign("msg_tollgate", new RealDate(at * 1000), body),
    },
  }),
  verify: ({ body, headers, key }) => Boolean(new library(key).verify(body, headers)),
});

const plain = (header, sign, verify, more = {}) => ({
  sign: async (body, key) => ({ headers: { [header]: await sign(body, key) } }),
  verify: ({ body, headers, key }) => verify(body, headers[header.toLowerCase()], key),
  ...more,
});

// sign(body, key, at) gives { headers, body?, url? }; verify({ body, headers, key, url }) is the SDK's verdict.
const PROVIDERS = {
  stripe: {
    window: 300,
    ahead: false, // the SDK does not look ahead; we do, and have tests of our own for it
    sign: (payload, secret, timestamp) => ({
      headers: { "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) },
    }),
    verify: ({ body, headers, key }) => Boolean(stripe.webhooks.constructEvent(body, headers["stripe-signature"], key)),
  },
  standard_webhooks: standard(standardwebhooks.Webhook, "webhook"),
  svix: standard(svix.Webhook, "svix"),
  polar: {
    window: 300,
    key: "polar_whs_tollgate_signing_secret",
    wrong: "polar_whs_tollgate_another_secret",
    members: '"type":"order.paid"',
    sign: (body, key, at) => ({
      headers: {
        "webhook-id": "msg_tollgate",
        "webhook-timestamp": String(at),
        "webhook-signature": `v1,${base64(key, `msg_tollgate.${at}.${body}`)}`,
      },
    }),
    verify: async ({ body, headers, key }) => Boolean(await polar.validateEvent(body, headers, key)),
  },
  adyen: {
    key: "5a".repeat(32),
    wrong: "5b".repeat(32),
    sign: (text, key) => {
      const item = {
        pspReference: createHash("sha256").update(text).digest("hex").slice(0, 16),
        originalReference: "ORIGINAL1",
        merchantAccountCode: "TollgateShop",
        merchantReference: "order:\\1/é",
        amount: { value: 1099, currency: "EUR" },
        eventCode: "CAPTURE",
        success: "true",
      };
      item.additionalData = { hmacSignature: adyen.calculateHmac(item, key) };
      return { headers: {}, body: JSON.stringify({ notificationItems: [{ NotificationRequestItem: item }] }) };
    },
    verify: ({ body, key }) =>
      JSON.parse(body).notificationItems.every((item) => adyen.validateHMAC(item.NotificationRequestItem, key)),
  },
  adyen_platform: plain(
    "HmacSignature",
    (body, key) => adyen.calculateHmac(body, key),
    (body, signature, key) => adyen.validateHMACSignature(key, signature, body),
    { key: "3c".repeat(32), wrong: "3d".repeat(32) },
  ),
  gocardless: plain("Webhook-Signature", (body, key) => hex(key, body), (body, signature, key) => {
    gocardless.parse(body, key, signature);
    return true;
  }),
  coinbase_commerce: plain("X-CC-Webhook-Signature", (body, key) => hex(key, body), (body, signature, key) =>
    Boolean(coinbase.verifyEventBody(body, signature, key)), {
    members: '"event":{"id":"e-1","type":"charge:confirmed","resource":"event"}',
  }),
  square: {
    sign: (body, key) => ({
      headers: { "x-square-hmacsha256-signature": base64(key, URL_SIGNED + body) },
      url: URL_SIGNED,
    }),
    verify: ({ body, headers, key, url }) =>
      WebhooksHelper.verifySignature({
        requestBody: body,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey: key,
        notificationUrl: url,
      }),
  },
  razorpay: plain("X-Razorpay-Signature", (body, key) => hex(key, body), (body, signature, key) =>
    Razorpay.validateWebhookSignature(body, signature, key)),
  braintree: {
    keyId: "tollgate_public",
    sign: (xml, key) => {
      const payload = Buffer.from(NOTIFICATION).toString("base64");
      const signature = hex(createHash("sha1").update(key).digest(), payload, "sha1");
      const fields = new URLSearchParams({ bt_signature: `tollgate_public|${signature}`, bt_payload: payload });
      return { headers: {}, body: fields.toString() };
    },
    verify: async ({ body, key }) => {
      const fields = new URLSearchParams(body);
      return Boolean(
        await gateway(key).webhookNotification.parse(fields.get("bt_signature"), fields.get("bt_payload")));
    },
  },
  github: plain("X-Hub-Signature-256", (body, key) => octokit.sign(key, body), (body, signature, key) =>
    octokit.verify(key, body, signature)),
  paddle: {
    window: 5,
    ahead: false, // the SDK looks back only
    sign: (body, key, at) => ({ headers: { "Paddle-Signature": `ts=${at};h1=${hex(key, `${at}:${body}`)}` } }),
    verify: ({ body, headers, key }) =>
      new Paddle("unused").webhooks.isSignatureValid(body, key, headers["paddle-signature"]),
  },
  mercadopago: {
    unbound: true,
    sign: (body, key) => {
      const id = createHash("sha256").update(body).digest("hex").slice(0, 20);
      const ts = NOW * 1000;
      const signature = hex(key, `id:${id};request-id:r-1;ts:${ts};`);
      return {
        headers: { "x-signature": `ts=${ts},v1=${signature}`, "x-request-id": "r-1" },
        url: `https://hooks.example.com/mp?data.id=${id}&type=payment`,
      };
    },
    verify: ({ headers, key, url }) => {
      WebhookSignatureValidator.validate({
        xSignature: headers["x-signature"],
        xRequestId: headers["x-request-id"],
        dataId: new URL(url).searchParams.get("data.id"),
        secret: key,
      });
      return true;
    },
  },
  cashfree: {
    sign: (body, key) => ({
      headers: {
        "x-webhook-timestamp": String(NOW * 1000),
        "x-webhook-signature": base64(key, NOW * 1000 + body),
      },
    }),
    verify: ({ body, headers, key }) =>
      Boolean(
        new Cashfree(CFEnvironment.SANDBOX, "id", key).PGVerifyWebhookSignature(
          headers["x-webhook-signature"], body, headers["x-webhook-timestamp"])),
  },
  chargebee: {
    unbound: true,
    key: "tollgate:a:password",
    wrong: "tollgate:a:passwort",
    sign: (body, key) => ({ headers: { Authorization: `Basic ${Buffer.from(key).toString("base64")}` } }),
    verify: async ({ headers, key }) => {
      const [, user, password] = /^([^:]*):(.*)$/.exec(key);
      await basicAuthValidator((u, p) => u === user && p === password)(headers);
      return true;
    },
  },
  phonepe: {
    unbound: true,
    key: "tollgate:password",
    wrong: "tollgate:passwort",
    sign: (body, key) => ({ headers: { Authorization: createHash("sha256").update(key).digest("hex") } }),
    verify: ({ headers, key }) => CommonUtils.isCallbackValid(...key.split(":"), headers.authorization),
  },
  shopify: {
    sign: (body, key) => ({
      headers: {
        "X-Shopify-Hmac-Sha256": base64(key, body),
        "X-Shopify-Topic": "orders/paid",
        "X-Shopify-Shop-Domain": "tollgate.myshopify.com",
        "X-Shopify-API-Version": "2025-07",
        "X-Shopify-Webhook-Id": "w-1",
      },
    }),
    verify: async ({ body, headers, key }) => {
      const rawRequest = { headers, method: "POST", url: "/" };
      return (await shopify(key).webhooks.validate({ rawBody: body, rawRequest })).valid;
    },
  },
};

// What the SDK needs to parse once the signature is good.
const NOTIFICATION =
  '<notification><timestamp type="datetime">2025-10-09T08:53:20Z</timestamp><kind>check</kind>' +
  '<subject><check type="boolean">true</check></subject></notification>';

// Some SDKs insist on members.
const bodies = ({ members = '"type":"payment.paid"' }) => ({
  plain: `{"id":"tg_1","amount":"10.00",${members}}`,
  unicode: `{"id":"tg_2","name":"Łódź 💶 naïve",${members}}`,
  escapes: `{"id":"tg_3","name":"\\u00e9\\/\\n",${members}}`,
  pretty: `{\n  "id": "tg_4",\n  "amount": 2.50,\n  ${members.replace(":", ": ")}\n}\n`,
});

async function isValid(provider, request) {
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]));
  try {
    return await PROVIDERS[provider].verify({ ...request, headers });
  } catch {
    return false;
  }
}

async function* cases(provider) {
  const rule = PROVIDERS[provider];
  const key = rule.key ?? `tollgate-${provider}-signing-secret`;
  const wrong = rule.wrong ?? `${key}-old`;
  const signed = async (body, at) => ({ body, key, ...(await rule.sign(body, key, at)) });
  const samples = bodies(rule);
  for (const [name, body] of Object.entries(samples)) {
    yield [`valid_${name}`, await signed(body, NOW), true];
  }
  const last = await signed(samples.pretty, NOW);
  yield ["wrong_key", { ...last, key: wrong }, false];
  if (!rule.unbound) {
    const body = last.body.replace("tg_4", "tg_5").replace("1099", "1098").replace("bt_payload=P", "bt_payload=Q");
    yield ["altered_body", { ...last, body }, false];
  }
  for (const [side, sign] of [["old", -1], ["ahead", 1]]) {
    if (rule.window === undefined || (side === "ahead" && rule.ahead === false)) continue;
    yield [`${side}_edge`, await signed(samples.plain, NOW + sign * rule.window), true];
    yield [`${side}_beyond`, await signed(samples.plain, NOW + sign * (rule.window + 1)), false];
  }
}

async function make() {
  const lines = [];
  for (const [provider, rule] of Object.entries(PROVIDERS)) {
    for await (const [name, request, expected] of cases(provider)) {
      const valid = await isValid(provider, request);
      if (valid !== expected) throw new Error(`${provider}/${name}: the SDK says ${valid}, expected ${expected}`);
      const { headers, url, body, key } = request;
      lines.push(JSON.stringify({
        provider, case: name, headers, url, body_base64: Buffer.from(body).toString("base64"), key, key_id: rule.keyId,
        now: NOW, expect: valid ? "valid" : "invalid", why: "the verdict of its Node SDK",
      }));
    }
  }
  writeFileSync(join(HERE, "node.jsonl"), `${lines.join("\n")}\n`);
  console.log(`node.jsonl: ${lines.length} vectors of ${Object.keys(PROVIDERS).length} providers`);
}

async function check(paths) {
  let [good, bad] = [0, 0];
  for (const line of paths.flatMap((path) => readFileSync(path, "utf8").split("\n")).filter(Boolean)) {
    const { provider, case: name, headers, url, body_base64, key } = JSON.parse(line);
    if (!(provider in PROVIDERS)) continue;
    const body = Buffer.from(body_base64, "base64").toString("utf8");
    if (await isValid(provider, { headers, url, body, key })) {
      good += 1;
    } else {
      bad += 1;
      console.log(`${provider}/${name}: signed by us, refused by its SDK`);
    }
  }
  console.log(`node: ${good} passed, ${bad} failed`);
  process.exitCode = bad || !good ? 1 : 0;
}

const [command, ...paths] = process.argv.slice(2);
if (command === "make") await make();
else if (command === "check" && paths.length) await check(paths);
else throw new Error("usage: sdk.mjs make | check FILE...");
