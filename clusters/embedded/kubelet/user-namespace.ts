import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { runTool, TOOL_PATH } from "./tools.ts";

/**
 * Forbids cgroup namespaces there (namespaces(7), /proc/sys/user): with its own one, a pod could mount the machine's cgroups and,
 * as uid 0, write to them.
 */
const LIMIT = "limit=/proc/sys/user/max_cgroup_namespaces; [ ! -e $limit ] || echo 0 >$limit";

/**
 * Creates the user namespace of all pods, and keeps it by a mount on `file`. A root user in it has no capability over anything
 * outside: not over the machine if root runs the cluster, and not over the cluster's own processes.
 *
 * Users have the same uids inside and outside, so that files of images and volumes have the right owners. That alone would let
 * root write files that the kernel allows for uid 0 (/proc/sys/kernel/core_pattern), so a container's /proc and /sys are mounted
 * outside: such mounts cannot be changed or removed inside.
 * @throws Error with the message of the kernel or unshare(1)
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
    throw new Error(words.trim() || "unshare ended without a message");
  });
  ended.catch(() => undefined);
  await Promise.race([once(holder.stdout!, "data"), ended]);
}

/** The identity map of a namespace within one that has this map (user_namespaces(7)). */
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
