import { stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { execa } from "execa";

import { MeshproofError } from "../../../harness/errors.ts";
import type { InstalledComponent } from "./entry.ts";
import { sha256OfFile } from "./manifest.ts";

/** Node.js for Bookinfo: the npm package's official build if it is installed, else the one that runs this. */
export async function findNode(): Promise<{ path: string; component: InstalledComponent }> {
  const packaged = packagedNode();
  const path = packaged ?? process.execPath;
  const version = packaged ? (await execa(packaged, ["--version"])).stdout.trim().slice(1) : process.versions.node;
  if (Number(version.split(".")[0]) < 24)
    throw new MeshproofError("ERR_MISSING_PROGRAM", `Node.js ${version} is too old, 24 is needed`, {
      hint: "npm install",
    });
  const { size, mtime } = await stat(path);
  return {
    path,
    component: {
      name: "node",
      version,
      source: packaged ? `npm package node-linux-${process.arch}` : "the Node.js that runs meshproof",
      digest: `sha256:${await sha256OfFile(path)}`,
      bytes: size,
      builtAt: mtime.toISOString(),
      details: {},
      dir: path,
      programs: [],
    },
  };
}

function packagedNode(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
    return join(manifest, "..", "bin", "node");
  } catch {
    return undefined;
  }
}
