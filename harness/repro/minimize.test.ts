import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cause } from "../model/cause.ts";
import { minimize, sameAnswer, type Outcome } from "./minimize.ts";
import type { TicketObject } from "./ticket.ts";

const policy = (name: string, spec: Record<string, unknown> = { rules: [{}] }): TicketObject => ({
  apiVersion: "security.istio.io/v1",
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "shop" },
  spec,
});

/** A mesh whose answer stays the same while the text contains all of these. */
const needs =
  (...words: string[]) =>
  (objects: readonly TicketObject[]): Promise<Outcome> =>
    Promise.resolve(words.every((word) => JSON.stringify(objects).includes(word)) ? "same" : "other");

const names = (objects: readonly TicketObject[]) => objects.map(({ metadata }) => metadata.name);

describe("minimize", () => {
  it("drops nothing if everything is needed", async () => {
    const objects = [policy("a"), policy("b"), policy("c")];
    const all = JSON.stringify(objects);
    const found = await minimize(
      objects,
      (left) => Promise.resolve(JSON.stringify(left) === all ? "same" : "other"),
      100,
    );
    assert.deepEqual(found.objects, objects);
    assert.deepEqual(found.dropped, []);
    assert.equal(found.complete, true);
  });

  it("drops everything but one object", async () => {
    for (const needed of ["a", "b", "c", "d", "e"]) {
      const found = await minimize(
        ["a", "b", "c", "d", "e"].map((name) => policy(name)),
        needs(`"${needed}"`, "rules"),
        100,
      );
      assert.deepEqual(names(found.objects), [needed]);
      assert.equal(found.dropped.length, 4);
    }
  });

  it("keeps one object even if none is needed", async () => {
    const found = await minimize([policy("a"), policy("b")], needs(), 100);
    assert.equal(found.objects.length, 1);
  });

  it("keeps two rules that only together keep the answer, in the same half or not", async () => {
    const rules = ["/0", "/1", "/2", "/3", "/4", "/5"].map((path) => ({ to: [{ operation: { paths: [path] } }] }));
    const found = await minimize([policy("a", { rules }), policy("noise")], needs("/1", "/4"), 100);
    assert.deepEqual(found.objects, [policy("a", { rules: [rules[1], rules[4]] })]);
    assert.deepEqual(
      [...found.dropped].sort(),
      [
        "AuthorizationPolicy shop/a rules[0]",
        "AuthorizationPolicy shop/a rules[2]",
        "AuthorizationPolicy shop/a rules[3]",
      ].concat(["AuthorizationPolicy shop/a rules[5]", "AuthorizationPolicy shop/noise"]),
    );
  });

  it("drops a part that becomes unnecessary only after a later one is gone", async () => {
    // a is needed while b is there; in this order no half contains both.
    const outcome = (left: readonly TicketObject[]): Promise<Outcome> => {
      const has = names(left);
      const same = has.includes("c") && has.includes("d") && (has.includes("a") || !has.includes("b"));
      return Promise.resolve(same ? "same" : "other");
    };
    const found = await minimize([policy("a"), policy("c"), policy("b"), policy("d")], outcome, 100);
    assert.deepEqual(names(found.objects), ["c", "d"]);
  });

  it("reduces a rule: fields, entries, values", async () => {
    const spec = {
      selector: { matchLabels: { app: "shop" } },
      action: "DENY",
      rules: [
        {
          from: [{ source: { namespaces: ["x"] } }],
          to: [{ operation: { methods: ["GET"], paths: ["/a", "/b", "/c"] } }, { operation: { ports: ["80"] } }],
          when: [
            { key: "request.auth.claims[x]", values: ["1", "2"] },
            { key: "source.ip", values: ["::1"] },
          ],
        },
      ],
    };
    const found = await minimize([policy("a", spec)], needs("/b", "claims[x]", '"values":["'), 100);
    assert.deepEqual(found.objects[0]?.spec?.["rules"], [
      { to: [{ operation: { paths: ["/b"] } }], when: [{ key: "request.auth.claims[x]", values: ["2"] }] },
    ]);
    assert.deepEqual(found.objects[0]?.spec?.["selector"], spec.selector);
    assert.ok(found.dropped.includes('AuthorizationPolicy shop/a rules[0].to[0].operation.paths[2] ("/c")'));
  });

  it("reduces a jwtRule, but keeps its issuer and keys", async () => {
    const jwtRules = [
      { issuer: "https://a", jwks: "{}", audiences: ["x", "y"], fromParams: ["t"] },
      { issuer: "https://b", jwksUri: "https://b/keys" },
    ];
    const authentication = { ...policy("jwt", { jwtRules }), kind: "RequestAuthentication" };
    const found = await minimize([authentication], needs("https://a", '"y"'), 100);
    assert.deepEqual(found.objects[0]?.spec, { jwtRules: [{ issuer: "https://a", jwks: "{}", audiences: ["y"] }] });
  });

  it("treats rejected YAML as another answer, and counts it", async () => {
    const outcome = (left: readonly TicketObject[]): Promise<Outcome> =>
      Promise.resolve(names(left).includes("schema") ? "same" : "refused");
    const found = await minimize([policy("a"), policy("schema"), policy("b")], outcome, 100);
    assert.deepEqual(names(found.objects), ["schema"]);
    assert.ok(found.refused > 0);
  });

  it("stops at the limit of attempts, with the last confirmed result", async () => {
    let asked = 0;
    const confirmed: string[] = [];
    const outcome = async (left: readonly TicketObject[]): Promise<Outcome> => {
      asked++;
      const found = await needs('"h"')(left);
      if (found === "same") confirmed.push(JSON.stringify(left));
      return found;
    };
    const found = await minimize(
      [..."abcdefgh"].map((name) => policy(name)),
      outcome,
      2,
    );
    assert.equal(asked, 2);
    assert.equal(found.tries, 2);
    assert.equal(found.complete, false);
    assert.equal(JSON.stringify(found.objects), confirmed.at(-1));
  });

  it("is complete if the last allowed attempt was the last needed one, and repeats no attempt", async () => {
    const asked: string[] = [];
    const outcome = (left: readonly TicketObject[]): Promise<Outcome> => {
      asked.push(JSON.stringify(left));
      return needs('"b"', "{}")(left);
    };
    const first = await minimize([policy("a"), policy("b")], outcome, 100);
    assert.equal(new Set(asked).size, asked.length);
    assert.equal((await minimize([policy("a"), policy("b")], outcome, first.tries)).complete, true);
    assert.equal((await minimize([policy("a"), policy("b")], outcome, first.tries - 1)).complete, false);
  });

  it("rethrows an error: a mesh that is gone has no answer", () =>
    assert.rejects(
      minimize([policy("a"), policy("b")], () => Promise.reject(new Error("gone")), 9),
      /gone/,
    ));
});

describe("sameAnswer", () => {
  const deniedBy = (name: string, index: number): Cause => {
    const rule = { name: `ns[shop]-policy[${name}]-rule[${index}]`, policy: { namespace: "shop", name }, index };
    const details = `rbac_access_denied_matched_policy[${rule.name}]`;
    const reason = { kind: "denied", rule: { ...rule, conditions: [] } } as const;
    return { kind: "decision", decision: { verdict: "denied", status: 403, by: "authorization", details, reason } };
  };
  const denied = {
    reproduced: true,
    cause: deniedBy("a", 3),
    verdict: { status: 403, by: "authorization", body: "" },
  } as const;
  it("compares status, who answered, and the cause without the indexes of rules", () => {
    assert.ok(sameAnswer(denied, { ...denied, cause: deniedBy("a", 0) }));
    assert.ok(!sameAnswer(denied, { ...denied, cause: deniedBy("b", 3) }));
    assert.ok(!sameAnswer(denied, { ...denied, reproduced: false }));
    assert.ok(!sameAnswer(denied, { ...denied, verdict: { ...denied.verdict, status: 401 } }));
    assert.ok(!sameAnswer(denied, { ...denied, verdict: { ...denied.verdict, by: "workload" } }));
  });
});
