import { constants, copyFile, mkdir, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import type { Recipe } from "./recipe.ts";

/** The first release line that runs TypeScript as it is, without a warning. */
const LEAST = 24;

/** Node.js for Bookinfo, copied: the npm package's official build if it is installed, else the one that runs this. */
export async function nodeRecipe(): Promise<Recipe> {
  const { path, version, source } = (await packagedNode()) ?? {
    path: process.execPath,
    version: process.versions.node,
    source: "the Node.js that runs meshproof",
  };
  if (Number(version.split(".")[0]) < LEAST)
    throw new MeshproofError("ERR_MISSING_PROGRAM", `Node.js ${version} is too old, ${LEAST} is needed`, {
      hint: "npm install",
    });
  return {
    name: "node",
    version,
    source,
    effort: "a copy",
    // Neither path nor time: another checkout has the same program.
    inputs: async () => [source, `${(await stat(path)).size}`],
    async build({ files }) {
      await mkdir(join(files, "bin"));
      await copyFile(path, join(files, "bin", "node"), constants.COPYFILE_FICLONE);
      return {};
    },
  };
}

async function packagedNode(): Promise<{ path: string; version: string; source: string } | undefined> {
  const name = `node-linux-${process.arch}`;
  let manifest;
  try {
    manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  } catch {
    return undefined;
  }
  const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
  return { path: join(dirname(manifest), "bin", "node"), version, source: `npm package ${name} ${version}` };
}
