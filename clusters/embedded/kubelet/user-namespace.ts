import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { runTool, TOOL_PATH } from "./tools.ts";

/**
 * No cgroup namespaces in there (namespaces(7), /proc/sys/user): with one of its own, a pod could mount the machine's cgroups and,
 * as the number 0, write them.
 */
const LIMIT = "limit=/proc/sys/user/max_cgroup_namespaces; [ ! -e $limit ] || echo 0 >$limit";

/**
 * Makes the user namespace that all pods live in, and keeps it by a mount on `file`. Whoever is root in there has no capability
 * over anything outside: not over the machine where root runs the cluster, not over the cluster's own processes elsewhere.
 *
 * Users have the same numbers in there as outside, so that files of an image and of volumes belong to whom they should. That
 * alone would let root write what the kernel allows to the number 0 (/proc/sys/kernel/core_pattern), so a container's /proc and
 * /sys are mounted outside: mounts that come from there cannot be changed or taken away in here.
 * @throws Error with what the kernel or unshare(1) said
 */
export async function makeUserNamespace(file: string): Promise<void> {
  writeFileSync(file, "");
  const holder = spawn("unshare", ["--user", "sh", "-c", "echo made; read -r _"], {
    env: { PATH: TOOL_PATH },
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe"],
  });
  try {
    await isMade(holder);
    for (const map of ["uid_map", "gid_map"])
      writeFileSync(`/proc/${holder.pid}/${map}`, sameNumbers(readFileSync(`/proc/self/${map}`, "latin1")));
    await runTool(["mount", "--bind", `/proc/${holder.pid}/ns/user`, file]);
    await runTool(["nsenter", `--user=${file}`, "sh", "-euc", LIMIT]);
  } catch (cause) {
    throw new Error(`the pods' user namespace cannot be made: ${(cause as Error).message}`, { cause });
  } finally {
    holder.stdin.end();
  }
}

async function isMade(holder: ChildProcess): Promise<void> {
  let words = "";
  holder.stderr?.on("data", (chunk: Buffer) => (words += chunk.toString()));
  const ended = once(holder, "close").then(() => {
    throw new Error(words.trim() || "unshare ended without a word");
  });
  ended.catch(() => undefined);
  await Promise.race([once(holder.stdout!, "data"), ended]);
}

/** The map of a namespace within one that has this map (user_namespaces(7)), where each number stands for itself. */
export function sameNumbers(map: string): string {
  return map
    .trim()
    .split("\n")
    .map((line) => {
      const [inside = "", , count = ""] = line.trim().split(/\s+/);
      return `${inside} ${inside} ${count}\n`;
    })
    .join("");
}
