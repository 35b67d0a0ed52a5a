/** `meshproof repro --check`: reproduces every ticket of a folder with its own command, and compares the answers with the right ones. */

import { Command } from "commander";
import { judgeAnswer, nameRight, readCheckedTickets, type Verdict } from "../harness/repro/check.ts";
import type { ReproAnswer } from "../harness/repro/index.ts";
import { formatReproJson } from "../reports/repro.ts";
import { nameAnswer } from "../reports/ticket-words.ts";
import { makerOf } from "./cluster.ts";
import { table } from "./table.ts";
import { print, printJson } from "./streams.ts";
import { askTicket, ticketOptions, type ReproOptions } from "./ticket.ts";
import { work, type Work } from "./work.ts";

interface Row {
  readonly ticket: string;
  readonly expected: string;
  readonly answered: string;
  readonly verdict: Verdict;
}

/** @returns 0; 1 if an answer is wrong, or a ticket ended with an error */
export async function checkTickets(folder: string, options: ReproOptions): Promise<number> {
  return await work(async (work) => {
    const tickets = await readCheckedTickets(folder);
    const { results, name = `check-${process.pid}` } = options;
    const rows: Row[] = [];
    try {
      for (const { name: ticket, args, right } of tickets) {
        const which = `${ticket} (${rows.length + 1} of ${tickets.length})`;
        const progress = (line: string): void => work.progress(`${which}: ${line}`);
        const { answer, answered, error } = await ask(args, { name, results }, { ...work, progress });
        const text = answer === undefined ? "" : formatReproJson(answer);
        rows.push({ ticket, expected: nameRight(right), answered, verdict: judgeAnswer(right, answer, text, error) });
      }
    } finally {
      if (options.name === undefined && options.keep !== true) await (await makerOf("embedded")).stop(name);
    }
    work.clear();
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

/** Reproduces a ticket with its own command, on the check's cluster. */
async function ask(
  args: readonly string[],
  own: Pick<ReproOptions, "name" | "results">,
  work: Work,
): Promise<{ readonly answer?: ReproAnswer; readonly answered: string; readonly error?: string }> {
  try {
    const command = ticketOptions(new Command("repro").exitOverride().configureOutput({ writeErr: () => undefined }));
    command.parse(args, { from: "user" });
    const { answer } = await askTicket(command.args, { ...command.opts<ReproOptions>(), ...own }, work);
    return { answer, answered: answer.verdict.status === 0 ? "no answer" : nameAnswer(answer.verdict) };
  } catch (error) {
    work.signal.throwIfAborted();
    const { code = "", message } = error as Error & { readonly code?: string };
    return { answered: `error ${code}: ${message.slice(0, 100)}`, error: code };
  }
}
