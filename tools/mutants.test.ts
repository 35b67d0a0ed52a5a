import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { loadScenarios } from "../harness/scenario/index.ts";
import { SCENARIOS } from "../cli/context.ts";
import { fateOf, fileOf, mutantsOf, nameOf } from "./mutants.ts";

interface Manifest {
  readonly kind: string;
  readonly spec: {
    readonly jwtRules?: { readonly issuer: string }[];
    readonly selector?: object;
    readonly action?: string;
  };
}

const { scenarios } = await loadScenarios(SCENARIOS);
const all = new Map(scenarios.map((scenario) => [scenario.id, mutantsOf(scenario)]));
const of = ({ id }: { readonly id: string }) => all.get(id) ?? [];

test("each policy of a scenario is dropped, re-targeted, and inverted or given another issuer", () => {
  const scenario = scenarios.find(({ id }) => id === "paths/skip-jwt-for-paths");
  assert.ok(scenario);
  const mutants = mutantsOf(scenario);
  assert.deepEqual(
    mutants.map(({ words }) => words),
    [
      "drop RequestAuthentication jwt-example",
      "re-target RequestAuthentication jwt-example",
      "change the issuer of RequestAuthentication jwt-example",
      "drop AuthorizationPolicy test-exclude",
      "re-target AuthorizationPolicy test-exclude",
      "invert AuthorizationPolicy test-exclude",
    ],
  );
  const [dropped, , issuer, , retargeted, inverted] = mutants.map(({ text }) => parse(text) as Manifest);
  assert.equal(dropped?.kind, "ConfigMap");
  assert.equal(issuer?.spec.jwtRules?.[0]?.issuer, "https://mutant.example");
  assert.deepEqual(retargeted?.spec.selector, { matchLabels: { app: "nobody" } });
  assert.equal(inverted?.spec.action, "ALLOW");
});

test("a policy with targetRefs is re-targeted to an object that is not there", () => {
  for (const [id, count] of [
    ["gateway-api/several-target-refs", 2],
    ["gateway-api/target-ref", 1],
  ] as const) {
    const scenario = scenarios.find((one) => one.id === id);
    assert.ok(scenario);
    const [mutant] = mutantsOf(scenario).filter(({ words }) => words.startsWith("re-target"));
    const { spec } = parse((mutant?.text ?? "").split(/^---$/m)[0] ?? "") as {
      spec: { selector?: unknown; targetRef?: { name: string }; targetRefs?: { name: string }[] };
    };
    assert.equal(spec.selector, undefined);
    const names = [...(spec.targetRefs ?? []), ...(spec.targetRef ? [spec.targetRef] : [])].map(({ name }) => name);
    assert.deepEqual(
      names,
      Array.from({ length: count }, () => "nobody"),
    );
  }
});

test("a policy that decides nothing is made to decide, and of one whose keys are rejected the issuer does not count", () => {
  const wordsOf = (id: string, file = ""): string[] =>
    (all.get(id) ?? [])
      .filter((mutant) => mutant.file.includes(file))
      .map(({ words }) => words.split(" ").slice(0, -1).join(" "));
  assert.deepEqual(
    new Set(wordsOf("authz/policy-of-another-namespace")),
    new Set(["make hold everywhere RequestAuthentication", "make hold everywhere AuthorizationPolicy"]),
  );
  assert.deepEqual(wordsOf("authz/dry-run", "deny"), ["re-target AuthorizationPolicy", "enforce AuthorizationPolicy"]);
  assert.deepEqual(wordsOf("authz/audit", "audit.yaml"), [
    "re-target AuthorizationPolicy",
    "enforce AuthorizationPolicy",
  ]);
  assert.deepEqual(wordsOf("jwks/server-html"), ["drop RequestAuthentication", "re-target RequestAuthentication"]);
  // It holds in a later step, when the label of a pod has changed.
  assert.ok(wordsOf("authz/label-changes").includes("drop AuthorizationPolicy"));
  const [held] = all.get("gateway-api/target-refs-service") ?? [];
  const { metadata, spec } = parse((held?.text ?? "").split(/^---$/m)[0] ?? "") as {
    metadata: { namespace: string };
    spec: object;
  };
  assert.equal(metadata.namespace, "istio-system");
  assert.ok(!("selector" in spec) && !("targetRefs" in spec));
});

test("every scenario that applies a policy has mutants", () => {
  for (const scenario of scenarios) {
    const policies = scenario.steps
      .flatMap(({ apply }) => apply)
      .flatMap(({ objects }) => objects.filter(({ object }) => /^(Req|Auth)/.test(object.kind)));
    if (policies.length > 0) assert.ok(of(scenario).length >= 1, scenario.id);
  }
});

test("each reason in survivors.yaml is of a mutant, or of all of a file", async () => {
  const survivors = await readFile(path.join(import.meta.dirname, "survivors.yaml"), "utf8");
  const names = scenarios.flatMap((scenario) => of(scenario).map((mutant) => nameOf(scenario, mutant)));
  for (const key of Object.keys(parse(survivors) as object))
    assert.ok(names.includes(key) || names.some((name) => fileOf(name) === key), key);
});

test("an error kills a mutant only if it says where its policies hold", () => {
  const object = { kind: "AuthorizationPolicy", namespace: "foo", name: "a" };
  const proxy = { namespace: "foo", pod: "httpbin-1" };
  const nowhere = { kind: "selects-no-pod", object, selector: { app: "nobody" }, pods: [] } as const;
  const slow = { kind: "old-config", proxy, objects: [], afterMs: 2_000 } as const;
  const fate = (...findings: (typeof nowhere | typeof slow)[]) =>
    fateOf({ status: "error", findings: [], steps: [{ findings }] });
  assert.equal(fate(nowhere), "killed");
  assert.equal(fate(slow), "undecided");
  assert.equal(fate(nowhere, slow), "undecided");
  const keys = { kind: "other-keys", proxy, issuer: "corp", afterMs: 30_000 } as const;
  const late = { status: "error", findings: [], steps: [{ findings: [keys] }] } as const;
  assert.equal(fateOf(late), "undecided");
  assert.equal(fateOf(late, { isPatient: true }), "killed");
  assert.equal(fateOf({ ...late, steps: [{ findings: [keys, slow] }] }, { isPatient: true }), "undecided");
  assert.equal(fate(), "undecided");
  const crashed = { kind: "error", error: { message: "socket hang up" } } as const;
  assert.equal(fateOf({ status: "error", findings: [crashed], steps: [{ findings: [nowhere] }] }), "undecided");
});

test("a check that fails kills a mutant; one that passed in the end, an invalid and a skipped one prove nothing", () => {
  const of = { findings: [], steps: [] };
  assert.equal(fateOf({ ...of, status: "failed" }), "killed");
  assert.equal(fateOf({ ...of, status: "passed" }), "survived");
  assert.equal(fateOf({ ...of, status: "flaky" }), "undecided");
  assert.equal(fateOf({ ...of, status: "known-failure" }), "undecided");
  assert.equal(fateOf({ ...of, status: "skipped" }), "skipped");
  assert.equal(fateOf({ ...of, status: "error", refused: [] }), "invalid");
});
