/** Finds the processes of embedded clusters from the host, in /proc, for tests and tools that break something on purpose. */

import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";

/** Programs of pods, by what their command line must contain (arguments are divided by NUL). */
const PROGRAMS = {
  envoy: /^[^\0]*\benvoy\0/,
  "pilot-agent": /pilot-agent\0proxy\0/,
  istiod: /pilot-discovery\0discovery\0/,
  workload: /^[^\0]*go-httpbin\0/,
  client: /^[^\0]*sleep\0infinity\0/,
} as const;
export type Program = keyof typeof PROGRAMS;

const read = (pid: number, file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");

/** The process of a pod that runs a program. @throws where there is none */
export async function findProcess(pod: string, program: Program): Promise<number> {
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !PROGRAMS[program].test(await read(pid, "cmdline"))) continue;
    // The kubelet sets it in every container.
    if ((await read(pid, "environ")).split("\0").includes(`HOSTNAME=${pod}`)) return pid;
  }
  throw new Error(`the pod ${pod} runs no ${program}`);
}

/** Ends a process and waits until it has ended. */
export async function kill(pid: number, signal: "SIGKILL" | "SIGSEGV"): Promise<void> {
  const startedAt = await startOf(pid);
  process.kill(pid, signal);
  while (startedAt !== undefined && (await startOf(pid)) === startedAt) await delay(5);
}

/** When a process that lives was started, in ticks since the boot; a zombie does not live. */
async function startOf(pid: number): Promise<string | undefined> {
  // The name before it is in brackets and may hold blanks.
  const fields = (await read(pid, "stat")).split(") ").at(-1)?.split(" ") ?? [];
  return fields[0] === "Z" ? undefined : fields[19];
}

/** Returns NaN for a process that has ended. */
async function parentOf(pid: number): Promise<number> {
  return Number(/^PPid:\s+(\d+)$/m.exec(await read(pid, "status"))?.[1]);
}

/** Every process below another one, by who started whom: the nearest first. */
export async function descendantsOf(ancestor: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = await parentOf(Number(name));
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [ancestor];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found.slice(1);
}

/** How nsenter(1) gets into the network of the node that runs a pod: the first ancestor of its pilot-agent that is in another. */
export async function nodeOf(pod: string): Promise<string[]> {
  let pid = await findProcess(pod, "pilot-agent");
  const networkOf = (of: number): Promise<string> => readlink(`/proc/${of}/ns/net`);
  const own = await networkOf(pid);
  while ((await networkOf(pid)) === own) pid = await parentOf(pid);
  return ["--target", String(pid), "--net", ...(process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"])];
}

/** An IP address that packets come from, and one that they go to. */
export interface Route {
  readonly from: string;
  readonly to: string;
}

/**
 * Lets no packet of these routes pass in a node's network.
 * @param node see {@link nodeOf}
 * @returns what lets them pass again
 */
export async function cutOff(node: readonly string[], routes: readonly Route[]): Promise<() => Promise<void>> {
  const rules = async (verb: "add" | "del"): Promise<void> => {
    for (const { from, to } of routes)
      // `unreachable` says so to the sender, which then goes on trying often (RFC 6069): it is heard at once when this ends.
      await execa("nsenter", [...node, "ip", "rule", verb, "from", from, "to", to, "unreachable"]);
  };
  await rules("add");
  return () => rules("del");
}

/** Kills a process and everything below it at once, as a machine that loses power does: none of them can clean up. */
export async function killTree(pid: number): Promise<void> {
  const { stdout } = await execa("ps", ["-e", "-o", "pid=,ppid="]);
  const pairs = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const family = [pid];
  for (const parent of family) for (const [child, of] of pairs) if (of === parent && child) family.push(child);
  for (const member of family) {
    try {
      process.kill(member, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}
