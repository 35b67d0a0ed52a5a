import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type {
  AppliedObject,
  Answer,
  AskedResult,
  CheckResult,
  RunResult,
  ScenarioResult,
} from "../harness/model/result.ts";
import type { ClusterInfo, MeshSetting } from "../harness/model/cluster.ts";
import type { Expectation } from "../harness/model/scenario.ts";
import {
  answer,
  asked,
  attacks,
  check,
  expectation,
  explanation,
  hostile,
  keysNotFetched,
  policy,
  recorded,
  run,
  scenario,
  step,
} from "../test/recorded/change.ts";
import { redRun, wholeRun } from "../test/recorded/results.ts";
import { formatJson } from "./json.ts";

const schema = JSON.parse(await readFile(new URL("results.schema.json", import.meta.url), "utf8")) as object;
const ajv = new Ajv2020({
  allErrors: true,
  formats: { "date-time": (text: string) => !Number.isNaN(Date.parse(text)) },
});
const validate = ajv.compile(schema);

/** A result with every optional property: the compiler requires a new property here, which tests that the schema has it. */
function everything(): RunResult {
  const got: Required<Answer> = { ...answer(401), details: "d", error: "e", userAgent: "meshproof/run/check/1" };
  const expected: Required<Expectation> = {
    ...expectation(401),
    body: "b",
    jsonKey: "k",
    details: "d",
    policy: "p",
    received: { headers: { a: "b" }, path: "/" },
  };
  const full: Required<CheckResult> = {
    ...check("a"),
    got,
    expected,
    findings: [recorded("r")],
    reason: "r",
    changes: [{ round: 1, atMs: 2, status: 200, by: "workload" }],
    wrong: [{ status: 200, by: "workload" }],
    explanation: explanation({ kind: "not-denied" }),
    stale: { status: 200, by: "workload" },
    cell: { matrix: 0, row: 0, column: 0 },
  };
  const who: Required<AskedResult> = { ...asked(), findings: [recorded("r")], reason: "r" };
  const object: Required<AppliedObject> = { ...policy(), inForceMs: 1, findings: [keysNotFetched("i")], note: "n" };
  const mesh: Required<MeshSetting> = { jwksFetch: "hybrid", pathNormalization: "NONE", extAuthz: true };
  const steps = [step("s", { checks: [full], asked: [who], objects: [object] })];
  const one: Required<ScenarioResult> = {
    ...scenario("jwt/x", { mesh, steps }),
    disturbances: [
      {
        ...{ kind: "died", namespace: "foo", pod: "httpbin-1", container: "istio-proxy" },
        last: { reason: "Error", exitCode: 139, signal: 11, finishedAt: "2026-11-28T06:00:08Z" },
      },
    ],
    repeat: "meshproof run a/b --keep",
    refused: [{ position: { file: "a.yaml", line: 1, column: 1 }, object: "Service foo/a", message: "m" }],
    diagnostics: ["diagnostics/a__b/1"],
    findings: [recorded("r")],
    reason: "r",
  };
  const result: Required<RunResult> = {
    ...run([one]),
    interrupted: true,
    notes: [{ kind: "merged", runs: ["a"] }],
    shard: { index: 1, count: 2, selection: "s" },
    inputs: {
      scenarios: "0123456789abcdef",
      profile: "istio",
      knownFailures: "0123456789abcdef",
      runSet: "github x 1",
    },
  };
  const cluster: Required<ClusterInfo> = {
    ...result.cluster,
    verified: { envoy: "2026-11-28T00:00:00.000Z" },
    rootless: false,
  };
  return { ...result, cluster };
}

for (const [name, result] of Object.entries({ everything, redRun, wholeRun, hostile })) {
  test(`results.json of ${name} fits its schema`, () => {
    validate(JSON.parse(formatJson(result())));
    assert.deepEqual(validate.errors, null);
  });
}

test("a result without hostile text is read back unchanged, with texts for people", () => {
  const withoutTexts = (text: string): unknown =>
    JSON.parse(text, (name, value: unknown) => (name === "text" ? undefined : value));
  assert.deepEqual(withoutTexts(formatJson(redRun())), withoutTexts(JSON.stringify(redRun())));
});

test("the file has no control characters, and the data is the same", () => {
  const json = formatJson(hostile());
  assert.doesNotMatch(json, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  const first = (JSON.parse(json) as RunResult).scenarios[0]?.steps[0]?.checks[0];
  assert.ok(first?.got.body.includes(attacks.control.slice(0, -1)));
});

test("the file has no signature of a token and no body above its limit", () => {
  const json = formatJson(hostile());
  assert.ok(!json.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
  assert.ok(json.includes("… (cut: 2 KiB of 10 MiB)"));
  assert.ok(json.length < 100_000);
});
