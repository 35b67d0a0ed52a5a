/** Generates policies, tokens and requests with fast-check, and shrinks them by it: nothing here is mapped, so that it can. */

import fc from "fast-check";
import {
  CONDITIONS,
  CORP,
  HEADERS,
  HOSTS,
  METHODS,
  NOWHERE,
  PARTNER,
  PATHS,
  PATTERNS,
  PLACES,
  SAMPLE,
  TOKENS,
  type TokenPlaceName,
} from "./values.ts";

/** A field of a source or an operation, such as `notPaths`, and its values. */
export interface Field {
  readonly field: string;
  readonly values: readonly string[];
}

export interface Condition {
  readonly key: string;
  readonly values?: readonly string[] | undefined;
  readonly notValues?: readonly string[] | undefined;
}

export interface Rule {
  readonly from: readonly (readonly Field[])[];
  readonly to: readonly (readonly Field[])[];
  readonly when: readonly Condition[];
}

/** `site` by label in its namespace, `namespace` without a selector, `root` by label from the root namespace. */
export type Where = "site" | "namespace" | "root";

export interface Authorization {
  readonly where: Where;
  readonly action: "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";
  readonly dryRun: boolean;
  readonly rules: readonly Rule[];
}

export interface JwtRule {
  readonly issuer: string;
  /** An issuer of scenarios/issuers whose keys are inline, or "nowhere": keys that sign no token, or cannot be fetched. */
  readonly keys: string;
  readonly audiences?: readonly string[] | undefined;
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix: string }[] | undefined;
  readonly fromParams?: readonly string[] | undefined;
  readonly fromCookies?: readonly string[] | undefined;
  readonly outputPayloadToHeader?: string | undefined;
  readonly outputClaimToHeaders?: readonly { readonly header: string; readonly claim: string }[] | undefined;
  readonly forwardOriginalToken?: boolean | undefined;
  readonly spaceDelimitedClaims?: readonly string[] | undefined;
}

export interface Authentication {
  readonly where: Where;
  readonly jwtRules: readonly JwtRule[];
}

/** All objects of one workload or gateway. */
export interface Policies {
  readonly authentications: readonly Authentication[];
  readonly authorizations: readonly Authorization[];
}

export interface Request {
  readonly from: "sleep" | "neighbour" | "outside";
  readonly port: "http" | "grpc" | "tcp";
  readonly h2c: boolean;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly tokens: readonly { readonly token: string; readonly place: TokenPlaceName }[];
}

/** A request as generated: `aim` makes it fit one of the site's rules as well as may be. */
export interface Aimed extends Request {
  readonly aim: number;
}

export interface Generated {
  readonly policies: Policies;
  readonly requests: readonly Aimed[];
}

function some<T>(values: readonly T[], most = 2): fc.Arbitrary<T[]> {
  return fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: most });
}

/** The field that excludes what another one requires: `notPaths`. */
export function excluding(name: string): string {
  return `not${name[0]!.toUpperCase()}${name.slice(1)}`;
}

const field = (name: string, values: readonly string[]): fc.Arbitrary<Field> =>
  fc.record({ field: fc.constant(name), values: some(values) });

/** One to three fields of these; each may be required, excluded, or both. */
function fields(names: readonly string[]): fc.Arbitrary<Field[]> {
  const all = names.flatMap((name) => [
    { weight: 3, arbitrary: field(name, PATTERNS[name]!) },
    { weight: 2, arbitrary: field(excluding(name), PATTERNS[name]!) },
  ]);
  return fc.uniqueArray(fc.oneof(...all), { minLength: 1, maxLength: 3, selector: (one) => one.field });
}

const source = fields([
  ...["principals", "requestPrincipals", "namespaces", "serviceAccounts", "trustDomains", "ipBlocks", "remoteIpBlocks"],
]);
const operation = fields(["methods", "hosts", "ports", "paths", "paths"]);

const condition: fc.Arbitrary<Condition> = fc.oneof(
  ...Object.entries(CONDITIONS).map(([key, values]) => {
    const name = fc.constant(key);
    return fc.oneof(
      { weight: 3, arbitrary: fc.record({ key: name, values: some(values) }) },
      { weight: 2, arbitrary: fc.record({ key: name, notValues: some(values) }) },
      { weight: 1, arbitrary: fc.record({ key: name, values: some(values), notValues: some(values) }) },
    );
  }),
);

const rule: fc.Arbitrary<Rule> = fc.record({
  from: fc.array(source, { maxLength: 2 }),
  to: fc.array(operation, { maxLength: 2 }),
  when: fc.array(condition, { maxLength: 2 }),
});

const where: fc.Arbitrary<Where> = fc.constantFrom("site", "site", "namespace", "root");

const authorization: fc.Arbitrary<Authorization> = fc.record({
  where,
  action: fc.oneof(
    { weight: 20, arbitrary: fc.constant("ALLOW" as const) },
    { weight: 24, arbitrary: fc.constant("DENY" as const) },
    { weight: 3, arbitrary: fc.constant("AUDIT" as const) },
    { weight: 1, arbitrary: fc.constant("CUSTOM" as const) },
  ),
  dryRun: fc.constantFrom(...[false, false, false, false, false, false, true]),
  rules: fc.oneof(
    { weight: 12, arbitrary: fc.array(rule, { minLength: 1, maxLength: 4 }) },
    { weight: 1, arbitrary: fc.constant([]) },
  ),
});

function rarely<T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: one });
}

const jwtRule: fc.Arbitrary<JwtRule> = fc.record({
  issuer: fc.constantFrom(CORP, CORP, CORP, PARTNER, PARTNER, SAMPLE, "", NOWHERE),
  keys: fc.constantFrom(...["corp", "corp", "corp", "corp", "partner", "partner", "istio-sample", "nowhere"]),
  audiences: rarely(some(["orders", "billing", "https://orders/", "http://orders"])),
  fromHeaders: rarely(
    some(
      [
        { name: "Authorization", prefix: "Bearer " },
        { name: "x-tok", prefix: "" },
        { name: "x-tok", prefix: "Token " },
        { name: "authorization", prefix: "bearer " },
      ],
      3,
    ),
  ),
  fromParams: rarely(some(["t", "access_token"])),
  fromCookies: rarely(some(["c"])),
  outputPayloadToHeader: rarely(fc.constant("x-payload")),
  outputClaimToHeaders: rarely(
    some([
      { header: "x-claim", claim: "sub" },
      { header: "x-claim", claim: "n" },
      { header: "x-a", claim: "flag" },
      { header: "x-b", claim: "realm.roles" },
      { header: "x-a", claim: "groups" },
    ]),
  ),
  forwardOriginalToken: rarely(fc.constant(true)),
  spaceDelimitedClaims: rarely(some(["perms", "scope", "groups"])),
});

const authentication: fc.Arbitrary<Authentication> = fc.record({
  where,
  jwtRules: fc.array(jwtRule, { minLength: 1, maxLength: 3 }),
});

export const policies: fc.Arbitrary<Policies> = fc.record({
  authentications: fc.array(authentication, { maxLength: 2 }),
  authorizations: fc.array(authorization, { maxLength: 3 }),
});

const NAMES = Object.keys(TOKENS);
const PLACE_NAMES = Object.keys(PLACES) as TokenPlaceName[];

const parts = {
  from: fc.constantFrom(...(["sleep", "sleep", "neighbour", "outside", "outside", "outside"] as const)),
  port: fc.constantFrom(...(["http", "http", "http", "http", "http", "grpc", "tcp"] as const)),
  h2c: fc.constantFrom(...[false, false, false, false, true]),
  method: fc.constantFrom("GET", "GET", "GET", ...METHODS),
  path: fc.constantFrom(...PATHS),
  host: fc.constantFrom(...HOSTS),
  headers: fc.array(fc.constantFrom(...HEADERS), { maxLength: 3 }),
  tokens: fc.array(
    fc.record({
      token: fc.constantFrom("plain", "orders", "developer", "administrator", ...NAMES),
      place: fc.constantFrom<TokenPlaceName>("bearer", "bearer", "bearer", "bearer", ...PLACE_NAMES),
    }),
    { maxLength: 2 },
  ),
};

export const request: fc.Arbitrary<Request> = fc.record(parts);

/** @param count requests for each set of policies */
export function generated(count: number): fc.Arbitrary<Generated> {
  // Without an aim nearly all requests fail in the first field that a rule compares.
  const aimed: fc.Arbitrary<Aimed> = fc.record({ ...parts, aim: fc.nat({ max: 2 ** 31 - 1 }) });
  return fc.record({ policies, requests: fc.array(aimed, { minLength: count, maxLength: count }) });
}
