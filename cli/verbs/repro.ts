import { writeFile } from "node:fs/promises";
import path from "node:path";
import { exportTicket, type ReproAnswer, type Translation } from "../../harness/repro/index.ts";
import { formatAnswer, formatReproJson, writeRepro } from "../../reports/repro.ts";
import { checkTickets } from "../check-tickets.ts";
import { SCENARIOS } from "../context.ts";
import { finish, verb } from "../options.ts";
import { print, printJsonText } from "../streams.ts";
import { askTicket, ticketOptions, type ReproOptions } from "../ticket.ts";
import { work } from "../work.ts";

export const command = ticketOptions(
  verb("repro", [
    "repro ticket/ --request 'GET /orders' --token @token.jwt --expect 200",
    "repro policies.yaml --curl \"curl -H 'Authorization: Bearer eyJ…' https://shop.example/orders\"",
    "repro ticket/ --request 'GET /orders' --claims '{\"iss\":\"https://me.example\"}' --export kept",
    "repro ticket/ --request 'GET /orders' --minimize",
    "repro ticket/ --request 'GET /orders' --against 1.30 --against 1.31",
  ]),
)
  .option("--check <folder>", "ask every ticket of a folder whose right answers are known, and print a table")
  .addHelpText(
    "after",
    "\nExit codes: 0 reproduced, and as expected; 1 the mesh answers otherwise; 2 wrong usage, or YAML that the API server rejects; 3 a problem of the environment; 4 not reproduced: what is missing decides the answer, or may. With --against the worst of all versions counts; without --expect, 1 means that their answers differ.",
  )
  .action(async (files: string[], options: ReproOptions & { readonly check?: string }) =>
    finish(options.check === undefined ? repro(files, options) : checkTickets(options.check, options)),
  );

/** @returns 0; 1 if `--expect` is given and the mesh gives another answer; 4 if the ticket was not reproduced */
export async function repro(files: readonly string[], options: ReproOptions): Promise<number> {
  const { against = [] } = options;
  if (against.length > 0) return await (await import("../against.ts")).reproAgainst(files, against, options);
  return work(async (work) => {
    const { answer, translation, html } = await askTicket(files, options, work);
    const written = options.export === undefined ? [] : await exportAll(options.export, translation, answer);
    work.clear();
    if (options.json === true) printJsonText(formatReproJson(answer));
    else print([formatAnswer(answer), "", `page: ${path.relative("", html)}`, ...written].join("\n"));
    if (!answer.reproduced) return 4;
    return answer.expected?.met === false ? 1 : 0;
  });
}

/** Writes all files of a ticket into one folder. @returns lines that list the written files */
async function exportAll(folder: string, translation: Translation, answer: ReproAnswer): Promise<string[]> {
  const written = await exportTicket(folder, translation, answer, SCENARIOS);
  await writeRepro(answer, folder);
  await writeFile(path.join(folder, "answer.txt"), `${formatAnswer(answer)}\n`);
  return written;
}
