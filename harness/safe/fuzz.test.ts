/**
 * Writes secrets in many encodings into every kind of input: no part of a secret may be left, in any decoded form.
 * `MESHPROOF_FUZZ=<rounds>` makes it longer, `MESHPROOF_FUZZ_SEED` sets another seed.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { stringify } from "yaml";
import { redact, redactData } from "./redact.ts";

const ROUNDS = Number(process.env["MESHPROOF_FUZZ"] ?? 1);
const SEED = process.env["MESHPROOF_FUZZ_SEED"] ?? "1";
/** This many consecutive characters of a secret are a leak. */
const WINDOW = 12;

type Random = (bytes: number) => Buffer;

function randomOf(seed: string): Random {
  let turn = 0;
  return (bytes) => {
    const parts: Buffer[] = [];
    for (let got = 0; got < bytes; got += 32) parts.push(createHash("sha256").update(`${seed}/${turn++}`).digest());
    return Buffer.concat(parts).subarray(0, bytes);
  };
}

interface Planted {
  readonly text: string;
  readonly secrets: readonly string[];
}

const url = (bytes: Buffer): string => bytes.toString("base64url");
const json = (value: unknown): string => url(Buffer.from(JSON.stringify(value)));
const token = (signature: string): string =>
  `${json({ alg: "RS256", typ: "JWT", kid: "one" })}.${json({ iss: "https://issuer.example", sub: "me" })}.${signature}`;
const armour = (der: Buffer, kind: string): string =>
  `-----BEGIN ${kind}PRIVATE KEY-----\n${der.toString("base64").replaceAll(/(.{64})/g, "$1\n")}\n-----END ${kind}PRIVATE KEY-----\n`;
/** The start of a PKCS #8 key. */
const der = (random: Random): Buffer => Buffer.concat([Buffer.from("308204a40201003082", "hex"), random(600)]);
const rsa = (random: Random): Record<string, string> => ({
  ...{ kty: "RSA", kid: "one", use: "sig", n: url(random(256)), e: "AQAB" },
  ...{ d: url(random(256)), p: url(random(128)), q: url(random(128)), dp: url(random(128)), qi: url(random(128)) },
});
const privateOf = ({ d, p, q, dp, qi }: Record<string, string>): string[] => [d!, p!, q!, dp!, qi!];

/** Kinds of secrets: the text, and its secret parts. */
const SECRETS: Readonly<Record<string, (random: Random) => Planted>> = {
  "a token": (random) => {
    const signature = url(random(256));
    return { text: token(signature), secrets: [signature] };
  },
  "a short token": (random) => {
    const signature = url(random(32));
    return { text: token(signature), secrets: [signature] };
  },
  "an encrypted token": (random) => {
    const parts = [random(256), random(12), random(90), random(16)].map(url);
    return { text: [json({ alg: "RSA-OAEP", enc: "A256GCM" }), ...parts].join("."), secrets: parts };
  },
  "an opaque bearer": (random) => {
    const secret = url(random(40));
    return { text: `Authorization: Bearer ${secret}`, secrets: [secret] };
  },
  "basic credentials": (random) => {
    const password = random(12).toString("hex");
    const basic = Buffer.from(`alice:${password}`).toString("base64");
    return { text: `"authorization": "Basic ${basic}"`, secrets: [password, basic] };
  },
  "a password in a URL": (random) => {
    const password = random(10).toString("hex");
    return { text: `https://svc:${password}@idp.example/jwks`, secrets: [password] };
  },
  "an HS256 key": (random) => {
    const k = url(random(64));
    return { text: JSON.stringify({ keys: [{ kty: "oct", kid: "one", k }] }), secrets: [k] };
  },
  "an HS256 key in the alphabet with + and /": (random) => {
    const k = random(64).toString("base64");
    return { text: JSON.stringify({ k, kty: "oct" }), secrets: [k] };
  },
  "a key with single quotes": (random) => {
    const key = rsa(random);
    return { text: JSON.stringify(key).replaceAll('"', "'"), secrets: privateOf(key) };
  },
  "an RSA key, printed": (random) => {
    const key = rsa(random);
    return { text: JSON.stringify({ keys: [key] }, undefined, 2), secrets: privateOf(key) };
  },
  "a key in YAML": (random) => {
    const key = rsa(random);
    return { text: stringify(key, { lineWidth: 0 }), secrets: privateOf(key) };
  },
  "a private key": (random) => {
    const bytes = der(random);
    return { text: armour(bytes, "RSA "), secrets: [bytes.toString("base64")] };
  },
  "a kubeconfig": (random) => {
    const bytes = der(random);
    const data = Buffer.from(armour(bytes, "")).toString("base64");
    const opaque = url(random(48));
    return {
      text: stringify({ users: [{ name: "me", user: { "client-key-data": data, token: opaque } }] }, { lineWidth: 0 }),
      secrets: [bytes.toString("base64"), data, opaque],
    };
  },
};

const everyPercent = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);
const wrapped = (text: string, width: number, between: string): string =>
  text.replaceAll(new RegExp(`([^\\n]{${width}})(?=[^\\n])`, "g"), `$1${between}`);
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Encodings of a text. */
const SPELLINGS: Readonly<Record<string, (text: string) => string>> = {
  "as it is": (text) => text,
  "behind a word": (text) => `token_${text}`,
  "behind %20": (text) => `Bearer%20${text}`,
  "behind %3D": (text) => `token%3D${text}`,
  "behind an escaped line feed": (text) => `token:\\n${escaped(text)}`,
  "behind an escaped tab": (text) => `token:\\t${escaped(text)}`,
  "percent encoded": encodeURIComponent,
  "percent encoded twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  "percent encoded in every byte": everyPercent,
  "percent encoded in every byte, twice": (text) => everyPercent(text).replaceAll("%", "%25"),
  "with %2E": (text) => text.replaceAll(".", "%2E"),
  "with %252e": (text) => text.replaceAll(".", "%252e"),
  "as form data": (text) => new URLSearchParams({ value: text }).toString(),
  "in JSON": (text) => JSON.stringify({ value: text }),
  "in JSON in JSON": (text) => JSON.stringify(JSON.stringify({ value: text })),
  "in JSON in JSON in JSON": (text) => JSON.stringify(JSON.stringify(JSON.stringify({ value: text }))),
  "with \\u002e": (text) => escaped(text).replaceAll(".", "\\u002e"),
  "with \\u in every byte": (text) =>
    [...Buffer.from(text)].map((byte) => `\\u${byte.toString(16).padStart(4, "0")}`).join(""),
  "with \\x in every byte": (text) =>
    [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join(""),
  "with HTML's entities": (text) => [...Buffer.from(text)].map((byte) => `&#${byte};`).join(""),
  "as HTML": (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll(".", "&period;"),
  "wrapped at 76": (text) => wrapped(text, 76, "\n"),
  "wrapped at 64, CR LF": (text) => wrapped(text, 64, "\r\n"),
  "folded as YAML": (text) => `value: >-\n  ${wrapped(text, 76, "\n  ")}`,
  "continued as in a shell": (text) => wrapped(text, 79, "\\\n"),
  "quoted in mail": (text) => `> ${wrapped(text, 70, "\n> ")}`,
  "quoted-printable": (text) => wrapped(text, 75, "=\n"),
  "wrapped, in JSON": (text) => escaped(wrapped(text, 76, "\n")),
  "percent encoded, wrapped": (text) => wrapped(encodeURIComponent(text), 76, "\n"),
  "in base64": base64,
  "in base64url": (text) => url(Buffer.from(text)),
  "in base64, wrapped at 76": (text) => wrapped(base64(text), 76, "\n"),
  "in base64 in base64": (text) => base64(base64(text)),
  "in base64, percent encoded": (text) => encodeURIComponent(base64(text)),
  "in base64 of UTF-16": (text) => Buffer.from(text, "utf16le").toString("base64"),
  "in base64 behind a path": (text) => `/a/state/${base64(text)}`,
  "in hexadecimal": (text) => Buffer.from(text).toString("hex"),
  "JSON in percent encoding": (text) => encodeURIComponent(JSON.stringify({ value: text })),
};

/** Kinds of input that may contain it. */
const PLACES: Readonly<Record<string, (text: string) => string>> = {
  "a body": (text) => `<html><body>\n${text}\n</body></html>`,
  "an echoed header": (text) => `{"headers":{"X-Value":["${text}"]},"url":"http://httpbin/headers"}`,
  "a redirect": (text) =>
    `HTTP/1.1 302 Found\r\nlocation: https://idp.example/authorize?state=${text}&scope=openid\r\n`,
  "an access log": (text) =>
    `${JSON.stringify({ start_time: "2026-11-28T06:00:00Z", path: `/headers?x=${text}`, response_code: 403 })}\n${JSON.stringify({ path: "/ip" })}\n`,
  "an answer of a webhook": (text) =>
    `admission webhook "check.example" denied the request: value ${text} is not allowed; ask the team`,
  "an event": (text) => `2026-11-28T06:00:00.000Z Warning Failed Pod/httpbin-1: Error: ${text}\n`,
  YAML: (text) => stringify({ spec: { value: text, other: "b" } }),
  "a curl line": (text) => `curl -sS -H 'X-Value: ${text}' 'http://httpbin.foo:8000/headers'`,
};

/** Every decoded form of a text. Implemented differently from the tested code. */
function formsOf(text: string): Set<string> {
  const forms = new Set([text]);
  let edge = [text];
  for (let depth = 0; depth < 6; depth++) {
    const found = edge.flatMap((form) => [
      form.replaceAll(/%([0-9a-f]{2})/gi, (all, hex: string) => ascii(all, Number.parseInt(hex, 16))),
      form
        .replaceAll(/\\u([0-9a-f]{4})|\\x([0-9a-f]{2})/gi, (all, a?: string, b?: string) =>
          ascii(all, Number.parseInt((a ?? b)!, 16)),
        )
        .replaceAll(/\\([nrt])/g, "\n")
        .replaceAll(/\\(["\\/])/g, "$1"),
      form.replaceAll(/&#(\d+);/g, (all, code: string) => ascii(all, Number(code))).replaceAll("&period;", "."),
      form.replaceAll(/(?:=|\\)?\r?\n[\t >]*/g, ""),
      ...(form.match(/[\w+/-]{16,}/g) ?? []).flatMap((run) => {
        const ways = [0, 1, 2, 3].map((from) => Buffer.from(run.slice(from), "base64"));
        return [...ways, Buffer.from(run, "hex")].map((bytes) => bytes.toString("latin1").replaceAll("\u0000", ""));
      }),
    ]);
    edge = [...new Set(found)].filter((form) => form.length >= WINDOW && !forms.has(form));
    for (const form of edge) forms.add(form);
    if (edge.length === 0 || forms.size > 3000) break;
  }
  return forms;
}

function ascii(all: string, code: number): string {
  return code < 0x80 ? String.fromCharCode(code) : all;
}

/** A piece of a secret that is left in the text. */
function leftOf(text: string, secrets: readonly string[]): string | undefined {
  const windows = new Set(
    secrets.flatMap((secret) =>
      Array.from({ length: secret.length - WINDOW + 1 }, (_, at) => plain(secret.slice(at, at + WINDOW))),
    ),
  );
  for (const form of formsOf(text)) {
    const flat = plain(form);
    for (let at = 0; at + WINDOW <= flat.length; at++)
      if (windows.has(flat.slice(at, at + WINDOW))) return flat.slice(at, at + WINDOW);
  }
  return undefined;
}

function plain(text: string): string {
  return text.replaceAll("+", "-").replaceAll("/", "_");
}

describe("no secret is left", () => {
  for (const [what, make] of Object.entries(SECRETS))
    it(`of ${what}, in ${Object.keys(SPELLINGS).length} spellings and ${Object.keys(PLACES).length} places`, () => {
      const leaks: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const { text, secrets } = make(randomOf(`${SEED}/${round}/${what}`));
        for (const [spelling, spell] of Object.entries(SPELLINGS))
          for (const [place, put] of Object.entries(PLACES)) {
            const given = put(spell(text));
            const safe = redact(given);
            const left = leftOf(safe, secrets);
            if (left !== undefined) leaks.push(`${spelling}, ${place}: ${left} in ${safe}`);
            if (redact(safe) !== safe)
              leaks.push(`${spelling}, ${place}: changed once more, ${safe} to ${redact(safe)}`);
          }
      }
      assert.deepEqual(leaks.slice(0, 20), [], `${leaks.length} leaks`);
    });

  it("of any, in data: it is JSON afterwards, and what is beside it stays", () => {
    const leaks: string[] = [];
    for (const [what, make] of Object.entries(SECRETS)) {
      const { text, secrets } = make(randomOf(`${SEED}/${what}`));
      for (const [spelling, spell] of Object.entries(SPELLINGS))
        for (const [place, put] of Object.entries(PLACES)) {
          const given = { got: { status: 403, body: put(spell(text)) }, name: "a check", "x-value": [spell(text)] };
          const safe = redactData(given);
          const { name, got } = JSON.parse(JSON.stringify(safe)) as typeof given;
          assert.deepEqual([name, got.status], ["a check", 403]);
          const left = leftOf(got.body, secrets) ?? leftOf(safe["x-value"][0]!, secrets);
          if (left !== undefined) leaks.push(`${what}, ${spelling}, ${place}: ${left}`);
        }
    }
    assert.deepEqual(leaks.slice(0, 20), [], `${leaks.length} leaks`);
  });

  it("and this test's own decoder finds each secret that is not redacted", () => {
    for (const make of Object.values(SECRETS)) {
      const { text, secrets } = make(randomOf(SEED));
      for (const [spelling, spell] of Object.entries(SPELLINGS))
        assert.notEqual(leftOf(spell(text), secrets), undefined, spelling);
    }
  });
});
