import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { createTokenFactory } from "../tokens/factory.ts";
import type { Explanation } from "../model/explanation.ts";
import { explainRequest } from "./index.ts";

/** The tokens of a request in order, by names of places and tokens. */
type Carried = readonly (readonly [place: "auth" | "x-tok" | "t" | "cookie", token: string])[];

const CORP = "https://issuer.corp.example";
const PARTNER = "https://issuer.partner.example";
const EVERYWHERE = {
  from_headers: [{ name: "authorization", value_prefix: "Bearer " }, { name: "x-tok" }],
  from_params: ["t"],
  from_cookies: ["c"],
};
const one = (name: string): object => ({
  requires_any: { requirements: [{ provider_name: name }, { allow_missing: {} }] },
});
/** istiod's config for two jwtRules. */
const TWO = {
  requires_any: {
    requirements: [
      { provider_name: "origins-0" },
      { provider_name: "origins-1" },
      { requires_all: { requirements: [one("origins-0"), one("origins-1")] } },
    ],
  },
};

const OK = "200";
const BAD = "401 Jwt_verification_fails";
const ISSUER = "401 Jwt_issuer_is_not_configured";
const KEY = "401 Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt";
const FORM = "401 Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections";

/** Envoy 1.40.0's answers (test/e2e/oracle.e2e.ts checks them with a real Envoy). */
const TABLE: readonly (readonly [
  config: "one" | "two" | "anyIssuer" | "missing" | "required" | "failed",
  carried: Carried,
  expected: string,
])[] = [
  ["one", [], OK],
  ["one", [["auth", "good"]], OK],
  // All tokens of a provider must be good, in any order.
  [
    "one",
    [
      ["auth", "good"],
      ["t", "bad"],
    ],
    BAD,
  ],
  [
    "one",
    [
      ["auth", "bad"],
      ["t", "good"],
    ],
    BAD,
  ],
  [
    "one",
    [
      ["auth", "good"],
      ["cookie", "expired"],
    ],
    "401 Jwt_is_expired",
  ],
  [
    "one",
    [
      ["x-tok", "good"],
      ["x-tok", "other issuer"],
    ],
    ISSUER,
  ],
  [
    "one",
    [
      ["x-tok", "other issuer"],
      ["x-tok", "good"],
    ],
    ISSUER,
  ],
  [
    "one",
    [
      ["auth", "good"],
      ["t", "junk"],
    ],
    FORM,
  ],
  [
    "one",
    [
      ["auth", "good"],
      ["x-tok", "good"],
      ["t", "good"],
    ],
    OK,
  ],
  // Two Authorization headers are one value with a comma.
  [
    "one",
    [
      ["auth", "good"],
      ["auth", "good"],
    ],
    FORM,
  ],
  ["one", [["auth", ""]], OK],
  ["one", [["x-tok", ""]], FORM],
  // The second provider removes its own token from the request, so each provider then finds only its own.
  [
    "two",
    [
      ["auth", "good"],
      ["t", "partner"],
    ],
    OK,
  ],
  ["two", [["auth", "good"]], OK],
  ["two", [["t", "partner"]], OK],
  ["two", [["auth", "partner with corp's iss"]], KEY],
  ["anyIssuer", [["auth", "good"]], OK],
  ["anyIssuer", [["auth", "other issuer"]], OK],
  ["anyIssuer", [["auth", "partner"]], KEY],
  [
    "anyIssuer",
    [
      ["auth", "good"],
      ["t", "bad"],
    ],
    BAD,
  ],
  [
    "missing",
    [
      ["auth", "good"],
      ["t", "bad"],
    ],
    OK,
  ],
  [
    "missing",
    [
      ["auth", "bad"],
      ["t", "good"],
    ],
    BAD,
  ],
  ["missing", [], OK],
  ["required", [], "401 Jwt_is_missing"],
  ["failed", [["auth", "bad"]], OK],
];

describe("tokens", () => {
  let tokens: Record<string, string>;
  let configs: Record<string, { providers: object; requires: object }>;
  before(async () => {
    const factory = await createTokenFactory({ issuersDirs: [join(import.meta.dirname, "../../scenarios/issuers")] });
    const mint = async (...args: Parameters<typeof factory.mint>): Promise<string> =>
      (await factory.mint(...args)).compact;
    tokens = {
      good: await mint({ issuer: "corp" }),
      bad: await mint({ issuer: "corp" }, "broken-signature"),
      expired: await mint({ issuer: "corp" }, "expired"),
      "other issuer": await mint({ issuer: "corp" }, "other-issuer"),
      partner: await mint({ issuer: "partner" }),
      "partner with corp's iss": await mint({ issuer: "partner", claims: { iss: CORP } }),
      junk: "junk",
      "": "",
    };
    const provider = async (name: string, issuer?: string): Promise<object> => ({
      ...(issuer && { issuer }),
      local_jwks: { inline_string: await factory.jwks(name) },
      payload_in_metadata: "payload",
      ...EVERYWHERE,
    });
    const corp = { "origins-0": await provider("corp", CORP) };
    const both = { ...corp, "origins-1": await provider("partner", PARTNER) };
    configs = {
      one: { providers: corp, requires: one("origins-0") },
      two: { providers: both, requires: TWO },
      anyIssuer: { providers: { "origins-0": await provider("corp") }, requires: one("origins-0") },
      missing: { providers: both, requires: { allow_missing: {} } },
      required: { providers: corp, requires: { provider_name: "origins-0" } },
      failed: {
        providers: corp,
        requires: { requires_any: { requirements: [{ provider_name: "origins-0" }, { allow_missing_or_failed: {} }] } },
      },
    };
  });

  function ask(config: string, carried: Carried): Explanation {
    const { providers, requires } = configs[config]!;
    const headers: [string, string][] = [];
    let path = "/x?a=1";
    for (const [place, name] of carried) {
      const token = tokens[name]!;
      if (place === "auth") headers.push(["Authorization", `Bearer ${token}`]);
      else if (place === "x-tok") headers.push(["X-Tok", token]);
      else if (place === "cookie") headers.push(["Cookie", `z=1; c=${token}`]);
      else path += `&t=${token}`;
    }
    const type = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    const filter = {
      typed_config: {
        "@type": type,
        providers,
        rules: [{ match: { prefix: "/" }, requires }],
        bypass_cors_preflight: true,
      },
    };
    return explainRequest(dumpOf([filter]), { method: "GET", path, headers, authority: "a" }, Date.now() / 1000);
  }

  for (const [config, carried, expected] of TABLE)
    it(`${config}: ${carried.map(([place, name]) => `${name} in ${place}`).join(", ") || "no token"} is ${expected}`, () => {
      const { decision } = ask(config, carried);
      const details = /\{(.*)\}/.exec(decision.details ?? "")?.[1] ?? "";
      assert.equal(decision.verdict === "admitted" ? OK : `${decision.status} ${details}`, expected);
    });

  it("a rule without an issuer is reported as such", () => {
    const { providers } = ask("anyIssuer", [["auth", "good"]]);
    assert.deepEqual(
      providers.map(({ issuer, found }) => [issuer, found.kind]),
      [[undefined, "accepted"]],
    );
  });
});

function dumpOf(http_filters: readonly unknown[]): unknown {
  const manager = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    normalize_path: true,
    http_filters,
    route_config: {
      virtual_hosts: [
        { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "behind" } }] },
      ],
    },
  };
  const listener = {
    name: "0.0.0.0_8080",
    address: { socket_address: { port_value: 8080 } },
    filter_chains: [{ filters: [{ typed_config: manager }] }],
  };
  return { configs: [{ dynamic_listeners: [{ active_state: { listener } }] }] };
}
