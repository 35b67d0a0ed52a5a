import { writeFile } from "node:fs/promises";
import path from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { makeTempDir } from "../../clusters/temp-dir.ts";
import {
  exportTicket,
  readTicket,
  refuseExisting,
  translated,
  type Ticket,
  type ReproAnswer,
  type TicketOptions,
  type Translation,
} from "../../harness/repro/index.ts";
import { formatAnswer, formatReproJson, prepareRepro, writeRepro } from "../../reports/repro.ts";
import { commandLine } from "../command-line.ts";
import { openCluster } from "../cluster.ts";
import { SCENARIOS } from "../context.ts";
import { newRunId } from "../run-id.ts";
import { work } from "../work.ts";
import { print, printJsonText } from "../streams.ts";

interface ReproOptions extends TicketOptions {
  readonly expect?: "200" | "401" | "403";
  readonly name?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
  readonly minimize?: boolean;
  readonly export?: string;
  readonly results: string;
}

/** @returns 0; 1 where `--expect` is given and the mesh answers otherwise */
export async function repro(files: readonly string[], options: ReproOptions): Promise<number> {
  return work(async (work) => {
    const { name, expect, minimize = false } = options;
    const ticket = await readTicket(files, options, SCENARIOS);
    if (options.export !== undefined) await refuseExisting(options.export);
    translated(files, ticket); // what cannot be translated needs no cluster
    const keep = options.keep ?? name !== undefined;
    const opened = openCluster(
      { cluster: "embedded", ...(name !== undefined && { name }), keep },
      { id: newRunId(), verb: "repro" },
      work,
    );
    opened.catch(() => undefined); // told where it is awaited
    // The Kubernetes client takes a moment to load, in which the cluster is opened.
    const { repro } = await import("../../harness/repro/repro.ts");
    const found = await repro(
      {
        ...{ ticket, files, minimize, version: packageJson.version, scenariosRoot: SCENARIOS },
        command: commandOf(files, options, ticket),
        expected: expect === undefined ? undefined : Number(expect),
      },
      { open: () => opened, tempDir: makeTempDir, newId: newRunId, progress: work.progress },
    );
    const answer = prepareRepro(found.answer);
    const page = await writeRepro(answer, path.resolve(options.results, answer.id));
    const written = options.export === undefined ? [] : await exportAll(options.export, found.translation, answer);
    work.clear();
    if (options.json === true) printJsonText(formatReproJson(answer));
    else print([formatAnswer(answer), "", `page: ${path.relative("", page.html)}`, ...written].join("\n"));
    return answer.expected?.met === false ? 1 : 0;
  });
}

/** Everything about a ticket in one folder. @returns lines that say what was written */
async function exportAll(folder: string, translation: Translation, answer: ReproAnswer): Promise<string[]> {
  const written = await exportTicket(folder, translation, answer, SCENARIOS);
  await writeRepro(answer, folder);
  await writeFile(path.join(folder, "answer.txt"), `${formatAnswer(answer)}\n`);
  return written;
}

type ReproCommand = Pick<ReproOptions, "token" | "claims" | "expect" | "jwks" | "minimize" | "name">;

/**
 * How a person asks this again: what was read of the curl line instead of the line itself, which may hold passwords, and a
 * token without its signature, of which nothing is used.
 */
export function commandOf(
  files: readonly string[],
  { token, claims, expect, jwks, minimize, name }: ReproCommand,
  { request }: Pick<Ticket, "request">,
): string {
  const { method, path: target, host, headers } = request;
  const compact = token?.startsWith("@") === true ? token : (token ?? request.token);
  const unsigned =
    compact?.startsWith("@") === true ? compact : compact?.trim().replace(/^(?:Bearer +)?([^.]*\.[^.]*).*$/is, "$1.");
  return commandLine([
    ...["meshproof", "repro", ...files],
    ...["--request", `${method} ${host === undefined ? "" : `http://${host}`}${target}`],
    ...headers.flatMap(([header, value]) => ["--header", `${header}: ${value}`]),
    ...(claims !== undefined ? ["--claims", claims] : unsigned !== undefined ? ["--token", unsigned] : []),
    ...(expect === undefined ? [] : ["--expect", expect]),
    ...(jwks === "reachable" ? [] : ["--jwks", jwks]),
    ...(minimize === true ? ["--minimize"] : []),
    ...(name === undefined ? [] : ["--name", name]),
  ]);
}
