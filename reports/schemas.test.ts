/** Every JSON file that meshproof writes fits its published JSON Schema and the schema that the types come from. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type * as z from "zod";
import { againstFile } from "../harness/model/against.ts";
import { checkReport } from "../harness/model/check.ts";
import { comparisonFile } from "../harness/model/comparison.ts";
import { runResult } from "../harness/model/result.ts";
import type { Expectation } from "../harness/model/scenario.ts";
import { matrixFile } from "../harness/model/matrix.ts";
import { reproFile } from "../harness/model/ticket.ts";
import { trendFile } from "../harness/model/trend.ts";
import { upgradeFile } from "../harness/model/upgrade.ts";
import { check, hostile, run, scenario, step } from "../test/recorded/change.ts";
import {
  against,
  comparison,
  matrix,
  redRun,
  ticket,
  TICKETS,
  trend,
  upgrade,
  wholeRun,
} from "../test/recorded/results.ts";
import { formatAgainstJson } from "./against.ts";
import { REPORT } from "./check.fixture.ts";
import { formatCheckJson } from "./check.ts";
import { formatDiffJson } from "./diff.ts";
import { formatJson } from "./json.ts";
import { formatMatrixJson } from "./matrix/text.ts";
import { formatReproJson } from "./repro.ts";
import { formatTrendJson } from "./trend.ts";
import { formatUpgradeJson } from "./upgrade.ts";

/** A scenario file has its own schema of an expectation: the compiler requires here what is added there. */
const expected: Required<Expectation> = {
  status: 200,
  grpc: 0,
  by: "workload",
  noAnswer: "closed",
  body: { matches: "b" },
  headers: { a: "b", c: true, d: null, e: { matches: "f" } },
  jsonKey: "k",
  details: "d",
  policy: "p",
  received: { headers: { a: "b" }, path: "/" },
};
const everyExpectation = run([scenario("jwt/x", { steps: [step("s", { checks: [check("a", { expected })] })] })]);

const FILES: Record<string, { readonly schema: z.ZodType; readonly texts: readonly string[] }> = {
  results: { schema: runResult, texts: [redRun(), wholeRun(), hostile(), everyExpectation].map(formatJson) },
  check: { schema: checkReport, texts: [formatCheckJson(REPORT)] },
  diff: { schema: comparisonFile, texts: [formatDiffJson(comparison())] },
  matrix: { schema: matrixFile, texts: [formatMatrixJson(matrix())] },
  trend: { schema: trendFile, texts: [formatTrendJson(trend())] },
  repro: { schema: reproFile, texts: TICKETS.map((name) => formatReproJson(ticket(name))) },
  against: { schema: againstFile, texts: [formatAgainstJson(against())] },
  upgrade: { schema: upgradeFile, texts: [formatUpgradeJson(upgrade())] },
};

const ajv = new Ajv2020({ formats: { "date-time": (text: string) => !Number.isNaN(Date.parse(text)) } });

for (const [name, { schema, texts }] of Object.entries(FILES))
  describe(`${name}.json`, () => {
    const published = JSON.parse(readFileSync(new URL(`${name}.schema.json`, import.meta.url), "utf8")) as object;
    const validate = ajv.compile(published);

    it("fits", () => {
      for (const text of texts) {
        validate(JSON.parse(text));
        assert.deepEqual([validate.errors, schema.safeParse(JSON.parse(text)).error], [null, undefined]);
      }
    });

    it("is refused where a property is missing, unknown, or of another type", () => {
      const file = JSON.parse(texts[0] ?? "") as Record<string, unknown>;
      const { required } = published as { readonly required: readonly string[] };
      assert.ok(required.length > 3);
      const broken = required.flatMap((key) => {
        const { [key]: _left, ...rest } = file;
        return [rest, { ...file, [key]: null }];
      });
      for (const value of [...broken, { ...file, more: 1 }])
        assert.deepEqual([validate(value), schema.safeParse(value).success], [false, false]);
    });
  });
