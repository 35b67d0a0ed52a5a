/** `meshproof repro --against`: one ticket with several versions of Istio, one after the other. */

import path from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { MeshproofError } from "../harness/model/errors.ts";
import { againstExitCode, type Against, type AskedVersion } from "../harness/model/against.ts";
import { prepareAgainst, formatAgainst, formatAgainstJson, writeAgainst } from "../reports/against.ts";
import { newRunId } from "./run-id.ts";
import { print, printJsonText } from "./streams.ts";
import { againBy, askAbout, readTicketOf, type ReproOptions } from "./ticket.ts";
import { parsePair } from "./verbs/upgrade.ts";
import { work, type Work } from "./work.ts";

/** @returns an exit code: {@link againstExitCode} */
export async function reproAgainst(
  files: readonly string[],
  versions: readonly string[],
  options: ReproOptions,
): Promise<number> {
  return await work(async (work) => {
    if (new Set(versions).size < 2) throw usage("--against takes two versions or more: --against 1.30 --against 1.31");
    for (const flag of ["minimize", "export"] as const)
      if (options[flag] !== undefined) throw usage(`--against and --${flag} exclude each other`);
    for (const version of versions) parsePair(version); // refuses an unknown version before a cluster starts
    const startedAt = new Date().toISOString();
    const ticket = await readTicketOf(files, options);
    const id = newRunId();
    const results = path.resolve(options.results, id);
    const found: AskedVersion[] = [];
    let first: Pick<Against, "request" | "columns" | "given"> | undefined;
    for (const asked of versions) {
      const which = `Istio ${asked} (${found.length + 1} of ${versions.length})`;
      const own = { ...work, progress: (line: string): void => work.progress(`${which}: ${line}`) };
      const folder = asked.replace(/[^\w.-]/g, "-");
      const name = `${options.name ?? `against-${process.pid}`}-${asked.replace(/[^a-z0-9]/g, "-")}`;
      // What the reporter saw is the answer of their mesh, the last that is named.
      const { seen, ...rest } = options;
      const asOne = {
        ...(asked === versions.at(-1) ? { ...rest, ...(seen !== undefined && { seen }) } : rest),
        ...{ name, keep: options.keep ?? options.name !== undefined },
      };
      try {
        const { answer } = await askAbout(ticket, files, asOne, own, {
          mesh: parsePair(asked),
          dir: path.join(results, folder),
        });
        const { matrix, request, differences } = answer;
        first ??= { request, columns: matrix.columns, given: matrix.given };
        const { versions: has, reproduced, verdict, cause, expected } = answer;
        const rows = matrix.rows.map(({ request: row, cells }) => ({
          request: row,
          cells: cells.map(({ status, by }) => ({ status, by })),
        }));
        const open = differences.filter(({ decides }) => decides !== "no");
        found.push({
          ...{ asked, folder },
          answer: { versions: has, reproduced, verdict, cause, ...(expected && { expected }), open, rows },
        });
      } catch (error) {
        found.push({ asked, folder, problem: problemOf(error, work) });
      }
    }
    const against = prepareAgainst({
      ...{ schemaVersion: 1, id, startedAt, tool: { name: "meshproof", version: packageJson.version } },
      command: againBy(files, { ...options, against: versions }, ticket),
      ticket: ticket.name,
      ...(first ?? { request: `${ticket.request.method} ${ticket.request.path}`, columns: [], given: "none" }),
      versions: found,
    });
    const { html } = await writeAgainst(against, results);
    work.clear();
    if (options.json === true) printJsonText(formatAgainstJson(against));
    else print([formatAgainst(against), "", `page: ${path.relative("", html)}`].join("\n"));
    return againstExitCode(against);
  });
}

/** @throws what is not a problem of one version: an interruption, wrong usage, a fault of meshproof */
function problemOf(error: unknown, { signal }: Work): { readonly code: string; readonly message: string } {
  signal.throwIfAborted();
  if (!(error instanceof MeshproofError)) throw error;
  const { code, message, hint } = error;
  return { code, message: hint === undefined ? message : `${message} (${hint})` };
}

function usage(message: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint: "meshproof repro --help shows examples" });
}
