import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { MeshproofError } from "../../harness/model/errors.ts";
import { watchEnd } from "./watch.ts";

describe("watching a kind cluster", () => {
  let folder: string;
  const PATH = process.env["PATH"];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-watch-"));
    // `docker wait` returns when the container has ended: here, when a file is there.
    const docker = path.join(folder, "docker");
    await writeFile(
      docker,
      `#!/bin/sh\necho $$ > "${folder}/$2.pid"\nwhile [ ! -e "${folder}/$2.ended" ]; do sleep 0.05; done\n`,
    );
    await chmod(docker, 0o755);
    process.env["PATH"] = `${folder}:${PATH}`;
  });
  after(async () => {
    process.env["PATH"] = PATH;
    await rm(folder, { recursive: true });
  });

  test("a cluster that ends by itself is lost", async () => {
    const { lost } = watchEnd("alone");
    const aborted = once(lost, "abort");
    await end("alone");
    await aborted;
    assert.ok(lost.reason instanceof MeshproofError && lost.reason.code === "ERR_CLUSTER_UNREACHABLE");
  });

  test("a cluster that is given back is not lost, and nothing waits for it any more", async () => {
    const { lost, stop } = watchEnd("given-back");
    const pid = await pidOf("given-back");
    stop();
    await end("given-back");
    await until(() => !existsSync(`/proc/${pid}`));
    await delay(0);
    assert.equal(lost.aborted, false);
  });

  async function end(name: string): Promise<void> {
    await pidOf(name);
    await writeFile(path.join(folder, `meshproof-kind-${name}.ended`), "");
  }

  async function pidOf(name: string): Promise<number> {
    let pid = Number.NaN;
    await until(async () => {
      pid = Number.parseInt(await readFile(path.join(folder, `meshproof-kind-${name}.pid`), "utf8").catch(() => ""));
      return !Number.isNaN(pid);
    });
    return pid;
  }

  async function until(ask: () => boolean | Promise<boolean>): Promise<void> {
    for (const limit = Date.now() + 20_000; !(await ask()); await delay(20))
      if (Date.now() > limit) assert.fail("not within 20 s");
  }
});
