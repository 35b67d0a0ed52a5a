/** Checks and installs the programs that the embedded cluster needs on this machine. */

import { checkHost, type HostFinding, installMissing } from "../clusters/components/components.ts";
import { MeshproofError } from "../harness/model/errors.ts";
import type { Work } from "./work.ts";

/**
 * Installs missing programs if that is possible, and names the others.
 * @throws MeshproofError ERR_MISSING_PROGRAM with a command for each thing that is still missing
 */
export async function prepareHost({ progress, signal }: Pick<Work, "progress" | "signal">): Promise<void> {
  const installed = await installMissing({ progress, signal });
  if (installed.length > 0) progress(`installed ${installed.join(", ")}`);
  const missing = (await checkHost()).filter(({ ok }) => !ok);
  if (missing.length === 0) return;
  throw new MeshproofError(
    "ERR_MISSING_PROGRAM",
    ["this machine lacks what the embedded cluster needs:", ...missing.map(describeMissing)].join("\n"),
    { hint: "then run this command again" },
  );
}

function describeMissing({ name, found, needed, fix }: HostFinding): string {
  return `${name}: ${found}, needed: ${needed}${fix === undefined ? "" : `\n  ${fix}`}`;
}
