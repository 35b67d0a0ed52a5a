import { readFileSync, readlinkSync } from "node:fs";

/** Fields of proc(5)'s `stat` from the state on, which is field 3; undefined if no such process is visible. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    // The name in parentheses may hold blanks.
    return readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ");
  } catch {
    return undefined;
  }
}

/** One that has ended and is not collected has a number still (proc(5): the states Z and X). */
const hasEnded = ([state]: readonly string[]): boolean => state === "Z" || state === "X";

/** The boot and the clock ticks since it at which a process began (field 22 of `stat`); undefined for one that does not live. */
export function startOf(pid: number): string | undefined {
  const fields = statOf(pid);
  if (fields === undefined || hasEnded(fields)) return undefined;
  return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fields[19]}`;
}

/** A process as it can be known again, also by who cannot see it. */
export interface ProcessIdentity {
  /** Where process numbers mean something: the boot of a machine and the PID namespace. */
  readonly host: string;
  readonly pid: number;
  /** {@link startOf}: distinguishes it from a later process with the same pid. */
  readonly started: string;
}

/** Where this process's number means something; undefined where there is no /proc. */
export function processHost(): string | undefined {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    return `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return undefined;
  }
}

/** This process; undefined where there is no /proc. */
export function thisProcess(): ProcessIdentity | undefined {
  const [host, started] = [processHost(), startOf(process.pid)];
  return host === undefined || started === undefined ? undefined : { host, pid: process.pid, started };
}

export type Life = "alive" | "dead" | "unknown";

/** Whether a process is alive; `unknown` for one of another machine or PID namespace. */
export function lifeOf({ host, pid, started }: ProcessIdentity): Life {
  if (!(pid > 0) || host !== processHost()) return "unknown";
  const fields = statOf(pid);
  if (fields !== undefined) return startOf(pid) === started ? "alive" : "dead";
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return "dead";
  }
  // It is there, and /proc hides whose it is (proc(5): hidepid).
  return "unknown";
}
