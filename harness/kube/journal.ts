import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";

/** What names an object to the API server. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/**
 * Adds one line to a journal and returns when it is on the disk: what is created afterwards can be found again, whatever
 * happens to this process. Several processes of a run may write to one journal.
 */
export function writeJournal(file: string, line: object): void {
  const descriptor = openSync(file, "a", 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify(line)}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The lines of a journal. A last line that was cut off stands for an object that was never created. */
export function readJournal(file: string): unknown[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);
}
