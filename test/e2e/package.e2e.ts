/** The package that `npm pack` makes, in a folder of its user's, where the clone is out of sight. */

import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { publint } from "publint";
import packageJson from "../../package.json" with { type: "json" };
import type { RunResult } from "../../harness/model/result.ts";
import { installPackage, type Installed } from "./package.fixture.ts";

describe("the package", () => {
  let installed: Installed;
  let user: string;

  before(async () => {
    installed = await installPackage();
    ({ user } = installed);
  });
  after(async () => {
    await meshproof("down", "--name", "package");
    await installed.remove();
  });

  const meshproof = (...args: string[]) => installed.run(["meshproof", ...args]);
  const latest = async (): Promise<RunResult> =>
    JSON.parse(await readFile(path.join(user, "results/latest/results.json"), "utf8")) as RunResult;

  it("is what package managers and bundlers expect", async () => {
    const { messages } = await publint({ pkgDir: path.join(user, "node_modules/meshproof"), pack: false });
    assert.deepEqual(messages, []);
  });

  it("contains no TypeScript but declarations, and no test", async () => {
    const files = await readdir(path.join(user, "node_modules/meshproof"), { recursive: true });
    const odd = files.filter((file) => /(?<!\.d)\.ts$|\.(test|e2e|fixture)\./.test(file));
    assert.deepEqual(odd, []);
    assert.ok(files.includes("dist/scenarios/jwt/algorithms/scenario.yaml"));
  });

  it("says its version and the commit that it was built from", async () => {
    const { all } = await meshproof("--version");
    assert.match(all, new RegExp(`^${RegExp.escape(packageJson.version)} \\([0-9a-f]{7,}( with changes)?, \\d{4}-`));
  });

  it("exports the reader of results and the schemas of scenarios and of the config", async () => {
    const program = `
      import { main, readResults } from "meshproof";
      import schema from "meshproof/schema" with { type: "json" };
      import config from "meshproof/config-schema" with { type: "json" };
      console.log(typeof main, typeof readResults, schema.$schema, config.title);`;
    const node = process.execPath;
    const { stdout } = await execa(node, ["--input-type=module", "--eval", program], { cwd: user });
    assert.equal(stdout, "function function http://json-schema.org/draft-07/schema# meshproof config");
  });

  it("runs a scenario of its user's with the issuers and workloads that it brings", async () => {
    assert.equal((await meshproof("new", "team/orders", "--scenarios", "mesh-tests")).exitCode, 0);
    assert.deepEqual(await readdir(path.join(user, "mesh-tests")), ["team"]);
    const up = await meshproof("up", "--name", "package");
    assert.equal(up.exitCode, 0, up.all);
    const { exitCode, all } = await meshproof("run", "--scenarios", "mesh-tests", "--name", "package");
    assert.equal(exitCode, 0, all);
    assert.deepEqual((await latest()).counts.passed, 12);
  });

  it("fails where the policy is wrong, and names the file and line of what differs", async () => {
    const policy = path.join(user, "mesh-tests/team/orders/authorization-policy.yaml");
    await writeFile(policy, (await readFile(policy, "utf8")).replace('["*"]', '["someone-else/*"]'));
    const { exitCode, all } = await meshproof("run", "--scenarios", "mesh-tests", "--name", "package");
    assert.equal(exitCode, 1, all);
    assert.match(all, /mesh-tests\/team\/orders\/scenario\.yaml:\d+/);
    assert.match(all, /AuthorizationPolicy foo\/orders .*, mesh-tests\/team\/orders\/authorization-policy\.yaml:2$/m);
    assert.match(all, /claim iss: "https:\/\/issuer\.corp\.example" — rule requires: "someone-else"/);
    assert.match(all, /differ\n {2}expected 200 from httpbin, got 403 from authorization/);
    const checks = (await latest()).scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.checks);
    assert.deepEqual(
      checks.filter(({ got, expected }) => got.status !== expected.status).map(({ name, got }) => [name, got.status]),
      [
        ["/headers valid", 403],
        ["/ip valid", 403],
      ],
    );
  });

  it("runs the scenarios that it brings", async () => {
    const { exitCode, all } = await meshproof("run", "paths/skip-jwt-for-paths", "jwt/algorithms", "--name", "package");
    assert.equal(exitCode, 0, all);
  });
});
