/** What a ticket's reading, translation and reports write contains no part of its credentials. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { readAnswer, type Asked } from "../harness/repro/answer.ts";
import { exportTicket, readTicket, translated } from "../harness/repro/index.ts";
import { stringifyObjects } from "../harness/repro/read-objects.ts";
import { formatAnswer, prepareRepro, writeRepro } from "../reports/repro.ts";
import { SCENARIOS } from "./context.ts";
import { againBy } from "./ticket.ts";

/** Characters of a secret that are too many in a row. */
const PIECE = 8;

/** Text that is in no file, always the same for a name. */
function made(name: string, encoding: "hex" | "base64url" = "base64url"): string {
  return createHash("sha256").update(name).digest(encoding);
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWT, whose signature is the secret. */
const jwt = (signature: string): string =>
  `${encoded({ alg: "RS256", kid: "k" })}.${encoded({ iss: "https://idp.example", sub: "u" })}.${signature}`;

const POLICIES = (more = ""): string => `
apiVersion: v1
kind: Service
metadata: { name: shop, namespace: shop }
spec: { selector: { app: shop }, ports: [{ name: http, port: 80 }] }
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec: { jwtRules: [{ issuer: "https://idp.example", jwksUri: "https://idp.example/keys" }] }
${more}`;

interface Secretive {
  /** The name of the ticket, from which its secret is made. */
  readonly what: string;
  /** Arguments of curl, or the whole line. */
  readonly curl?: (secret: string) => string;
  readonly token?: (secret: string) => string;
  readonly yaml?: (secret: string) => string;
}

const BASIC = (secret: string): string => Buffer.from(`me:${secret}`).toString("base64");

const REQUESTS: readonly Secretive[] = [
  ...["Bearer ", "bearer ", "", "Basic ", "Token ", "ApiKey "].map((prefix): Secretive => ({
    what: `header Authorization "${prefix}"`,
    curl: (secret: string) => `-H 'Authorization: ${prefix}${secret}'`,
  })),
  ...[
    "X-Api-Key",
    "x-auth-token",
    "X-Amz-Security-Token",
    "Proxy-Authorization",
    "X-Custom",
    "X-Forwarded-Access-Token",
  ].map((name) => ({ what: `header ${name}`, curl: (secret: string) => `-H '${name}: ${secret}'` })),
  { what: "a JWT", curl: (secret) => `-H 'Authorization: Bearer ${jwt(secret)}'` },
  { what: "a JWT in another header", curl: (secret) => `-H 'x-jwt: ${jwt(secret)}'` },
  { what: "a JWT in a cookie", curl: (secret) => `-b 'session=${jwt(secret)}'` },
  { what: "a JWT in the query", curl: (secret) => `'http://shop.shop/?access_token=${jwt(secret)}'` },
  { what: "a JWT in the path", curl: (secret) => `http://shop.shop/tokens/${jwt(secret)}` },
  { what: "a JWT of --oauth2-bearer", curl: (secret) => `--oauth2-bearer ${jwt(secret)}` },
  { what: "a JWT with encoded dots", curl: (secret) => `'http://shop.shop/?t=${jwt(secret).replaceAll(".", "%2E")}'` },
  { what: "an opaque token of --oauth2-bearer", curl: (secret) => `--oauth2-bearer ${secret}` },
  { what: "a password", curl: (secret) => `-u me:${secret}` },
  { what: "a password in the URL", curl: (secret) => `http://me:${secret}@shop.shop/` },
  { what: "Basic with its name", curl: (secret) => `-H 'Authorization: Basic ${BASIC(secret)}'` },
  { what: "a cookie", curl: (secret) => `-b 'session=${secret}; other=1'` },
  { what: "a cookie header", curl: (secret) => `-H 'Cookie: a=1; SID=${secret}'` },
  { what: "a parameter", curl: (secret) => `'http://shop.shop/?api_key=${secret}&a=1'` },
  { what: "a parameter without a name", curl: (secret) => `'http://shop.shop/?${secret}'` },
  { what: "a body", curl: (secret) => `-d 'password=${secret}'` },
  { what: "a body of JSON", curl: (secret) => `--json '{"password":"${secret}"}'` },
  { what: "a proxy", curl: (secret) => `-x http://me:${secret}@proxy.example:3128` },
  { what: "the password of a key", curl: (secret) => `--cert client.pem --pass ${secret}` },
  { what: "a referer", curl: (secret) => `-e 'http://login.example/?code=${secret}'` },
  { what: "a user agent", curl: (secret) => `-A 'client/${secret}'` },
  { what: "--token", token: jwt },
  { what: "--token with Bearer", token: (secret) => `Bearer ${jwt(secret)}` },
];

const OBJECTS: readonly Secretive[] = [
  {
    what: "a Secret",
    yaml: (secret) => `---
apiVersion: v1
kind: Secret
metadata: { name: s, namespace: shop }
stringData: { password: "${secret}" }
data: { token: "${Buffer.from(secret).toString("base64")}" }`,
  },
  {
    what: "the environment of a container",
    yaml: (secret) => `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: shop, namespace: shop }
spec: { template: { metadata: { labels: { app: shop } }, spec: { containers: [{ name: a, image: a, env: [{ name: P, value: "${secret}" }] }] } } }`,
  },
  {
    what: "the address of keys",
    yaml: (secret) => `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: k, namespace: shop }
spec: { jwtRules: [{ issuer: "https://k.example", jwksUri: "https://me:${secret}@k.example/keys?secret=${secret}" }] }`,
  },
  {
    what: "a symmetric key",
    yaml: (secret) => `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: k, namespace: shop }
spec: { jwtRules: [{ issuer: "https://k.example", jwks: '{"keys":[{"kty":"oct","kid":"k","k":"${secret}"}]}' }] }`,
  },
  {
    what: "a key that is not a JWKS",
    yaml: (secret) => `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: k, namespace: shop }
spec: { jwtRules: [{ issuer: "https://k.example", jwks: "${secret}" }] }`,
  },
  {
    what: "a header that a route sets",
    yaml: (secret) => `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: v, namespace: shop }
spec: { hosts: [shop], http: [{ headers: { request: { set: { authorization: "Bearer ${secret}" } } }, route: [{ destination: { host: shop } }] }] }`,
  },
  {
    what: "a private key of a Gateway",
    yaml: (secret) => `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: g, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 443, name: h, protocol: HTTPS }, hosts: ["*"], tls: { mode: SIMPLE, privateKey: "/etc/${secret}" } }] }`,
  },
];

describe("no part of a credential is written", () => {
  let folder = "";
  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-secrets-"))));
  after(() => rm(folder, { recursive: true }));

  it("of forty tickets", () => assert.ok(REQUESTS.length + OBJECTS.length >= 40));

  for (const { what, curl, token, yaml } of [...REQUESTS, ...OBJECTS])
    it(what, async () => {
      const secret = made(what);
      const file = path.join(folder, `${made(what, "hex").slice(0, 6)}.yaml`);
      await writeFile(file, POLICIES(yaml?.(secret)));
      const rest = curl?.(secret) ?? "";
      const line = `curl ${rest}${rest.includes("shop.shop/") ? "" : " http://shop.shop/"}`;
      const given = token?.(secret);
      const options = {
        ...{ header: [], jwks: [], results: "results" },
        ...(given === undefined ? { curl: line } : { token: given, request: "GET /" }),
      };
      const ticket = await readTicket([file], options, SCENARIOS, () => Promise.resolve(""));
      const translation = translated([file], ticket);
      const said = `${translation.rows[0]}, as Authorization: none`;
      const observe = (cell?: { row: number; column: number }): unknown => ({
        ...{ curl: `curl ${translation.rows[0]}`, settled: true, request: { tokens: [] } },
        ...(cell && { cell: { matrix: 0, ...cell } }),
        got: { status: 200, by: "workload", body: said, headers: {}, totalMs: 1 },
      });
      const observations = [
        ...translation.rows.flatMap((_, row) => translation.columns.map((_, column) => observe({ row, column }))),
        ...translation.topology.others.map(() => observe()),
      ];
      const objects = [...translation.files].flatMap(([name, text]) =>
        name.startsWith(`${translation.id}/`)
          ? [
              {
                verb: "apply",
                kind: "AuthorizationPolicy",
                namespace: "shop",
                name,
                file: name,
                yaml: text,
                findings: [],
                proxies: [],
              },
            ]
          : [],
      );
      const asked = {
        ...{ id: "id", tool: { name: "meshproof", version: "0" }, startedAt: "2026-01-01T00:00:00Z" },
        ...{ command: againBy([file], options, ticket), versions: {}, observations, objects },
      };
      const answer = prepareRepro({
        ...readAnswer(asked as unknown as Asked, translation, ticket, {}),
        minimized: {
          ...{ confirmed: false, complete: false, tries: 1, refused: 0, dropped: [] },
          yaml: stringifyObjects(ticket.objects),
        },
      });
      const out = path.join(folder, `${path.basename(file)}-out`);
      await exportTicket(out, translation, answer, SCENARIOS);
      await writeRepro(answer, out);
      await writeFile(path.join(out, "answer.txt"), formatAnswer(answer));
      const files = (await readdir(out, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
      assert.ok(files.length > 5);
      const pieces = [secret, Buffer.from(secret).toString("base64").replace(/=+$/, ""), BASIC(secret)].flatMap(
        (text) => Array.from({ length: text.length - PIECE + 1 }, (_, at) => text.slice(at, at + PIECE)),
      );
      for (const { parentPath, name } of files) {
        const text = await readFile(path.join(parentPath, name), "latin1");
        const found = pieces.find((piece) => text.includes(piece));
        const at = found === undefined ? 0 : text.indexOf(found);
        assert.equal(found, undefined, `${name}: ${text.slice(Math.max(0, at - 60), at)}`);
      }
    });
});
