import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Condition, Explanation, RuleFact } from "../model/explanation.ts";
import { coverageOf, nameField, percentOf, type Written } from "./coverage.ts";
import { neverMatching, type NeverContext } from "./never.ts";

const position = { file: "p.yaml", line: 1, column: 1 };
const find = (_: Written, field: readonly (string | number)[]) => ({ ...position, line: field.length });
const policy = (spec: unknown, name = "p"): Written => ({
  object: {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "foo" },
    spec,
  },
  position,
});
const rule = (paths: readonly string[], methods: readonly string[]) => ({ to: [{ operation: { paths, methods } }] });
const condition = (kind: "path" | "method", agrees: boolean): Condition => ({
  ...{ field: { kind }, requires: { kind: "exact", value: "x" }, got: { kind: "text", text: "y" }, agrees },
});
const fact = (index: number, matched: boolean, failing: readonly ("path" | "method")[] = []): RuleFact => ({
  ...{ name: `ns[foo]-policy[p]-rule[${index}]`, policy: { namespace: "foo", name: "p" }, index },
  ...{ action: "ALLOW", dryRun: false, matched, conditions: failing.map((kind) => condition(kind, false)) },
});
const explained = (rules: readonly RuleFact[]): Explanation => {
  const allowed = rules.find(({ matched }) => matched === true);
  const reason = allowed
    ? ({ kind: "allowed", rule: allowed } as const)
    : ({ kind: "not-allowed", rules: [] } as const);
  return {
    decision: allowed
      ? { verdict: "admitted", by: "nobody", reason }
      : { verdict: "denied", by: "authorization", reason },
    ...{ filtersAsked: true, tokensAsked: false, path: "/", providers: [], rules },
  };
};
const cover = (written: readonly Written[], explanations: readonly Explanation[]) => {
  const { parts, shadowed } = coverageOf([{ written, explanations }], find);
  return {
    percent: percentOf(parts),
    open: parts.filter(({ decisive }) => decisive === 0).map(({ kind, field }) => `${kind} ${field}`),
    shadowed: shadowed.map(({ rule: index, by }) => [index, by]),
  };
};

describe("coverage", () => {
  const one = policy({ rules: [rule(["/a"], ["GET"])] });

  it("is whole where the rule decides, and each condition is the only one that fails once", () => {
    const all = [[fact(0, true)], [fact(0, false, ["path"])], [fact(0, false, ["method"])]].map(explained);
    assert.deepEqual(cover([one], all), { percent: 100, open: [], shadowed: [] });
  });

  it("lacks a condition that never fails alone", () => {
    const all = [[fact(0, true)], [fact(0, false, ["path", "method"])]].map(explained);
    assert.deepEqual(cover([one], all).open, [
      "condition spec.rules[0].to[0].operation.paths",
      "condition spec.rules[0].to[0].operation.methods",
    ]);
  });

  it("lacks a rule that no request matches, or that another decides as well, which is told", () => {
    const two = policy({ rules: [rule(["/a"], ["GET"]), rule(["/b"], ["GET"])] });
    const found = cover([two], [[fact(0, true), fact(1, true)]].map(explained));
    assert.deepEqual(
      found.open.filter((part) => part.startsWith("rule")),
      ["rule spec.rules[0]", "rule spec.rules[1]"],
    );
    assert.deepEqual(found.shadowed, [
      [0, ["ns[foo]-policy[p]-rule[1]"]],
      [1, ["ns[foo]-policy[p]-rule[0]"]],
    ]);
    assert.deepEqual(
      cover(
        [two],
        [
          [fact(0, true), fact(1, true)],
          [fact(0, true), fact(1, false)],
        ].map(explained),
      ).shadowed,
      [[1, ["ns[foo]-policy[p]-rule[0]"]]],
    );
  });

  it("has nothing of a policy that only watches", () => {
    const watching = policy({ rules: [rule(["/a"], ["GET"])] });
    const object = {
      ...watching.object,
      metadata: { ...watching.object.metadata, annotations: { "istio.io/dry-run": "true" } },
    };
    assert.equal(cover([{ ...watching, object }], []).percent, 100);
  });
});

describe("values that no request has", () => {
  const never = (spec: unknown, context: Partial<NeverContext> = {}) =>
    neverMatching(
      [
        {
          ...{ written: [policy(spec)], explanations: [] },
          context: {
            normalization: "BASE",
            servicePorts: new Set(),
            issuers: new Set(["https://issuer.example"]),
            ...context,
          },
        },
      ],
      find,
    ).map(({ value, because }) => `${value} ${because}`);
  const to = (operation: unknown) => ({ rules: [{ to: [{ operation }] }] });
  const from = (source: unknown) => ({ rules: [{ from: [{ source }] }] });

  it("of paths", () => {
    assert.deepEqual(
      never(to({ paths: ["/a", "/a/*", "*/a", "*", "/{*}/a", "/a//b", "/a/*/b", "a", "/a?b", "/a/../b"] })),
      ["/a/*/b star-in-the-middle", "a path-without-slash", "/a?b path-with-query", "/a/../b path-not-normalized"],
    );
  });

  it("of methods, ports and principals", () => {
    assert.deepEqual(never(to({ methods: ["GET", "get"], ports: ["80", "9090"] }), { servicePorts: new Set(["80"]) }), [
      "get lower-case-method",
      "80 service-port",
    ]);
    const principals = ["cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/a/sa/b", "cluster.local/ns/*/sa/b"];
    assert.deepEqual(never(from({ principals })), [
      "spiffe://cluster.local/ns/a/sa/b spiffe-prefix",
      "cluster.local/ns/*/sa/b star-in-the-middle",
    ]);
    const requestPrincipals = [
      "https://issuer.example",
      "https://issuer.example/*",
      "*",
      "me",
      "https://issuer.example/me",
    ];
    const issuers = new Set(["https://a.example/b", "https://a.example"]);
    assert.deepEqual(never(from({ requestPrincipals: ["https://a.example/b", "https://a.example"] }), { issuers }), [
      "https://a.example request-principal-without-subject",
    ]);
    assert.deepEqual(never(from({ requestPrincipals })), [
      "https://issuer.example request-principal-without-subject",
      "me request-principal-without-subject",
    ]);
  });
});

it("a field is named as kubectl explain names it", () => {
  assert.equal(nameField(["spec", "rules", 0, "to", 1, "operation", "paths"]), "spec.rules[0].to[1].operation.paths");
});
