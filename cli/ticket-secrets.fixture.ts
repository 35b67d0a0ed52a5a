/** Tickets with made-up credentials, which nothing that meshproof writes may contain. */

import { createHash } from "node:crypto";

/** Characters of a secret that are too many in a row. */
const PIECE = 8;

/** Text that is in no file, always the same for a name. */
export function made(name: string, encoding: "hex" | "base64url" = "base64url"): string {
  return createHash("sha256").update(name).digest(encoding);
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JWT, whose signature is the secret. */
const jwt = (signature: string): string =>
  `${encoded({ alg: "RS256", kid: "k" })}.${encoded({ iss: "https://idp.example", sub: "u" })}.${signature}`;

export const POLICIES = (more = ""): string => `
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

export interface Secretive {
  /** The name of the ticket, from which its secret is made. */
  readonly what: string;
  /** Arguments of curl, or the whole line. */
  readonly curl?: (secret: string) => string;
  readonly token?: (secret: string) => string;
  readonly yaml?: (secret: string) => string;
}

const BASIC = (secret: string): string => Buffer.from(`me:${secret}`).toString("base64");

export const REQUESTS: readonly Secretive[] = [
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

export const OBJECTS: readonly Secretive[] = [
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

/** The line of curl of a ticket with this secret. */
export function curlOf({ curl }: Secretive, secret: string): string {
  const rest = curl?.(secret) ?? "";
  return `curl ${rest}${rest.includes("shop.shop/") ? "" : " http://shop.shop/"}`;
}

/** Every part of a secret that is too long to be there by chance, as it is and in base64. */
export function piecesOf(secret: string): string[] {
  return [secret, Buffer.from(secret).toString("base64").replace(/=+$/, ""), BASIC(secret)].flatMap((text) =>
    Array.from({ length: text.length - PIECE + 1 }, (_, at) => text.slice(at, at + PIECE)),
  );
}
