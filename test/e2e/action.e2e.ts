/** The GitHub Action: each of its run-steps is executed in a folder that plays a user's repository, with the packed package. */

import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { PROJECT } from "../../cli/context.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { readResults } from "../../reports/index.ts";
import { readAction, runAction, type Action, type Ended } from "./action.fixture.ts";

const folder = makeTempDir();
const repository = path.join(folder, "repository");
const bin = path.join(folder, "bin");
const CALLS = path.join(folder, "calls.txt");

/** Plays GitHub's program: it writes down its arguments and the comment, and knows of one comment where the file `there` exists. */
const GH = `#!/bin/bash
echo "$*" >> ${CALLS}
for word in "$@"; do case "$word" in body=@*) cp "\${word#body=@}" ${folder}/comment.md ;; esac; done
case "$*" in *--paginate*) [ ! -f ${folder}/there ] || echo 4711 ;; esac
`;

let action: Action;
let packed: string;

before(async () => {
  action = await readAction(path.join(PROJECT, "action.yml"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("npm_")));
  await execa("npm", ["pack", "--pack-destination", folder], { cwd: PROJECT, extendEnv: false, env, stdio: "ignore" });
  packed = path.join(
    folder,
    (await readdir(folder)).find((name) => name.endsWith(".tgz"))!,
  );
  await mkdir(path.join(repository, "mesh-tests"), { recursive: true });
  await mkdir(bin);
  await writeFile(path.join(bin, "gh"), GH);
  await chmod(path.join(bin, "gh"), 0o755);
  await writeFile(path.join(repository, "meshproof.config.yaml"), "scenarios: mesh-tests\n");
  await execa(
    process.execPath,
    [path.join(PROJECT, "cli/meshproof.mjs"), "new", "team/orders", "--scenarios", "mesh-tests"],
    {
      cwd: repository,
    },
  );
});
after(() => rm(path.join(PROJECT, "dist"), { recursive: true, force: true }));

let jobs = 0;
const uses: (readonly [action: string, given: Readonly<Record<string, string>>])[] = [];

function job(inputs: Readonly<Record<string, string>>, github: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return runAction(action, {
    ...{ repository, temp: path.join(folder, `runner-${++jobs}`), github },
    inputs: { version: packed, ...inputs },
    env: { PATH: `${bin}:${process.env["PATH"] ?? ""}`, GITHUB_REPOSITORY: "team/shop", GITHUB_ACTION_PATH: PROJECT },
    uses: (step, given) => void uses.push([step.uses ?? "", given]),
  });
}

const PULL_REQUEST = { event_name: "pull_request", "event.pull_request.number": "42" };

describe("the GitHub Action", () => {
  it("installs the package, runs the repository's scenarios, and comments at the pull request", async () => {
    const { ran, failed, outputs, log, summary } = await job({ comment: "true" }, PULL_REQUEST);
    assert.equal(failed, false, log);
    assert.deepEqual(
      ran,
      action.runs.steps.map(({ name }) => name),
    );
    assert.equal(outputs["exit-code"], "0");
    const { counts, scenarios } = await readResults(outputs["results"]!);
    assert.deepEqual([counts.passed, scenarios.map(({ id }) => id)], [12, ["team/orders"]]);
    assert.match(summary, /meshproof: the mesh behaves as documented/);
    const [, upload] = uses.find(([name]) => name.startsWith("actions/upload-artifact@"))!;
    assert.deepEqual((await readdir(upload["path"]!)).includes("latest"), true);
    const [, cache] = uses.find(([name]) => name.startsWith("actions/cache@"))!;
    assert.equal(cache["path"], "~/.cache/meshproof");
    const comment = await readFile(path.join(folder, "comment.md"), "utf8");
    assert.match(comment, /^<!-- meshproof-matrix -->\n[^]*every scenario passes with 1 version/);
    assert.match(await readFile(CALLS, "utf8"), /--method POST repos\/team\/shop\/issues\/42\/comments/);
  });

  it("fails for a broken policy, at its line, after the upload and with the comment replaced", async () => {
    const file = path.join(repository, "mesh-tests/team/orders/authorization-policy.yaml");
    const policy = await readFile(file, "utf8");
    await writeFile(file, policy.replace("app: httpbin", "app: nothing"));
    await writeFile(path.join(folder, "there"), "");
    await rm(CALLS);
    const { ran, failed, outputs, log } = await job({ comment: "true", select: "team/*" }, PULL_REQUEST);
    await writeFile(file, policy);
    assert.equal(failed, true);
    assert.notEqual(outputs["exit-code"], "0");
    assert.deepEqual(ran.slice(-3), ["Upload the results", "Comment at the pull request", "Conclude"]);
    assert.match(log, /^::error file=mesh-tests\/team\/orders\/scenario\.yaml,line=\d+/m);
    assert.match(await readFile(CALLS, "utf8"), /--method PATCH repos\/team\/shop\/issues\/comments\/4711/);
  });

  it("runs several versions, and its report is a matrix", async () => {
    const { failed, outputs, log, summary } = await job({ versions: "1.31@1.36 1.31@1.40", results: "matrix-results" });
    assert.equal(failed, false, log);
    assert.deepEqual((await readdir(outputs["results"]!)).sort(), [
      "badge.svg",
      "matrix.html",
      "matrix.json",
      "matrix.md",
    ]);
    assert.match(summary, /every scenario passes with 2 versions/);
  });

  it("refuses wrong inputs", async () => {
    const both = await job({ versions: "1.31", istio: "1.31" });
    assert.deepEqual([both.failed, /::error .*versions excludes/.test(both.log)], [true, true], both.log);
    const unknown = await job({ select: "team/nothing", "fail-on": "failed" });
    assert.deepEqual([unknown.failed, unknown.outputs["exit-code"]], [true, "2"], unknown.log);
    const never = await job({ select: "team/nothing", "fail-on": "never", comment: "true" }, PULL_REQUEST);
    assert.deepEqual([never.failed, never.outputs["exit-code"]], [false, "2"], never.log);
    const wrong = await job({ select: "team/nothing", "fail-on": "red" });
    assert.match(wrong.log, /fail-on is any, failed or never, not red/);
  });

  it("does what fail-on says of each exit code", async () => {
    const { run = "" } = action.runs.steps.find(({ name }) => name === "Conclude")!;
    for (const [failOn, codes] of [
      ["any", [0, 1, 2, 3]],
      ["failed", [0, 1, 2, 0]],
      ["never", [0, 0, 0, 0]],
    ] as const)
      for (const [code, expected] of codes.entries()) {
        const env = { CODE: String(code), FAIL_ON: failOn };
        const { exitCode } = await execa("bash", ["-eo", "pipefail", "-c", run], { env, reject: false });
        assert.equal(exitCode, expected, `${failOn} ${code}`);
      }
  });
});
