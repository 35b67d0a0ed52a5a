/** `meshproof matrix --with`: two versions are run, and a third one cannot be. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { PROJECT } from "../../cli/context.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { matrixFile } from "../../harness/model/matrix.ts";

const folder = makeTempDir();

test("runs the scenarios with each version and shows what is known of the differences", async () => {
  const only = ["--only", "authz/header-deny-repeated", "--only", "jwt/pair-makes-tokens-mandatory"];
  const pairs = ["--with", "1.31@1.36", "--with", "1.31@1.40", "--with", "1.28.0"];
  const places = ["--results", "results", "--out", "out", "--github-comment", "comment.md"];
  // No registry: the third version cannot be had, and the other two are in the cache.
  const { stdout, stderr, exitCode } = await execa(
    process.execPath,
    [
      path.join(PROJECT, "cli/meshproof.mjs"),
      "matrix",
      ...pairs,
      ...only,
      ...places,
      "--image-mirror",
      "127.0.0.1:1",
      "--json",
    ],
    { cwd: folder, reject: false },
  );
  assert.equal(exitCode, 3, stderr);
  const { columns, rows, steps } = matrixFile.parse(JSON.parse(stdout));
  assert.deepEqual(
    columns.map(({ versions, problem }) => [versions.istio, versions.envoy, problem?.code]),
    [
      ["1.28.0", undefined, "ERR_CLUSTER_START"],
      ["1.31.0", "1.36.4", undefined],
      ["1.31.0", "1.40.0", undefined],
    ],
  );
  assert.match(columns[0]?.problem?.message ?? "", /127\.0\.0\.1:1/);
  assert.deepEqual(
    rows.map(({ scenario, cells }) => [scenario, ...cells.map(({ state }) => state)]),
    [
      ["authz/header-deny-repeated", "not-run", "known", "passed"],
      ["jwt/pair-makes-tokens-mandatory", "not-run", "passed", "passed"],
    ],
  );
  assert.deepEqual(
    steps.flatMap(({ changes }) => changes.map(({ scenario, known }) => [scenario, known?.id])),
    [["authz/header-deny-repeated", "rbac-repeated-headers"]],
  );
  // Each run has its own folder, with its report, and nothing else is left.
  const runs = columns.flatMap((column) => column.runs.map(({ run }) => run));
  assert.deepEqual(readdirSync(path.join(folder, "results")).sort(), [...runs].sort());
  for (const run of runs)
    assert.match(readFileSync(path.join(folder, "results", run, "report.html"), "utf8"), /^<!doctype/);
  assert.deepEqual(readdirSync(path.join(folder, "out")).sort(), [
    "badge.svg",
    "matrix.html",
    "matrix.json",
    "matrix.md",
  ]);
  assert.match(readFileSync(path.join(folder, "comment.md"), "utf8"), /Istio 1\.28\.0 could not be run/);
});
