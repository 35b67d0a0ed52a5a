import { writeFile } from "node:fs/promises";
import path from "node:path";
import { Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { MeshproofError } from "../../harness/model/errors.ts";
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
import { commandOf } from "../command-line.ts";
import { openCluster } from "../cluster.ts";
import { SCENARIOS } from "../context.ts";
import { newRunId } from "../run-id.ts";
import { work } from "../work.ts";
import { checkTickets } from "../check-tickets.ts";
import { print, printJsonText } from "../streams.ts";
import { collect, finish, option, verb } from "../options.ts";

export const command = verb("repro", [
  "repro ticket/ --request 'GET /orders' --token @token.jwt --expect 200",
  "repro policies.yaml --curl \"curl -H 'Authorization: Bearer eyJ…' https://shop.example/orders\"",
  "repro ticket/ --request 'GET /orders' --claims '{\"iss\":\"https://me.example\"}' --export kept",
  "repro ticket/ --request 'GET /orders' --minimize",
])
  .argument("[files...]", "a folder or files with the ticket's Kubernetes objects")
  .option("--request <request>", "METHOD and path, or METHOD and URL")
  .option("--curl <line>", "the curl line of the ticket instead; of its token only header and claims are used")
  .option("--header <line>", "a header, 'name: value'; repeat it for more", collect, [])
  .option("--token <token>", "the ticket's token, or @FILE: only its header and claims are used")
  .option("--claims <json>", "the token's claims instead, or @FILE")
  .addOption(
    new Option("--expect <status>", "what the reporter expected: 200 (goes through), 401 or 403").choices([
      "200",
      "401",
      "403",
    ]),
  )
  .addOption(
    new Option("--jwks <state>", "whether a jwksUri answers")
      .choices(["reachable", "unreachable"])
      .default("reachable"),
  )
  .option("--name <cluster>", "a kept cluster to use, or the name of a new one to keep")
  .option("--keep", "leave the cluster running for the next ticket")
  .option("--minimize", "drop what is needless for this answer; each try takes seconds")
  .option("--results <folder>", "where the page and the answer are written, a folder per ticket", "results")
  .option("--check <folder>", "ask every ticket of a folder whose right answers are known, and print a table")
  .option("--export <folder>", "write the scenario, the page, the answer, curl lines and versions there")
  .addOption(option.json())
  .action(async (files: string[], options: ReproOptions) =>
    finish(options.check === undefined ? repro(files, options) : checkTickets(options.check, options)),
  );

interface ReproOptions extends TicketOptions {
  readonly expect?: "200" | "401" | "403";
  readonly name?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
  readonly minimize?: boolean;
  readonly export?: string;
  readonly check?: string;
  readonly results: string;
}

/** @returns 0; 1 where `--expect` is given and the mesh answers otherwise */
export async function repro(files: readonly string[], options: ReproOptions): Promise<number> {
  if (files.length === 0) throw new MeshproofError("ERR_USAGE", "name the ticket's YAML: a folder or files");
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
        command: againBy(files, options, ticket),
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
export function againBy(
  files: readonly string[],
  { token, claims, expect, jwks, minimize, name }: ReproCommand,
  { request }: Pick<Ticket, "request">,
): string {
  const { method, path: target, host, headers } = request;
  const compact = token?.startsWith("@") === true ? token : (token ?? request.token);
  const unsigned =
    compact?.startsWith("@") === true ? compact : compact?.trim().replace(/^(?:Bearer +)?([^.]*\.[^.]*).*$/is, "$1.");
  return commandOf("repro", files, {
    "--request": `${method} ${host === undefined ? "" : `http://${host}`}${target}`,
    "--header": headers.map(([header, value]) => `${header}: ${value}`),
    ...(claims !== undefined ? { "--claims": claims } : { "--token": unsigned }),
    ...{ "--expect": expect, "--jwks": jwks === "reachable" ? undefined : jwks },
    ...{ "--minimize": minimize, "--name": name },
  });
}
