import {
  chooseMesh,
  cleanComponents,
  ensureComponents,
  listComponents,
  type WantedMesh,
} from "../../clusters/embedded/components/index.ts";
import { formatBytes } from "../../reports/text.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";

interface ComponentsOptions extends WantedMesh {
  readonly build?: boolean;
  readonly verify?: boolean;
  readonly clean?: boolean;
  readonly json?: boolean;
}

export async function components(options: ComponentsOptions): Promise<number> {
  const mesh = chooseMesh(options);
  if (options.clean === true) {
    const removed = await cleanComponents();
    console.error(removed.length === 0 ? "nothing to remove" : `removed ${removed.join(", ")}`);
  }
  if (options.build === true)
    await work(async ({ progress, signal }) => {
      await ensureComponents({ progress, signal, meshes: [mesh] });
      return 0;
    });
  const found = await listComponents({ verify: options.verify ?? false });
  const damaged = found.filter(({ state }) => state === "corrupt");
  if (options.json === true) console.log(JSON.stringify(found, null, 2));
  else {
    const rows = found.map(({ name, version, state, bytes, digest, source }) => [
      name,
      version,
      state,
      bytes === undefined ? "-" : formatBytes(bytes),
      digest?.slice(0, "sha256:".length + 12) ?? "-",
      source,
    ]);
    console.log(table([["NAME", "VERSION", "STATE", "SIZE", "DIGEST", "SOURCE"], ...rows]));
    for (const { name, damage } of damaged)
      console.error(`${name} is damaged: ${damage}; the next run builds it again`);
  }
  return damaged.length > 0 ? 3 : 0;
}
