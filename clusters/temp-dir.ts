import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { isOwn, ownTempFolder } from "../harness/own.ts";
import { processHost, startOf } from "./process.ts";

const made: string[] = [];

/** The clock ticks at which a process began. */
const ticksOf = (pid: number): string => startOf(pid)?.split(" ")[1] ?? "0";

/**
 * Numbers mean something on one machine and in one PID namespace only, and containers and machines may share a folder. The
 * first namespace has the same number on every machine, so the boot counts too; short, since a socket's path is.
 */
export const tempPrefix = (host = processHost() ?? ""): string =>
  `meshproof-run-${createHash("sha256").update(host).digest("hex").slice(0, 10)}-`;

/**
 * A folder for keys and credentials, which other users cannot read. It is removed when this process ends; after kill -9 the
 * next call in any process removes it.
 */
export function makeTempDir(): string {
  const temp = ownTempFolder();
  sweepTempDirs(temp);
  const dir = mkdtempSync(path.join(temp, `${tempPrefix()}${process.pid}-${ticksOf(process.pid)}-`));
  // One listener for all: `repro --minimize` makes a folder per try, and Node warns of more than ten.
  if (made.push(dir) === 1)
    process.on("exit", () => made.forEach((each) => rmSync(each, { recursive: true, force: true })));
  return dir;
}

/** Removes the folders of processes that have ended. What another user made under such a name is not touched. */
function sweepTempDirs(temp: string): void {
  const own = tempPrefix();
  for (const name of readdirSync(temp).filter((each) => each.startsWith(own))) {
    const [, pid, ticks] = /^(\d+)-(\d+)-/.exec(name.slice(own.length)) ?? [];
    if (ticks === undefined || ticksOf(Number(pid)) === ticks || !isOwn(path.join(temp, name))) continue;
    try {
      rmSync(path.join(temp, name), { recursive: true, force: true });
    } catch {
      continue;
    }
  }
}
