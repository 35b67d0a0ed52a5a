import { cleanUp } from "../../clusters/existing/index.ts";
import { MeshproofError } from "../../harness/errors.ts";
import { work } from "../work.ts";

export async function cleanup(run: string | undefined): Promise<number> {
  return work(async ({ progress, clear }) => {
    const lines = [...(await cleanUp(run, progress)), ...(run === undefined ? await sweepDocker() : [])];
    clear();
    if (run !== undefined && lines.length === 0)
      throw new MeshproofError("ERR_USAGE", `there is no journal of a run ${run}: it has removed everything itself`);
    console.log(lines.length === 0 ? "there is nothing to clean up" : lines.join("\n"));
    return 0;
  });
}

/** What killed kind clusters left, where there is Docker. */
async function sweepDocker(): Promise<string[]> {
  const { sweepKind } = await import("../../clusters/kind/index.ts");
  try {
    return (await sweepKind()).map((what) => `removed ${what}`);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "ERR_MISSING_PROGRAM") return [];
    throw error;
  }
}
