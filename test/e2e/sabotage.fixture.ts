/** A kept cluster and a copy of the scenarios, in which a test writes some that must not pass. */

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before } from "node:test";
import { execa } from "execa";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import type { RunResult } from "../../harness/model/result.ts";

const ROOT = path.join(import.meta.dirname, "../..");

interface Done {
  readonly exitCode: number | undefined;
  readonly output: string;
}

export interface Sabotage {
  readonly name: string;
  /** The copy of the folder `scenarios`, which is made before the first test. */
  readonly scenarios: string;
  meshproof(...args: string[]): Promise<Done>;
  run(id: string): Promise<Done & { readonly result: Partial<RunResult> }>;
  /** @returns the scenario's id */
  write(name: string, files: Readonly<Record<string, string>>): Promise<string>;
}

/** Call this in a suite: the cluster starts before its tests, and ends after them. */
export function sabotageOf(topic: string): Sabotage {
  const name = `${topic}-${process.pid}`;
  // Removed when the process ends.
  const folder = makeTempDir();
  const scenarios = path.join(folder, "scenarios");
  const meshproof = async (...args: string[]): Promise<Done> => {
    const options = { cwd: ROOT, all: true, reject: false } as const;
    const { exitCode, all } = await execa(process.execPath, ["cli/meshproof.mjs", ...args], options);
    return { exitCode, output: all };
  };
  before(async () => {
    await cp(path.join(ROOT, "scenarios"), scenarios, { recursive: true });
    const { exitCode, output } = await meshproof("up", "--name", name);
    assert.equal(exitCode, 0, output);
  });
  after(() => meshproof("down", "--name", name));
  return {
    ...{ name, scenarios, meshproof },
    async run(id) {
      const results = await mkdtemp(path.join(folder, "results-"));
      const done = await meshproof("run", id, "--name", name, "--scenarios", scenarios, "--results", results);
      const text = await readFile(path.join(results, "latest/results.json"), "utf8").catch(() => "{}");
      return { ...done, result: JSON.parse(text) as Partial<RunResult> };
    },
    async write(id, files) {
      const dir = path.join(scenarios, "sabotage", id);
      await mkdir(dir, { recursive: true });
      for (const [file, text] of Object.entries(files)) await writeFile(path.join(dir, file), text);
      return `sabotage/${id}`;
    },
  };
}
