import { execa } from "execa";
import { PROJECT } from "../cli/context.ts";
import { watchInterrupt } from "../cli/interrupt.ts";

/**
 * Removes a tool's own cluster when a signal ends the tool: Node ends a process at once then, without its `finally`.
 * @param on what names the cluster to `meshproof down`
 * @param until aborting this forgets the cluster
 */
export function downAtSignal(on: readonly string[], until?: AbortSignal): void {
  const interrupted = watchInterrupt((line) => console.error(line), { ...(until && { until }) });
  interrupted.addEventListener("abort", () => {
    // A process group of its own: the second ctrl-C ends the tool, and not this.
    const options = { cwd: PROJECT, stdio: "inherit", reject: false, detached: true } as const;
    void execa("node", ["cli/meshproof.mjs", "down", "--force", ...on], options).then(() => process.exit(130));
  });
}
