import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { execa } from "execa";
import { PROJECT } from "./context.ts";

const BUNDLED = path.join(PROJECT, "node_modules/.bundled");

describe("the bundled dependencies", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
  after(() => rmSync(folder, { recursive: true }));

  const { installed, files } = JSON.parse(readFileSync(path.join(BUNDLED, "manifest.json"), "utf8")) as {
    readonly installed: string;
    readonly files: Readonly<Record<string, string>>;
  };

  it("export what the installed ones do", async () => {
    for (const [name, file] of Object.entries(files)) {
      const namesOf = (exported: object): string[] => Object.keys(exported).filter((each) => each !== "module.exports");
      const [ours, theirs] = (await Promise.all([import(path.join(BUNDLED, file)), import(name)])) as [object, object];
      assert.deepEqual(namesOf(ours), namesOf(theirs), name);
    }
  });

  /** Where a file of a project finds a dependency. */
  async function resolved(project: string): Promise<string> {
    const hook = path.join(project, "cli/bundled.mjs");
    const script = 'process.stdout.write(import.meta.resolve("yaml"))';
    const args = ["--import", hook, "--input-type=module", "--eval", script];
    return (await execa(process.execPath, args, { cwd: project })).stdout;
  }

  it("are what this project's files find, while npm has installed nothing else", async () => {
    assert.match(await resolved(PROJECT), /node_modules\/\.bundled\/yaml\.mjs$/);
    mkdirSync(path.join(folder, "node_modules/yaml"), { recursive: true });
    cpSync(path.join(PROJECT, "cli/bundled.mjs"), path.join(folder, "cli/bundled.mjs"));
    writeFileSync(path.join(folder, "node_modules/yaml/index.js"), "");
    cpSync(path.join(BUNDLED, "manifest.json"), path.join(folder, "node_modules/.bundled/manifest.json"));
    writeFileSync(path.join(folder, "node_modules/.package-lock.json"), `{ "other": "${installed}" }`);
    assert.match(await resolved(folder), /node_modules\/yaml\/index\.js$/);
  });
});
