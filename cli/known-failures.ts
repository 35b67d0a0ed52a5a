import { applyKnownFailures, parseKnownFailures } from "../harness/known-failures.ts";
import type { RunResult } from "../harness/model/result.ts";
import { readUserFile } from "../harness/user-file.ts";

/**
 * Reads a file of known failures before a run, to be applied after it.
 * @param elsewhere ids of scenarios that this run leaves to others: their entries are theirs
 * @throws MeshproofError ERR_USAGE where the file cannot be read or is wrong
 */
export async function readKnownFailures(
  file: string | undefined,
  elsewhere: ReadonlySet<string> = new Set(),
): Promise<(result: RunResult) => RunResult> {
  if (file === undefined) return (result) => result;
  const text = await readUserFile(file, { what: "the known failures" });
  const known = parseKnownFailures(text, file).filter(({ scenario }) => !elsewhere.has(scenario));
  return (result) => applyKnownFailures(result, known, new Date().toISOString().slice(0, 10));
}
