import { execa } from "execa";
import { PROJECT } from "../cli/context.ts";

/**
 * Removes a tool's own cluster when a signal ends the tool: Node ends a process at once then, without its `finally`.
 * @param on what names the cluster to `meshproof down`
 * @returns forgets the cluster
 */
export function downAtSignal(...on: readonly string[]): () => void {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const down = (): void => {
    // A process group of its own: a ctrl-C that is pressed again does not end it.
    const options = { cwd: PROJECT, stdio: "inherit", reject: false, detached: true } as const;
    void execa("node", ["cli/meshproof.mjs", "down", "--force", ...on], options).then(() => process.exit(130));
  };
  for (const signal of signals) process.once(signal, down);
  return () => {
    for (const signal of signals) process.off(signal, down);
  };
}
