import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import { Document, parse, stringify } from "yaml";
import { parseSource } from "../scenario/source.ts";
import { validate as problemsIn } from "../scenario/validate.ts";
import { printScenarioSchema, scenarioFile } from "./scenario-file.ts";

const project = join(import.meta.dirname, "../..");
const validate = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true }).compile(
  JSON.parse(printScenarioSchema()) as object,
);

const EVERYTHING = `
apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata:
  name: example
  title: t
  source: s
  level: core
  features: [ingress-gateway, outside-host]
  tags: [documented]
  knownFailure: { owner: o, reason: r, expires: 2027-01-31 }
spec:
  workloads: [httpbin]
  mesh: { jwksFetch: envoy }
  tokens:
    valid: { issuer: corp, alg: ES256, claims: { aud: [a] }, expiresIn: 5, variant: expired }
    sample: { issuer: istio-sample, published: true }
    forged: { issuer: corp, signedBy: unknown-key }
    odd: { issuer: corp, header: { kid: null }, notBefore: -1, issuedAt: 1, size: 9, in: [{ header: a, prefix: b, suffix: c }, { query: d }, { cookie: e }] }
  requests:
    special: { path: /, method: PUT, headers: { a: b }, protocol: h2c }
  steps:
    - name: one
      apply: a.yaml
      delete: [b.yaml, c.yaml]
      checks: { from: sleep, to: httpbin, columns: [none, valid], rows: { /a: [200, 401] } }
      jwksFetchedBy: [{ server: outside-host, by: proxy }]
      apiServer: [{ manifest: d.yaml, object: o, refuses: r, field: f }, { manifest: d.yaml, warns: w }, { manifest: d.yaml, accepts: true }]
    - name: two
      checks:
        - { name: n, from: outside, to: ingress, path: /, method: POST, headers: { a: b, c: [d, e] }, token: valid, variant: intact, expect: 200 }
        - { from: sleep, to: httpbin, path: /, expect: { status: 403, by: workload, body: b, jsonKey: k, details: d, policy: p, received: { path: /, headers: { a: b, c: null, d: true, e: { claims: { f: 1 } } } } } }
        - { name: m, from: sleep, to: httpbin, path: /, expect: allowed }
        - { name: o, from: sleep, to: httpbin, path: /, expect: { grpc: 7, body: { is: a }, headers: { a: b, c: true, d: null, e: { matches: f } } } }
        - { name: p, from: sleep, to: httpbin, path: /, expect: { status: allowed, body: { matches: a } } }
        - { title: t, vary: tokens, from: sleep, to: httpbin, path: /, columns: [intact], rows: { valid: [200] } }
`;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Yields every value that differs from the given one in one place. */
function* variationsOf(value: Json): Generator<Json> {
  for (const other of [null, true, 5, 5.5, 700, "", "x", "A B", "/x", [], ["x"], [5], {}, { x: 5 }] as Json[])
    if (JSON.stringify(other) !== JSON.stringify(value)) yield other;
  if (Array.isArray(value)) {
    if (value.length > 0) yield [...value, value[0]!];
    for (const [index, item] of value.entries()) {
      yield value.toSpliced(index, 1);
      for (const variation of variationsOf(item)) yield value.with(index, variation);
    }
  } else if (typeof value === "object" && value !== null) {
    yield { ...value, unknown: 1 };
    for (const [key, inner] of Object.entries(value)) {
      const rest = Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
      yield rest;
      yield { ...rest, [`${key}x`]: inner };
      for (const variation of variationsOf(inner)) yield { ...value, [key]: variation };
    }
  }
}

test("the schema for editors is fresh", async () => {
  const written = await readFile(join(project, "schema/scenario.schema.json"), "utf8");
  assert.equal(written, printScenarioSchema(), "npm run update");
});

test("the loader and the schema for editors agree about every single change to a scenario", () => {
  const original = parse(EVERYTHING) as Json;
  assert.equal(validate(original), true, JSON.stringify(validate.errors));
  const source = parseSource("", "scenario.yaml");
  let refused = 0;
  let allowed = 0;
  for (const changed of variationsOf(original)) {
    const { contents } = new Document(changed, { aliasDuplicateObjects: false });
    const problems = problemsIn(source, contents, scenarioFile, "the scenario");
    const valid = validate(changed);
    if ((problems.length === 0) !== valid)
      assert.fail(`${stringify(changed)}\n${JSON.stringify(problems)}\n${JSON.stringify(validate.errors)}`);
    if (valid) allowed++;
    else refused++;
  }
  assert(refused > 1000 && allowed > 50, `${refused} refused, ${allowed} allowed`);
});
