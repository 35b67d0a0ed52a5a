import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { startOf } from "./process.ts";

const made: string[] = [];

/** The clock ticks at which a process began. */
const ticksOf = (pid: number): string => startOf(pid)?.split(" ")[1] ?? "0";

/** Numbers mean something in their own PID namespace only, and containers may share a folder. */
const prefix = (): string => `meshproof-run-${/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]}-`;

/**
 * A folder for keys and credentials, which nobody else may read. It goes when this process ends; after kill -9 the next
 * call of anybody's takes it away.
 */
export function makeTempDir(): string {
  sweepTempDirs();
  const dir = mkdtempSync(path.join(tmpdir(), `${prefix()}${process.pid}-${ticksOf(process.pid)}-`));
  // One listener for all: `repro --minimize` makes a folder per try, and Node warns of more than ten.
  if (made.push(dir) === 1)
    process.on("exit", () => made.forEach((each) => rmSync(each, { recursive: true, force: true })));
  return dir;
}

/** Removes the folders of processes that have ended; another user's stay, as nothing may be removed there. */
function sweepTempDirs(): void {
  const own = prefix();
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(own))) {
    const [, pid, ticks] = /^(\d+)-(\d+)-/.exec(name.slice(own.length)) ?? [];
    if (ticks === undefined || ticksOf(Number(pid)) === ticks) continue;
    try {
      rmSync(path.join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      continue;
    }
  }
}
