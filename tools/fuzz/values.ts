/** The values that generated policies and requests are made of: few, so that they meet, and near misses of each other. */

import type { TokenSpec, TokenVariant } from "../../harness/model/token.ts";

export const CORP = "https://issuer.corp.example";
export const PARTNER = "https://issuer.partner.example";
export const SAMPLE = "https://who.example";
/** Its keys cannot be fetched. */
export const NOWHERE = "https://nowhere.example";

/**
 * What rules require of a field. `$host` is the Host by which clients in the mesh ask; `$sleep`, `$neighbour`, `$outside` and `$site`
 * are addresses of the cluster, so that a seed always generates the same.
 */
export const PATTERNS: Readonly<Record<string, readonly string[]>> = {
  methods: ["GET", "POST", "PUT", "P*", "*T", "*", "get", "OPTIONS", "HEAD"],
  hosts: ["$host", "site.example", "*.example", "site.*", "SITE.example", "shop.example", "*", "site.example:8000"],
  ports: ["8080", "9090", "9000", "8000", "8443"],
  paths: [
    ...["/a", "/a/*", "/a*", "*/z", "*z", "*", "/", "/admin", "/admin*", "/a/b", "/A", "/a//b", "/a%2Fb", "/a;x=1"],
    ...["/a/{*}", "/a/{*}/z", "/a/{**}", "/{**}/z", "/{*}/admin", "/{**}", "/pkg.Greeter/*", "/admin/", "/a?x=1"],
  ],
  principals: [
    ...["cluster.local/ns/foo/sa/sleep", "cluster.local/ns/foo/*", "*/sa/neighbour", "*", "cluster.local/*"],
    ...["*sleep", "cluster.local/ns/f.o/sa/sleep", "*/ns/f.o/sa/sleep", "other.domain/ns/foo/sa/sleep"],
  ],
  requestPrincipals: [
    ...[`${CORP}/alice`, `${CORP}/*`, "*", "*/alice", "*alice", `${PARTNER}/*`, `${CORP}/a/b`, "*/b", `${SAMPLE}/s`],
    `${CORP}`,
  ],
  namespaces: ["foo", "meshproof-outside", "fo*", "*side", "*", "f.o", "istio-system"],
  serviceAccounts: ["foo/sleep", "meshproof-outside/neighbour", "sleep", "foo/neighbour"],
  trustDomains: ["cluster.local", "*.local", "cluster*", "*", "other.domain"],
  ipBlocks: ["$sleep", "$neighbour/32", "$outside", "10.244.0.0/16", "0.0.0.0/0", "192.0.2.0/24", "::/0", "$site/32"],
  remoteIpBlocks: ["192.0.2.0/24", "192.0.2.7", "$outside", "$sleep/32", "10.244.0.0/16", "2001:db8::/32", "0.0.0.0/1"],
};

/** Keys of `when`, with what rules require of them. */
export const CONDITIONS: Readonly<Record<string, readonly string[]>> = {
  "request.headers[x-a]": ["1", "1*", "*1", "*", "two words", "1,2"],
  "request.headers[X-A]": ["1", "2"],
  "request.headers[x-b]": ["yes", "*", "y*"],
  "request.headers[x-claim]": ["alice", "*", "42", "true"],
  "request.headers[x-tok]": ["*"],
  "request.headers[authorization]": ["*", "Bearer*", "Basic*"],
  "request.headers[cookie]": ["*", "a=b*"],
  "request.headers[content-type]": ["application/grpc", "application/*"],
  "request.headers[x-forwarded-for]": ["192.0.2.7*", "*"],
  "request.headers[user-agent]": ["meshproof*"],
  "request.headers[host]": ["*", "site.example"],
  "request.headers[:method]": ["GET"],
  "request.headers[:path]": ["/a*"],
  "request.auth.principal": PATTERNS["requestPrincipals"]!,
  "request.auth.audiences": ["orders", "billing", "ord*", "*", "https://orders/"],
  "request.auth.presenter": ["app-1", "app*", "*"],
  "request.auth.claims[groups]": ["dev", "adm*", "*", "root", "*min"],
  "request.auth.claims[scope]": ["read", "write", "read write", "*ite"],
  "request.auth.claims[perms]": ["a", "b", "a b"],
  "request.auth.claims[realm][roles]": ["boss", "b*", "*"],
  "request.auth.claims[realm][deep][er]": ["x"],
  "request.auth.claims[realm]": ["*", "boss"],
  "request.auth.claims[a.b]": ["dotted"],
  "request.auth.claims[flag]": ["true", "*"],
  "request.auth.claims[n]": ["42", "*"],
  "request.auth.claims[iss]": [CORP, "https://*", PARTNER],
  "request.auth.claims[sub]": ["alice", "*"],
  "request.auth.claims[aud]": ["orders"],
  "source.ip": PATTERNS["ipBlocks"]!,
  "remote.ip": PATTERNS["remoteIpBlocks"]!,
  "source.namespace": PATTERNS["namespaces"]!,
  "source.principal": PATTERNS["principals"]!,
  "source.serviceAccount": PATTERNS["serviceAccounts"]!,
  "source.trustDomain": PATTERNS["trustDomains"]!,
  "destination.ip": ["$site", "10.244.0.0/16", "192.0.2.1"],
  "destination.port": PATTERNS["ports"]!,
  "connection.sni": ["outbound*", "*site*", "*local", "*", "tls.example", "*.example", "outbound_.8000_._.$site-sni"],
};

export const METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "get", "TRACE", "FOO"];

/** As they are sent, with query and fragment. */
export const PATHS = [
  ...["/", "/a", "/a/", "/a/b", "/a/b/z", "/a/z", "/ab", "/A", "/z", "/a/b/c/d/z", "/admin", "/admin/", "/admin/x"],
  ...["/x/admin", "/x/y/admin", "/pkg.Greeter/Hello", "/a?x=/admin", "/a?x=1", "/admin?", "/a/b?t=", "/a&x=1"],
  ...[
    "//a",
    "/a//b",
    "/a//",
    "/./a",
    "/b/../a",
    "/a/..",
    "/a/.",
    "/a/../../admin",
    "/%61",
    "/a%2Fb",
    "/a%2fb",
    "/a%5Cb",
  ],
  ...[
    "/a\\b",
    "/a;x=1",
    "/a;x=1/z",
    "/admin;x=1",
    "/admin;x=1/",
    "/;x/admin",
    "/a/..;x/admin",
    "/a/.;/z",
    "/a/%2e%2e/admin",
  ],
  ...[
    "/a/%2e%2e;x/admin",
    "/a/%2e/z",
    "/a/..%2fadmin",
    "/a/%252e%252e/admin",
    "/a#frag",
    "/a#/../admin",
    "/admin#",
    "/#/a",
  ],
  ...[
    "/a?x#y",
    "/a%23b",
    "/a%3Fz",
    "/a%00",
    "/a%00/z",
    "/admin%00",
    "/a?x=%00",
    "/a%0a",
    "/a%",
    "/a%zz",
    "/a%c3%a4",
    "/ä",
  ],
  ...[
    "/a^b",
    '/a"b',
    "/a|b",
    "/a<b",
    "/a{b}",
    "/a`b",
    "/a'b",
    "/a@b:c",
    "/a.b",
    "/a/b.z",
    "/a~b",
    "/a*",
    "/a+b",
    "/a,b=c",
  ],
  ...["/a%41", "/%41", "/a/%2A", "/ADMIN", "/a/%7Badmin%7D/z", "/a/b%20c/z", "/a/ü/z"],
];

/** Host as the gateway and a client without a sidecar may send it; "" sends the address that is asked. */
export const HOSTS = [
  ...["", "", "site.example", "SITE.example", "site.example:8000", "a.example", "x.y.example", "site.other"],
  ...["shop.example", "shop.example:80", "Shop.Example", "api.example", "deep.api.example", "nowhere.invalid"],
];

export const HEADERS: readonly (readonly [string, string])[] = [
  ["x-a", "1"],
  ["X-A", "2"],
  ["x-a", "12"],
  ["x-a", "two words"],
  ["x-a", "1,2"],
  ["x-a", ""],
  ["x-b", "yes"],
  ["x-b", "no"],
  ["x-claim", "alice"],
  ["x-payload", "e30"],
  ["x-tok", "not-a-token"],
  ["Authorization", "Basic YTpi"],
  ["Authorization", "Bearer"],
  ["Cookie", "a=b"],
  ["Cookie", "c="],
  ["X-Forwarded-For", "192.0.2.7"],
  ["X-Forwarded-For", "192.0.2.7, 198.51.100.1"],
  ["X-Forwarded-For", "198.51.100.1,192.0.2.7"],
  ["X-Forwarded-For", "2001:db8::1"],
  ["X-Forwarded-For", "somebody"],
  ["X-Forwarded-For", "192.0.2.7:1234"],
  ["Content-Type", "application/grpc"],
  ["Content-Type", "application/grpc+proto"],
  ["Content-Type", "application/grpc-web"],
  ["Content-Type", "application/json"],
  ["Origin", "https://page.example"],
  ["Access-Control-Request-Method", "PUT"],
];

/** Where a token is put: a header, a query parameter or a cookie. */
export const PLACES = {
  bearer: { header: "Authorization", before: "Bearer " },
  "small bearer": { header: "authorization", before: "bearer " },
  bare: { header: "Authorization", before: "" },
  "x-tok": { header: "X-Tok", before: "" },
  "x-tok Token": { header: "X-Tok", before: "Token " },
  t: { parameter: "t" },
  access_token: { parameter: "access_token" },
  cookie: { header: "Cookie", before: "a=b; c=" },
} as const;
export type TokenPlaceName = keyof typeof PLACES;

export interface Sample {
  readonly spec: TokenSpec;
  readonly variant?: TokenVariant;
}

function corp(claims: Record<string, unknown> = {}, more: Partial<TokenSpec> = {}): TokenSpec {
  return { issuer: "corp", ...more, claims: { sub: "alice", ...claims } };
}

const bad = (variant: TokenVariant, spec: TokenSpec = corp()): Sample => ({ spec, variant });

/** Tokens by what they are, for people. */
export const TOKENS: Readonly<Record<string, Sample>> = {
  plain: { spec: corp() },
  orders: { spec: corp({ aud: "orders" }) },
  "several audiences": { spec: corp({ aud: ["billing", "https://orders/"], azp: "app-1" }) },
  developer: { spec: corp({ groups: ["dev", "root"], scope: "read write", perms: "a b", aud: ["orders"] }) },
  administrator: { spec: corp({ groups: "admin", scope: ["write"], realm: { roles: ["boss"] }, "a.b": "dotted" }) },
  nested: { spec: corp({ realm: { roles: "boss", deep: { er: ["x", "y"] } }, perms: ["a b"], azp: "app-2" }) },
  odd: { spec: corp({ flag: true, n: 42, groups: [1, "dev"], realm: "boss", scope: 7, a: { b: "dotted" } }) },
  empty: { spec: corp({ groups: [], scope: "", perms: " ", aud: [] }) },
  "no subject": { spec: corp({ sub: null }) },
  "subject with a slash": { spec: corp({ sub: "a/b" }) },
  "no expiry": { spec: corp({ exp: null }) },
  "no issuer": { spec: corp({ iss: null }) },
  "partner's issuer, corp's key": { spec: corp({ iss: PARTNER }) },
  ES256: { spec: corp({ aud: "orders" }, { alg: "ES256" }) },
  EdDSA: { spec: corp({}, { alg: "EdDSA" }) },
  "no kid": { spec: corp({}, { header: { kid: null } }) },
  "other kid": { spec: corp({}, { header: { kid: "none-of-these" } }) },
  "expired within the clock skew": { spec: corp({}, { expiresIn: -20 }) },
  "early within the clock skew": { spec: corp({}, { notBefore: 20 }) },
  early: { spec: corp({}, { notBefore: 3600 }) },
  partner: { spec: { issuer: "partner" } },
  "partner for orders": { spec: { issuer: "partner", claims: { aud: ["orders"], groups: ["dev"] } } },
  "partner as corp": { spec: { issuer: "partner", claims: { iss: CORP } } },
  sample: { spec: { issuer: "istio-sample", claims: { iss: SAMPLE, sub: "s" } } },
  "sample as corp": { spec: { issuer: "istio-sample", claims: { iss: CORP } } },
  expired: bad("expired"),
  "other issuer": bad("other-issuer"),
  "broken signature": bad("broken-signature"),
  "other key": bad("other-key"),
  "other algorithm": bad("other-algorithm"),
  "alg none": bad("alg-none"),
  "alg missing": bad("alg-missing"),
  "alg unknown": bad("alg-unknown"),
  "not a JWT": bad("not-a-jwt"),
  "two parts": bad("two-parts"),
  "four parts": bad("four-parts"),
  "no signature": bad("no-signature"),
  "short signature": bad("short-signature"),
  "other payload": bad("other-payload"),
  "payload is not JSON": bad("payload-not-json"),
  "payload is a list": bad("payload-not-object"),
  "padded payload": bad("padded-payload"),
  "claim twice": bad("duplicate-claim"),
  "HMAC with the public key": bad("hmac-with-public-pem"),
  "broken partner": bad("broken-signature", { issuer: "partner" }),
  "expired partner": bad("expired", { issuer: "partner" }),
};
