/** Compares the oracle with Envoy alone, without a mesh: generated requests to many configs, in seconds. */

import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import path from "node:path";
import { before, describe, it, type TestContext } from "node:test";
import { ensureComponents } from "../../clusters/components/components.ts";
import { explainRequest } from "../../harness/oracle/index.ts";
import { ODD_HEADERS, ODD_PAYLOADS, ODD_TOKENS } from "../../harness/oracle/odd-tokens.fixture.ts";
import { normalizePath } from "../../harness/oracle/path.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { startLab, type LabAnswer, type Manager } from "../../cli/envoy-lab.ts";

const FILTERS = "type.googleapis.com/envoy.extensions.filters";
/** As Istio's bootstrap has it. */
const RUNTIME = { "envoy.reloadable_features.http_reject_path_with_fragment": false };

interface Asked {
  readonly config: number;
  readonly path: string;
  readonly host?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly words?: string;
}

describe("the oracle and Envoy alone", () => {
  let envoy: string;
  before(async () => {
    envoy = (await ensureComponents({ progress: () => undefined })).bin("envoy");
  });

  async function sendAll(
    managers: readonly Manager[],
    requests: readonly Asked[],
    each: (asked: Asked, answer: LabAnswer, dump: unknown) => void,
  ): Promise<void> {
    const lab = await startLab(envoy, managers, RUNTIME);
    try {
      for (let at = 0; at < requests.length; at += 50)
        await Promise.all(
          requests.slice(at, at + 50).map(async (asked) => {
            const lines = [["Host", asked.host ?? "a"], ...(asked.headers ?? []), ["Connection", "close"]];
            const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
            each(
              asked,
              await lab.send(asked.config, `GET ${asked.path} HTTP/1.1\r\n${head}\r\n`),
              lab.dump(asked.config),
            );
          }),
        );
    } finally {
      await lab.stop();
    }
  }

  /** Sends all and asks the oracle the same; says how many agree. */
  async function compare(test: TestContext, managers: readonly Manager[], requests: readonly Asked[]): Promise<number> {
    const wrong: string[] = [];
    let open = 0;
    await sendAll(managers, requests, (asked, answer, dump) => {
      const { config, path: sent, host = "a", headers = [], words = sent } = asked;
      const request = { method: "GET", path: sent, authority: host, headers, sourceIp: "127.0.0.1" };
      const { decision } = explainRequest(dump, request, Date.now() / 1000);
      if (decision.verdict === "undecided") {
        open++;
        assert.equal(decision.reason.kind, "undecided");
        return;
      }
      // An answer without a body does not say why.
      const details = answer.details === undefined ? undefined : decision.details;
      if (decision.status !== answer.status || details !== answer.details)
        wrong.push(`config ${config}, ${host}${words} ${JSON.stringify(headers.map(([name]) => name))}
    Envoy  ${answer.status} ${answer.details}
    oracle ${decision.status} ${decision.details}`);
    });
    test.diagnostic(`${requests.length - open - wrong.length} agree, ${open} undecided, ${wrong.length} disagree`);
    assert.deepEqual(wrong, []);
    return open;
  }

  it("paths", async (test) => {
    const managers = [
      { normalize_path: true },
      { normalize_path: true, merge_slashes: true },
      { normalize_path: true, merge_slashes: true, path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD" },
      { merge_slashes: true, path_with_escaped_slashes_action: "UNESCAPE_AND_REDIRECT" },
      { normalize_path: true, path_with_escaped_slashes_action: "REJECT_REQUEST" },
    ];
    const draw = random(7);
    const segments =
      ".. . %2e %2E%2e .%2e ..;x ..; .; ; a b %2f %5C \\ ..%2f ..%5c %00 % %2 x;y %25 ~ ? ?.. # %3B ..%3b %2e;z ... : @ < ^ { %ff".split(
        " ",
      );
    const odd = Array.from({ length: 120 }, () => {
      const parts = Array.from({ length: 1 + draw([0, 1, 2, 3, 4, 5]) }, () => draw(["", ...segments]));
      return `/${parts.join(draw(["/", "/", "/", ""]))}`;
    });
    const bytes = Array.from({ length: 94 }, (_, i) => `/b${String.fromCharCode(33 + i)}z`);
    const requests = managers.flatMap((_, config) => [...odd, ...bytes].map((raw) => ({ config, path: raw })));
    const wrong: string[] = [];
    await sendAll(managers, requests, ({ config, path: raw }, answer) => {
      const found = normalizePath(raw, managers[config], false, { has: () => true });
      const mine = "path" in found ? `200 ${found.path}` : "status" in found ? `${found.status}` : found.unknown;
      const theirs = answer.status === 200 ? `200 ${answer.path}` : `${answer.status}`;
      if (mine !== theirs) wrong.push(`${raw} with ${JSON.stringify(managers[config])}: ${theirs}, not ${mine}`);
    });
    test.diagnostic(`${requests.length - wrong.length} agree, 0 undecided, ${wrong.length} disagree`);
    assert.deepEqual(wrong, []);
  });

  it("tokens in several places", async (test) => {
    const factory = await createTokenFactory({
      issuersDirs: [path.join(import.meta.dirname, "../../scenarios/issuers")],
    });
    const mint = async (...args: Parameters<typeof factory.mint>): Promise<string> =>
      (await factory.mint(...args)).compact;
    const [CORP, PARTNER] = ["https://issuer.corp.example", "https://issuer.partner.example"];
    const tokens: Readonly<Record<string, string>> = {
      good: await mint({ issuer: "corp", claims: { who: "first" } }),
      second: await mint({ issuer: "corp", claims: { who: "second" } }),
      bad: await mint({ issuer: "corp" }, "broken-signature"),
      expired: await mint({ issuer: "corp" }, "expired"),
      other: await mint({ issuer: "corp" }, "other-issuer"),
      partner: await mint({ issuer: "partner", claims: { who: "second" } }),
      "bad partner": await mint({ issuer: "partner" }, "broken-signature"),
      "partner as corp": await mint({ issuer: "partner", claims: { iss: CORP } }),
      junk: "junk",
      dots: "a.b.c",
      empty: "",
    };
    const many = {
      from_headers: [{ name: "authorization", value_prefix: "Bearer " }, { name: "x-tok" }],
      from_params: ["t"],
      from_cookies: ["c"],
    };
    const provider = (issuer: string | undefined, jwks: string, more: object = many): object => ({
      ...(issuer && { issuer }),
      local_jwks: { inline_string: jwks },
      payload_in_metadata: "payload",
      ...more,
    });
    const [corp, partner] = [await factory.jwks("corp"), await factory.jwks("partner")];
    const both = [provider(CORP, corp), provider(PARTNER, partner)];
    const claims = { claim_to_headers: [{ header_name: "x-claim", claim_name: "who" }] };
    const managers = [
      jwt([provider(CORP, corp, {})]),
      jwt([provider(CORP, corp)]),
      jwt([provider(CORP, corp, { ...many, forward: true })]),
      jwt([provider(CORP, corp, {}), provider(PARTNER, partner, {})]),
      jwt(both),
      jwt([provider(undefined, corp)]),
      jwt([provider(undefined, corp), provider(PARTNER, partner, { from_headers: [{ name: "x-tok" }] })]),
      jwt([provider(CORP, corp), provider(CORP, partner)]),
      jwt(both, { allow_missing: {} }),
      jwt(both, { allow_missing_or_failed: {} }),
      jwt(both, { requires_any: { requirements: [{ provider_name: "origins-0" }, { allow_missing_or_failed: {} }] } }),
      jwt([provider(CORP, corp, { ...many, ...claims, forward: true }), provider(PARTNER, partner, {})]),
      jwt(both, { provider_name: "origins-0" }),
    ];
    const draw = random(11);
    const requests = managers.flatMap((_, config) =>
      Array.from({ length: 60 }, (): Asked => {
        const carried = Array.from({ length: draw([0, 1, 1, 2, 2, 2, 3]) }, () => ({
          place: draw(["auth", "auth", "x-tok", "t", "c", "access_token"]),
          name: draw(Object.keys(tokens)),
        }));
        const headers: [string, string][] = carried.length > 2 ? [["x-claim", "second"]] : [];
        let target = "/x?a=1";
        for (const { place, name } of carried) {
          const token = tokens[name]!;
          if (place === "auth") headers.push(["Authorization", `Bearer ${token}`]);
          else if (place === "x-tok") headers.push(["X-Tok", token]);
          else if (place === "c") headers.push(["Cookie", `z=1; c=${token}`]);
          else target += `&${place}=${token}`;
        }
        const words = carried.map(({ place, name }) => ` ${name} in ${place}`).join(",");
        return { config, path: target, headers, words: `/x with${words || " nothing"}` };
      }),
    );
    assert.equal(await compare(test, managers, requests), 0);
  });

  it("tokens that are odd JSON or odd base64, and methods", async (test) => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "RS256" }] });
    const encode = (text: string | Buffer): string => Buffer.from(text as string).toString("base64url");
    const HEADER = encode('{"alg":"RS256","kid":"k"}');
    const PAYLOAD = encode('{"iss":"i","sub":"s"}');
    const signed = (header: string, payload: string): string =>
      `${header}.${payload}.${sign("sha256", Buffer.from(`${header}.${payload}`), privateKey).toString("base64url")}`;
    const tokens: readonly string[] = [
      ...ODD_PAYLOADS.map(([payload]) => signed(HEADER, encode(payload))),
      ...ODD_HEADERS.map(([header]) => signed(encode(header), PAYLOAD)),
      ...ODD_TOKENS.map(([, odd]) => odd(HEADER, PAYLOAD, signed(HEADER, PAYLOAD).split(".")[2]!)),
      ...["==", "=", " x", ";x", ",x", "\t"].map((end) => `${signed(HEADER, PAYLOAD)}${end}`),
    ];
    const filter = { issuer: "i", local_jwks: { inline_string: jwks }, payload_in_metadata: "payload" };
    const requests = tokens.flatMap((token): Asked[] =>
      ["Bearer ", "bearer ", "Bearer Bearer ", "xBearer \t"].map((before, i) => ({
        config: 0,
        path: "/x",
        headers: [["Authorization", `${before}${token}`]],
        words: `token ${tokens.indexOf(token)} after prefix ${i}`,
      })),
    );
    assert.equal(await compare(test, [jwt([filter])], requests), 0);
    const methods =
      "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH MSEARCH NOTIFY OPTIONS PATCH POST PRI PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE FOO get Get A-B A_B A.B";
    const lab = await startLab(envoy, [{}], RUNTIME);
    try {
      for (const method of methods.split(" ")) {
        const { status } = await lab.send(0, `${method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
        const request = { method, path: "/x", authority: "a", headers: [], protocol: "http/1.1" as const };
        const { verdict } = explainRequest(lab.dump(0), request, 0).decision;
        if (verdict !== "undecided")
          assert.equal(verdict === "refused", status === 400, `${method}: ${status}, ${verdict}`);
      }
    } finally {
      await lab.stop();
    }
  });

  it("routes and the client's address", async (test) => {
    const answers = (status: number): object => ({ direct_response: { status } });
    const template = {
      name: "template",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        path_template: "/t/*/x",
      },
    };
    const host = (domain: string, status: number, more: object = {}): object => ({
      name: domain,
      domains: [domain],
      routes: [{ match: { prefix: "/" }, ...answers(status) }],
      ...more,
    });
    const routes = [
      { match: { path: "/exact" }, ...answers(201) },
      { match: { path_separated_prefix: "/app" }, ...answers(202) },
      { match: { prefix: "/old" }, redirect: { path_redirect: "/new", response_code: "FOUND" } },
      { match: { safe_regex: { regex: "/(a+)+" } }, ...answers(203) },
      { match: { prefix: "/h", headers: [{ name: "x-v", string_match: { exact: "2" } }] }, ...answers(206) },
      { match: { prefix: "/h" }, ...answers(207) },
      { match: { prefix: "/i", case_sensitive: false }, ...answers(208) },
      { match: { path_match_policy: template }, ...answers(209) },
    ];
    const route_config = {
      name: "http.8080",
      ignore_port_in_host_matching: true,
      virtual_hosts: [
        { name: "shop", domains: ["shop.example"], routes },
        host("*.example", 210),
        host("*.b.example", 211),
        host("pre.*", 212),
        host("tls.example", 213, { require_tls: "ALL" }),
        { name: "rest", domains: ["*"] },
      ],
    };
    const principals = [{ remote_ip: { address_prefix: "10.0.0.0", prefix_len: 8 } }];
    const inTen = (more: object): Manager => ({
      http_filters: [rbac({ p: { permissions: [{ any: true }], principals } })],
      ...more,
    });
    const addresses = [
      { use_remote_address: false },
      { xff_num_trusted_hops: 1 },
      { use_remote_address: true },
      { use_remote_address: true, xff_num_trusted_hops: 2 },
    ];
    const managers: Manager[] = [
      { normalize_path: true, route_config },
      { route_config: { ...route_config, ignore_port_in_host_matching: false } },
      ...addresses.map(inTen),
    ];
    const hosts = "shop.example shop.example:80 SHOP.example a.example a.b.example pre.foo tls.example else b.example";
    const paths =
      "/exact /exact/ /Exact /exact?x /app /app/x /apple /old/x /aaa /aab /h /I/x /t/a/x /t/a/b/x /z /app?x";
    const forwarded = ["10.1.1.1", "10.1.1.1, 192.0.2.2", "192.0.2.2, 10.1.1.1", " 10.1.1.1 ", "::1", "junk, 10.1.1.1"];
    const versions = [
      [],
      [["x-v", "2"]],
      [
        ["x-v", "3"],
        ["x-v", "2"],
      ],
    ] as [string, string][][];
    const requests: Asked[] = [
      ...[0, 1].flatMap((config) =>
        hosts
          .split(" ")
          .flatMap((name) => [
            ...paths.split(" ").map((target) => ({ config, host: name, path: target })),
            ...versions.map((headers) => ({ config, host: name, path: "/h", headers })),
          ]),
      ),
      ...addresses.flatMap((_, i) =>
        forwarded.map((value) => ({ config: i + 2, path: "/x", headers: [["X-Forwarded-For", value]] as const })),
      ),
    ];
    const open = await compare(test, managers, requests);
    assert.ok(open <= 2, `${open} undecided`);
  });
});

/** jwt_authn as istiod writes it, and behind it rules that see the payload, a header of a token and a header of a claim. */
function jwt(all: readonly object[], requires: object = istioRequirement(all.length)): Manager {
  const providers = Object.fromEntries(all.map((one, i) => [`origins-${i}`, one]));
  const filter = {
    name: "envoy.filters.http.jwt_authn",
    typed_config: {
      "@type": `${FILTERS}.http.jwt_authn.v3.JwtAuthentication`,
      providers,
      rules: [{ match: { prefix: "/" }, requires }],
      bypass_cors_preflight: true,
    },
  };
  const second = { string_match: { exact: "second" } };
  const claim = { filter: "envoy.filters.http.jwt_authn", path: [{ key: "payload" }, { key: "who" }], value: second };
  const rule = (principal: object): object => ({ permissions: [{ any: true }], principals: [principal] });
  const rules = {
    p: rule({ metadata: claim }),
    q: rule({ header: { name: "x-tok", present_match: true } }),
    r: rule({ header: { name: "x-claim", ...second } }),
  };
  return { http_filters: [filter, rbac(rules)] };
}

function istioRequirement(count: number): object {
  const names = Array.from({ length: count }, (_, i) => ({ provider_name: `origins-${i}` }));
  const optional = names.map((name) => ({ requires_any: { requirements: [name, { allow_missing: {} }] } }));
  if (count === 1) return optional[0]!;
  return { requires_any: { requirements: [...names, { requires_all: { requirements: optional } }] } };
}

/** An RBAC filter that denies. */
function rbac(policies: object): object {
  return {
    name: "envoy.filters.http.rbac",
    typed_config: { "@type": `${FILTERS}.http.rbac.v3.RBAC`, rules: { action: "DENY", policies } },
  };
}

/** The same draws in every run: a linear congruential generator. */
function random(seed: number): <T>(from: readonly T[]) => T {
  let state = seed;
  return (from) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return from[Math.floor((state / 2 ** 32) * from.length)]!;
  };
}
