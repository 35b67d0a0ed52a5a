/** Passes odd files to every function that reads a user's file: each is read or refused with a message, never an internal error. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { compareRuns } from "../harness/compare/compare.ts";
import { parseKnownChanges } from "../harness/compare/known.ts";
import { exitCodeOf, MeshproofError } from "../harness/model/errors.ts";
import { excuseRun, parseKnownFailures } from "../harness/known-failures.ts";
import { explainConfig } from "./verbs/explain.ts";
import { readObjects, readRequest, translated } from "../harness/repro/index.ts";
import { lintScenarios, loadScenarios } from "../harness/scenario/index.ts";
import { findTrend } from "../harness/trend/trend.ts";
import { ofFile, readUserFile } from "../harness/user-file.ts";
import { formatDiff, formatSummary, formatTrend, readResults } from "../reports/index.ts";
import { formatHtml } from "../reports/html/document.ts";
import { allPassed, run } from "../test/recorded/change.ts";
import { SCENARIOS } from "./context.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-odd-"));
after(() => rmSync(folder, { recursive: true }));

const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
  .concat(
    Array.from(
      { length: 9 },
      (_, n) => `k${n}: &${"bcdefghij"[n]} [${Array(9).fill(`*${"abcdefghi"[n]}`).join(", ")}]`,
    ),
  )
  .join("\n");

/** Unexpected contents. */
const ODD: Readonly<Record<string, string | Buffer>> = {
  nothing: "",
  "a byte order mark alone": "\ufeff",
  "UTF-16": Buffer.from("\ufeff{}", "utf16le"),
  "bytes that are no UTF-8": Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
  "zero bytes": Buffer.alloc(64),
  null: "null",
  "a number": "5",
  "a text": '"x"',
  "a list": "[]",
  "an object": "{}",
  "lists in lists": "[".repeat(10_000),
  "closed lists in lists": "[".repeat(10_000) + "]".repeat(10_000),
  "objects in objects": '{"a":'.repeat(10_000) + "1" + "}".repeat(10_000),
  "blocks in blocks": Array.from({ length: 2_000 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"),
  "aliases that grow": bomb,
  "an object that holds itself": "a: &a { b: *a }",
  "a merge key": "a: &a { b: 1 }\nc: { <<: *a }",
  "odd keys": "? { a: 1 }\n: x\n? [1]\n: y\nnull: z\n__proto__: { a: 1 }\nconstructor: 1",
  tags: "a: !!binary aGk=\nb: !!js/function x\nc: !!set { a }\nd: !unknown y\ne: 2026-11-28\nf: .nan",
  "two documents": "a: 1\n---\nb: 2\n---\n",
  "a directive": "%YAML 9.9\n---\na: 1",
  "half characters": '{"a":"\\ud800","\\udfff":1}',
  "a long line": `a: ${"x".repeat(1_000_000)}`,
};

/** Values that replace a part. */
const INSTEAD: readonly unknown[] = [
  null,
  5,
  -1e308,
  "",
  "\ud800",
  "x",
  true,
  [],
  [null],
  {},
  [[]],
  { a: { b: null } },
];

/** Yields the data with one part replaced, for every part. Uses at most `most` items of a list. */
function* mutants(data: unknown, most = 2): Generator<unknown> {
  if (typeof data === "object" && data !== null) {
    const entries = Object.entries(data);
    for (const [key, value] of Array.isArray(data) ? entries.slice(0, most) : entries) {
      const put = (inner: unknown): unknown =>
        Array.isArray(data) ? data.with(Number(key), inner) : { ...data, [key]: inner };
      for (const inner of mutants(value, most)) yield put(inner);
      if (!Array.isArray(data)) yield Object.fromEntries(entries.filter(([other]) => other !== key));
    }
  }
  yield* INSTEAD;
}

/** Runs a reader: undefined, or an error that is not a message to a user. */
async function crashOf(act: () => unknown): Promise<string | undefined> {
  try {
    await act();
  } catch (error) {
    if (error instanceof MeshproofError && exitCodeOf(error) === 2 && error.message !== "") return undefined;
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  return undefined;
}

let files = 0;
const write = (content: string | Buffer, name = `odd-${files++}`): string => {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
};

/** Functions that read one file like a verb. */
const READERS: Readonly<
  Record<string, { readonly good: unknown; readonly yaml?: boolean; read(file: string): Promise<unknown> }>
> = {
  "results.json of diff, merge, trend and reports": {
    // Of a list the first part is replaced, and whatever is behind it costs time alone.
    good: run(allPassed().scenarios.slice(0, 1)),
    async read(file) {
      const result = await readResults(file);
      formatSummary(result, {});
      formatHtml(result);
      formatDiff(compareRuns(result, result, []));
      formatTrend(findTrend([{ folder, result }], []));
      excuseRun(result, [], "2026-11-28");
    },
  },
  "known failures": {
    yaml: true,
    good: {
      knownFailures: [{ scenario: "a/b", step: "s", check: "c", owner: "me", reason: "r", expires: "2027-01-31" }],
    },
    read: async (file) => parseKnownFailures(await readUserFile(file), file),
  },
  "known changes": {
    yaml: true,
    good: parse(
      readFileSync(path.join(import.meta.dirname, "../harness/compare/known-changes.yaml"), "utf8"),
    ) as unknown,
    read: async (file) => parseKnownChanges(await readUserFile(file), file),
  },
  "a config dump": {
    good: JSON.parse(
      readFileSync(path.join(import.meta.dirname, "../harness/oracle/fixtures/sidecar.json"), "utf8"),
    ) as unknown,
    read: (file) =>
      explainConfig({
        ...{ configDump: file, request: "GET /headers", header: [], allowExec: [] },
        cluster: "embedded",
        name: "x",
        claims: '{"iss":"x","aud":["a"]}',
      }),
  },
  "a ticket": {
    yaml: true,
    good: {
      ...{ apiVersion: "v1", kind: "List" },
      items: [
        ...["audience/policies.yaml", "selector/policies.yaml"].flatMap((name) =>
          readObjects(readFileSync(path.join(import.meta.dirname, "../docs/examples/tickets", name), "utf8"), name),
        ),
        {
          ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata: { name: "v" } },
          spec: {
            hosts: ["a"],
            http: [{ match: [{ headers: { a: { exact: "b" } } }], route: [{ destination: { host: "a" } }] }],
          },
        },
      ],
    },
    async read(file) {
      const objects = ofFile(file, () => readObjects("", file));
      objects.push(...readObjects(await readUserFile(file), file));
      if (objects.length > 0)
        translated([file], {
          ...{ name: "t", objects, jwks: "reachable", now: 0, image: "nginx:1", tokens: [] },
          request: readRequest("GET http://a/b?c=d", ["x-a: b"]),
        }).scenario(() => ({ status: 200, by: "workload" }));
    },
  },
  "a scenario": {
    yaml: true,
    good: parse(
      readFileSync(path.join(SCENARIOS, "jwt/request-authentication-alone/scenario.yaml"), "utf8"),
    ) as unknown,
    async read(file) {
      const root = path.join(folder, "scenarios");
      write(readFileSync(file), "scenarios/a/b/scenario.yaml");
      const { scenarios, problems } = await loadScenarios(root);
      problems.push(...(await lintScenarios(scenarios, root)));
    },
  },
  "a manifest of a scenario": {
    yaml: true,
    good: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "${ns}" }, data: { a: "b" } },
    async read(file) {
      const root = path.join(folder, "manifests");
      write(
        readFileSync(path.join(import.meta.dirname, "starter/scenario-starter.yaml")),
        "manifests/a/starter/scenario.yaml",
      );
      write(
        readFileSync(path.join(import.meta.dirname, "starter/request-authentication.yaml")),
        "manifests/a/starter/request-authentication.yaml",
      );
      write(readFileSync(file), "manifests/a/starter/authorization-policy.yaml");
      const { scenarios } = await loadScenarios(root);
      await lintScenarios(scenarios, root);
    },
  },
  "an issuer": {
    yaml: true,
    good: { iss: "https://a.example", keys: [{ kid: "a", alg: "RS256" }], claims: { sub: "x" } },
    async read(file) {
      const root = path.join(folder, "issuers-only");
      write(readFileSync(file), "issuers-only/issuers/a.yaml");
      const { scenarios } = await loadScenarios(root);
      await lintScenarios(scenarios, root);
    },
  },
};

for (const [what, { good, yaml, read }] of Object.entries(READERS))
  describe(`an odd file in place of ${what}`, () => {
    for (const [odd, content] of Object.entries(ODD))
      it(`is read or refused: ${odd}`, async () => assert.equal(await crashOf(() => read(write(content))), undefined));

    it("is read or refused, if any part of it has another type", async () => {
      const crashes = new Set<string>();
      const file = write("");
      for (const mutant of mutants(good, yaml === true ? 2 : 1)) {
        writeFileSync(file, yaml === true ? stringify(mutant) : JSON.stringify(mutant));
        const crash = await crashOf(() => read(file));
        if (crash !== undefined) crashes.add(crash.split("\n").slice(0, 4).join("\n"));
      }
      assert.deepEqual([...crashes], []);
    });

    it("is read with a byte order mark", async () => {
      const text = yaml === true ? stringify(good) : JSON.stringify(good);
      await read(write(`\ufeff${text}`));
    });
  });
