import { readFileSync } from "node:fs";

/** The boot and the clock ticks since it at which a process began (proc(5): field 22 of `stat`). */
export function startOf(pid: number): string | undefined {
  try {
    // The name in parentheses may hold blanks.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ");
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fields[19]}`;
  } catch {
    return undefined;
  }
}
