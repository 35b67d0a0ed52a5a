/** `meshproof repro --check`: asks every ticket of a folder, each by its own command, and compares with the right answers. */

import path from "node:path";
import { execa } from "execa";
import { judgeAnswer, nameRight, readCheckedTickets, type Verdict } from "../harness/repro/check.ts";
import type { ReproAnswer } from "../harness/repro/index.ts";
import { nameAnswer } from "../reports/ticket-words.ts";
import { table } from "./table.ts";
import { print, printJson } from "./streams.ts";
import { work } from "./work.ts";

interface CheckOptions {
  readonly name?: string;
  readonly keep?: boolean;
  readonly results: string;
  readonly json?: boolean;
}

const MESHPROOF = path.join(import.meta.dirname, "meshproof.mjs");

interface Row {
  readonly ticket: string;
  readonly expected: string;
  readonly answered: string;
  readonly verdict: Verdict;
}

/** @returns 0; 1 where an answer is wrong, or a ticket ended in an error */
export async function checkTickets(folder: string, options: CheckOptions): Promise<number> {
  return await work(async ({ progress, clear, signal }) => {
    const tickets = await readCheckedTickets(folder);
    const name = options.name ?? `check-${process.pid}`;
    const meshproof = (...args: string[]) =>
      execa(process.execPath, [MESHPROOF, ...args], { reject: false, cancelSignal: signal, stdin: "ignore" });
    const rows: Row[] = [];
    try {
      for (const { name: ticket, args, right } of tickets) {
        progress(`asking ${ticket} (${rows.length + 1} of ${tickets.length})`);
        const done = await meshproof("repro", ...args, "--json", "--name", name, "--results", options.results);
        signal.throwIfAborted();
        const answer = done.stdout.startsWith("{") ? (JSON.parse(done.stdout) as ReproAnswer) : undefined;
        const answered =
          answer === undefined ? `error ${done.exitCode}: ${lastLine(done.stderr)}` : nameVerdict(answer);
        rows.push({ ticket, expected: nameRight(right), answered, verdict: judgeAnswer(right, answer, done.stdout) });
      }
    } finally {
      if (options.name === undefined && options.keep !== true) await meshproof("down", "--name", name);
    }
    clear();
    const count = (verdict: Verdict): number => rows.filter((row) => row.verdict === verdict).length;
    if (options.json === true) printJson(rows);
    else
      print(
        [
          table([
            ["ticket", "expected", "answered", ""],
            ...rows.map(({ ticket, expected, answered, verdict }) => [ticket, expected, answered, verdict]),
          ]),
          "",
          `${rows.length} tickets: ${(["right", "wrong", "refused", "error", "unread"] as const).map((verdict) => `${count(verdict)} ${verdict}`).join(", ")}`,
        ].join("\n"),
      );
    return count("wrong") + count("error") > 0 ? 1 : 0;
  });
}

function nameVerdict({ verdict }: ReproAnswer): string {
  return verdict.status === 0 ? "no answer" : nameAnswer(verdict);
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split("\n")
      .findLast((line) => line.startsWith("error")) ?? ""
  ).slice(0, 100);
}
