"""The providers' official Python SDKs as oracles, over bodies of our own.

sdk.py make            writes python.jsonl: signatures and the SDKs' verdicts on them
sdk.py check FILE...   every webhook in FILE (signed by us) must be valid to the SDK of its provider

SDKs that only verify are given an HMAC of ours to judge: the verdict is always the SDK's. The clock stands still.
"""

import base64
import datetime
import hashlib
import hmac
import importlib
import json
import pathlib
import sys
import urllib.parse

import freezegun

NOW = 1760000000
HERE = pathlib.Path(__file__).parent
URL = "https://hooks.example.com/webhook/square?merchant=caf%C3%A9"

KEYS = {
    "adyen": "5a" * 16 + "c3" * 16,
    "adyen_platform": "3c" * 16 + "a5" * 16,
    "standard_webhooks": "whsec_" + base64.b64encode(bytes(range(24))).decode(),
    "svix": "whsec_" + base64.b64encode(bytes(range(7, 31))).decode(),
}


def key_of(provider):
    return KEYS.get(provider, f"tollgate-{provider}-signing-secret")


def other_key(provider):
    key = key_of(provider)
    if key.startswith("whsec_"):
        return "whsec_" + base64.b64encode(bytes(range(100, 124))).decode()
    return key[::-1] if provider.startswith("adyen") else key + "-old"


def hexmac(key, content, digest=hashlib.sha256):
    return hmac.new(key.encode(), content, digest).hexdigest()


def b64mac(key, content):
    return base64.b64encode(hmac.new(key.encode(), content, hashlib.sha256).digest()).decode()


# Bodies that every SDK here can parse: an object with the members that some of them insist on.
def bodies(provider):
    members = {
        "gocardless": '"events":[]',
        "coinbase_commerce": '"event":{"id":"e-1","type":"charge:confirmed","resource":"event"}',
    }.get(provider, '"type":"payment.paid"')
    yield "plain", (f'{{"id":"tg_1","amount":"10.00",{members}}}').encode()
    yield "unicode", (f'{{"id":"tg_2","name":"Łódź 💶 naïve",{members}}}').encode()
    yield "escapes", (f'{{"id":"tg_3","name":"\\u00e9\\/\\n",{members}}}').encode()
    yield "pretty", (f'{{\n  "id": "tg_4",\n  "amount": 2.50,\n  {members}\n}}\n').encode()


def sign(provider, body, key, at):
    """The headers (and for Adyen and Braintree the body) that the provider would send."""
    text = body.decode()
    if provider == "stripe":
        import stripe

        header = stripe.Webhook.generate_test_header_string(payload=text, secret=key, timestamp=at) \
            if hasattr(stripe.Webhook, "generate_test_header_string") else \
            f"t={at},v1={stripe.WebhookSignature._compute_signature(f'{at}.{text}', key)}"
        return {"Stripe-Signature": header}, body
    if provider in ("standard_webhooks", "svix"):
        import standardwebhooks
        import svix.webhooks

        library = standardwebhooks.Webhook if provider == "standard_webhooks" else svix.webhooks.Webhook
        moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
        prefix = "webhook" if provider == "standard_webhooks" else "svix"
        signature = library(key).sign("msg_tollgate", moment, text)
        names = {"id": "msg_tollgate", "timestamp": str(at), "signature": signature}
        return {f"{prefix}-{name}": value for name, value in names.items()}, body
    if provider == "polar":
        signature = b64mac(key, f"msg_tollgate.{at}.".encode() + body)
        names = {"id": "msg_tollgate", "timestamp": str(at), "signature": f"v1,{signature}"}
        return {f"webhook-{name}": value for name, value in names.items()}, body
    if provider == "adyen":
        from Adyen.util import generate_notification_sig

        item = {
            "pspReference": hashlib.sha256(body).hexdigest()[:16].upper(), "merchantAccountCode": "TollgateShop",
            "merchantReference": "order:\\1/é", "amount": {"value": 1099, "currency": "EUR"},
            "eventCode": "AUTHORISATION", "success": "true", "reason": text,
        }
        signature = generate_notification_sig(item, key).decode()
        item["additionalData"] = {"hmacSignature": signature}
        return {}, json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]}).encode()
    if provider == "adyen_platform":
        from Adyen.util import generate_payload_sig

        return {"HmacSignature": generate_payload_sig(body, key).decode()}, body
    if provider == "braintree":
        from braintree.util.crypto import Crypto

        payload = base64.encodebytes(body).decode()
        signature = f"tollgate_public|{Crypto.sha1_hmac_hash(key, payload)}"
        return {}, urllib.parse.urlencode({"bt_signature": signature, "bt_payload": payload}).encode()
    if provider == "square":
        return {"x-square-hmacsha256-signature": b64mac(key, URL.encode() + body)}, body
    if provider == "paddle":
        from paddle_billing.Notifications.PaddleSignature import PaddleSignature

        mac = PaddleSignature.calculate_hmac(key, f"{at}:{text}".encode()).hexdigest()
        return {"Paddle-Signature": f"ts={at};h1={mac}"}, body
    name = {
        "razorpay": "X-Razorpay-Signature", "gocardless": "Webhook-Signature",
        "coinbase_commerce": "X-CC-Webhook-Signature", "mollie": "X-Mollie-Signature",
    }[provider]
    return {name: ("sha256=" if provider == "mollie" else "") + hexmac(key, body)}, body


def is_valid(provider, headers, body, key):
    """The SDK's verdict."""
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        verify(provider, headers, body, key)
        return True
    except Exception:  # each SDK has its own
        return False


def verify(provider, headers, body, key):
    text = body.decode()
    if provider == "stripe":
        import stripe

        stripe.WebhookSignature.verify_header(text, headers["stripe-signature"], key, 300)
    elif provider == "standard_webhooks":
        import standardwebhooks

        standardwebhooks.Webhook(key).verify(text, headers)
    elif provider == "svix":
        import svix.webhooks

        svix.webhooks.Webhook(key).verify(text, headers)
    elif provider == "polar":
        import polar.webhooks

        # What validate_event() checks before it reads the JSON.
        polar.webhooks._verify_signature(text, headers, key)
    elif provider == "adyen":
        from Adyen.util import is_valid_hmac_notification

        for item in json.loads(text)["notificationItems"]:
            assert is_valid_hmac_notification({"notificationItems": [item]}, key)
    elif provider == "adyen_platform":
        from Adyen.util import is_valid_hmac_payload

        assert is_valid_hmac_payload(headers["hmacsignature"], key, body)
    elif provider == "braintree":
        import braintree

        fields = dict(urllib.parse.parse_qsl(text, strict_parsing=True))
        gateway = braintree.BraintreeGateway(braintree.Configuration(
            braintree.Environment.Sandbox, merchant_id="m", public_key="tollgate_public", private_key=key))
        # What parse() checks before it reads the XML.
        gateway.webhook_notification._WebhookNotificationGateway__validate_signature(
            fields["bt_signature"], fields["bt_payload"].encode())
    elif provider == "square":
        from square.utils.webhooks_helper import verify_signature

        assert verify_signature(request_body=text, signature_header=headers["x-square-hmacsha256-signature"],
                                signature_key=key, notification_url=URL)
    elif provider == "razorpay":
        import razorpay

        client = razorpay.Client(auth=("id", "secret"))
        client.utility.verify_webhook_signature(text, headers["x-razorpay-signature"], key)
    elif provider == "gocardless":
        from gocardless_pro import webhooks

        webhooks.parse(text, key, headers["webhook-signature"])
    elif provider == "coinbase_commerce":
        from coinbase_commerce.webhook import Webhook

        Webhook.construct_event(text, headers["x-cc-webhook-signature"], key)
    elif provider == "mollie":
        from mollie.utils.webhooks.signature_validator import SignatureValidator

        assert SignatureValidator.validate(text, key, headers["x-mollie-signature"])
    elif provider == "paddle":
        from paddle_billing.Notifications import Secret, Verifier

        request = type("Request", (), {"body": body, "headers": {"Paddle-Signature": headers["paddle-signature"]}})
        assert Verifier().verify(request(), [Secret(key)])
    else:
        raise KeyError(provider)


PROVIDERS = [
    "stripe", "standard_webhooks", "svix", "adyen", "adyen_platform", "square", "razorpay", "braintree", "paddle",
    "gocardless", "coinbase_commerce", "mollie", "polar",
]
WINDOWS = {"stripe": 300, "standard_webhooks": 300, "svix": 300, "polar": 300, "paddle": 5}


def cases(provider):
    key = key_of(provider)
    for name, body in bodies(provider):
        headers, sent = sign(provider, body, key, NOW)
        yield f"valid_{name}", headers, sent, key, True
    yield "wrong_key", headers, sent, other_key(provider), False
    yield "altered_body", headers, sent.replace(b"tg_4", b"tg_5").replace(b"1099", b"1098")[:-1] + b"%", key, False
    for side, sign_of in (("old", -1), ("ahead", 1)):
        window = WINDOWS.get(provider)
        # Stripe's SDK does not look ahead; we do, and have tests of our own for it.
        if window is None or (provider == "stripe" and side == "ahead"):
            continue
        for name, seconds, expected in (("edge", window, True), ("beyond", window + 1, False)):
            headers, sent = sign(provider, body, key, NOW + sign_of * seconds)
            yield f"{side}_{name}", headers, sent, key, expected


def vector(provider, case, headers, body, key, valid):
    out = {"provider": provider, "case": case, "headers": headers}
    if provider == "square":
        out["url"] = URL
    out |= {"body_base64": base64.b64encode(body).decode(), "key": key}
    if provider == "braintree":
        out["key_id"] = "tollgate_public"
    out |= {"now": NOW, "expect": "valid" if valid else "invalid", "why": "the verdict of its Python SDK"}
    return json.dumps(out, ensure_ascii=False)


def make():
    lines = []
    for provider in PROVIDERS:
        for case, headers, body, key, expected in cases(provider):
            valid = is_valid(provider, headers, body, key)
            if valid != expected:
                sys.exit(f"{provider}/{case}: the SDK says {valid}, expected {expected}")
            lines.append(vector(provider, case, headers, body, key, valid))
    (HERE / "python.jsonl").write_text("\n".join(lines) + "\n")
    print(f"python.jsonl: {len(lines)} vectors of {len(PROVIDERS)} providers")


def check(paths):
    good, bad = 0, 0
    for line in (line for path in paths for line in pathlib.Path(path).read_text().splitlines()):
        case = json.loads(line)
        if case["provider"] not in PROVIDERS:
            continue
        body = base64.b64decode(case["body_base64"])
        if is_valid(case["provider"], case["headers"], body, case["key"]):
            good += 1
        else:
            bad += 1
            print(f"{case['provider']}/{case['case']}: signed by us, refused by its SDK")
    print(f"python: {good} passed, {bad} failed")
    return 1 if bad or not good else 0


# Loaded before the clock stops: pydantic cannot build its models from a stopped datetime.
MODULES = [
    "stripe", "standardwebhooks", "svix.webhooks", "Adyen.util", "square.client", "square.utils.webhooks_helper", "razorpay",
    "braintree", "paddle_billing.Notifications", "gocardless_pro.webhooks", "coinbase_commerce.webhook",
    "mollie.utils.webhooks.signature_validator", "polar.webhooks",
]

if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    with freezegun.freeze_time(datetime.datetime.fromtimestamp(NOW, datetime.UTC)):
        if sys.argv[1:] == ["make"]:
            make()
        elif sys.argv[1:2] == ["check"] and sys.argv[2:]:
            sys.exit(check(sys.argv[2:]))
        else:
            sys.exit(__doc__)
