/**
 * Runs meshproof as an ordinary user, if root runs the tests and MESHPROOF_TEST_USER names a user with subordinate ids (`.ci/run`
 * creates one). If an ordinary user runs the tests, this is not needed: all of them are rootless then.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { execa } from "execa";
import { cacheRoot } from "../../clusters/components/cache.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { PROJECT } from "../../cli/context.ts";

const user = process.env["MESHPROOF_TEST_USER"];

/**
 * The user may be unable to reach the project and the cache where they are, so both appear in a folder of the user's, in a
 * mount namespace of this command alone.
 */
const AS_USER = `
  mount --bind "$PROJECT" "$HOME/project" && mount --bind "$CACHE" "$HOME/cache" && cd "$HOME/project" &&
  exec setpriv --reuid "$USER" --regid "$(id -g "$USER")" --init-groups --inh-caps=-all \\
    "$NODE" cli/meshproof.mjs run paths/skip-jwt-for-paths jwt/pair-makes-tokens-mandatory gateway-api/target-refs gateway-api/https-listeners --results "$HOME/results"`;

const skip =
  process.getuid?.() !== 0
    ? "every other test is rootless already"
    : user === undefined && "MESHPROOF_TEST_USER names no user with subordinate ids; .ci/run makes one";

it("a run of an ordinary user passes", { skip }, async () => {
  const home = await mkdtemp(path.join(tmpdir(), "meshproof-user-"));
  try {
    await mkdir(path.join(home, "project"));
    await mkdir(path.join(home, "cache"));
    await execa("chown", ["-R", `${user}:`, home]);
    const { all, exitCode } = await execa("unshare", ["--mount", "--propagation", "private", "sh", "-c", AS_USER], {
      all: true,
      reject: false,
      stdin: "ignore",
      extendEnv: false,
      env: {
        PATH: process.env["PATH"],
        CI: "true",
        HOME: home,
        USER: user,
        TMPDIR: home,
        MESHPROOF_CACHE: path.join(home, "cache"),
        PROJECT,
        CACHE: cacheRoot(),
        NODE: path.join(home, "project", "node_modules/.bin/node"),
      },
    });
    assert.equal(exitCode, 0, all);
    const results = await readFile(path.join(home, "results/latest/results.json"), "utf8");
    const { cluster, counts } = JSON.parse(results) as RunResult;
    assert.equal(cluster.rootless, true);
    assert.ok(counts.passed > 0 && counts.failed === 0, all);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
