/** The tickets with waypoints of docs/examples, each by its own command, on one kept cluster. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `waypoint-tickets-${process.pid}`;

describe("repro with waypoints", () => {
  let folder: string;
  const meshproof = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args], { cwd: ROOT, reject: false });

  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-waypoints-"))));
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

  it("answers what is certain, and refuses what ztunnel would decide", async () => {
    const { exitCode, stdout, stderr } = await meshproof(
      ...["repro", "--check", path.join(ROOT, "docs/examples/waypoints"), "--name", NAME, "--results", folder],
    );
    assert.equal(exitCode, 0, stdout + stderr);
    assert.match(stdout, /^13 tickets: 13 right, 0 wrong, 0 refused, 0 error, 0 unread$/m);
  });
});
